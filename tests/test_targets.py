"""What forget images are to have after the game: outputs and features, by what the frozen original says."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from unlearning.data.dataset import normalised
from unlearning.methods.shared.targets import (
    Frozen,
    KeptFeatures,
    find_targets,
    freeze,
    probed_images,
)


@pytest.fixture
def known(data) -> Frozen:
    """Return made-up features of all training images: classes apart, elephants (2) far from all others."""
    indices = data.select(subset="train")
    generator = torch.Generator().manual_seed(0)
    places = 3 * torch.rand(len(data.classes), 6, generator=generator)
    places[2, 5] += 9
    noise = torch.randn(len(indices), 6, generator=generator)
    features = 5 + places[data.labels[indices]] + 0.4 * noise
    empty = features.new_zeros(len(indices), 0)
    return Frozen(indices, empty, features, empty, nn.Identity())


@pytest.fixture
def kept(known, data) -> KeptFeatures:
    retain = data.select(role="retain", subset="train")
    return KeptFeatures(known, retain, data, torch.Generator().manual_seed(0))


def shares_of(count: int) -> torch.Tensor:
    """Return log-probabilities of the four classes, none of the elephants' (2), different for each image."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(count, 4, generator=generator)
    logits[:, 2] = float("-inf")
    return logits.log_softmax(dim=1)


def test_what_sets_a_class_apart_is_taken_from_its_features(kept, known, data):
    """Must fail if the whitening, the ridge, the mixture or the score of an image changes."""
    forget = data.select(role="forget", subset="train")
    features, shares = known.features[known.places(forget)], shares_of(len(forget))
    before = features.clone()
    moved = kept.without_class(features, shares, data.labels[forget])
    assert torch.equal(features, before)

    # Otherwise than the code does: whiten, leave out the direction of the shift, and back.
    rows = [known.features[data.labels[known.indices] == label].double() for label in (0, 1, 3)]
    within = torch.cat([group - group.mean(dim=0) for group in rows])
    spread = within.T @ within / len(within)
    spread = spread + 0.1 * spread.diagonal().mean() * torch.eye(6)
    root = torch.linalg.cholesky(spread)
    shares = shares.exp().mean(dim=0).double()
    mixture = sum(
        shares[label] * group.mean(dim=0) for label, group in zip((0, 1, 3), rows, strict=True)
    )
    white = torch.linalg.inv(root) @ (features.double() - mixture).T
    direction = white.mean(dim=1) / white.mean(dim=1).norm()
    expected = mixture + (root @ (white - direction[:, None] * (direction @ white))).T
    torch.testing.assert_close(moved.double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved.mean(dim=0).double(), mixture, rtol=1e-4, atol=1e-4)


def test_each_class_has_its_own_shift(kept, known, data):
    """Must fail if two forget classes are moved by one mean, or a class's result depends on the other."""
    chosen = torch.cat([data.select(role="forget", subset="train"), torch.arange(3)])
    features, shares = known.features[known.places(chosen)], shares_of(len(chosen))
    labels = torch.tensor([2] * (len(chosen) - 3) + [7] * 3)
    both = kept.without_class(features, shares, labels)
    for label in (2, 7):
        rows = labels == label
        alone = kept.without_class(features[rows], shares[rows], labels[rows])
        torch.testing.assert_close(both[rows], alone)


def test_no_feature_becomes_negative(kept, data):
    """Must fail if a target is negative: no feature behind a ReLU can reach it."""
    features = torch.zeros(4, 6)
    features[:, 0] = torch.tensor([0.0, 50.0, 100.0, 400.0])
    moved = kept.without_class(features, shares_of(4), torch.full((4,), 2))
    assert moved.min() == 0


def test_a_class_that_already_is_a_mixture_stays(kept, known, data):
    """Must fail if a shift of nothing divides by nothing."""
    retain = data.select(role="retain", subset="train")
    mean = known.features[known.places(retain[data.labels[retain] == 0])].mean(dim=0)
    only_first = torch.tensor([[0.0, float("-inf"), float("-inf"), float("-inf")]])
    moved = kept.without_class(mean[None], only_first, torch.tensor([2]))
    torch.testing.assert_close(moved, mean[None])
    # Features that are all alike have no spread at all.
    flat = dataclasses.replace(known, features=torch.ones_like(known.features))
    still = KeptFeatures(flat, retain, data, torch.Generator())
    assert (
        still.without_class(torch.ones(2, 6), shares_of(2), torch.tensor([2, 2])).isfinite().all()
    )


def test_mixtures_hold_each_class_in_its_share(known, data):
    """Must fail if a class is given another's share, or its images another class's."""
    one_each = torch.stack([torch.nonzero(data.labels == label)[0, 0] for label in (0, 1, 3)])
    kept = KeptFeatures(known, one_each, data, torch.Generator().manual_seed(0))
    features = known.features[known.places(one_each)]
    shares = torch.tensor([[0.6, 0.3, 0.0, 0.1]])
    mixtures = kept.mixtures(shares.log(), 5)
    expected = 0.6 * features[0] + 0.3 * features[1] + 0.1 * features[2]
    torch.testing.assert_close(mixtures, expected.expand(5, 6))


def test_mixtures_are_drawn_anew_from_many_images(kept):
    """Must fail if every mixture takes the same images or the same row of shares, or the seed is ignored."""
    one_class = torch.tensor([[0.0, float("-inf"), float("-inf"), float("-inf")]])
    assert len(kept.mixtures(one_class, 40).unique(dim=0)) == 8
    two_rows = torch.eye(4)[[0, 3]].log()
    drawn = kept.mixtures(two_rows, 40)
    assert len(drawn.unique(dim=0)) > 8
    assert not torch.equal(drawn, kept.mixtures(two_rows, 40))


def test_features_are_seen_as_directions_from_the_kept_classes_centre(kept, known, data):
    """Must fail if lengths count, or directions start elsewhere."""
    retain = data.select(role="retain", subset="train")
    features = known.features[known.places(retain)]
    apart = features - features.mean(dim=0)
    directions = kept.directions(features)
    torch.testing.assert_close(directions, apart / apart.square().sum(dim=1, keepdim=True).sqrt())
    farther = features + 2 * apart
    torch.testing.assert_close(kept.directions(farther), directions)


@pytest.fixture
def original(make_network):
    return make_network(3).eval()


def test_the_original_is_asked_for_logits_features_and_a_middle_layer(original, data, cpu):
    """Must fail if the order is not that of the sorted indices, a batch is lost, or layers are mixed up."""
    asked = torch.tensor([30, 2, 17, 9])
    known = freeze(original, data, asked, cpu)
    assert known.indices.tolist() == [2, 9, 17, 30]
    images = normalised(data.pixels(known.indices), torch.device("cpu"))
    with torch.no_grad():
        middle = original.layer2(images)
        torch.testing.assert_close(known.logits, original(images))
    torch.testing.assert_close(known.features, middle.mean(dim=(2, 3)))
    corner = known.middle.reshape(4, 8, 2, 2)[:, :, 0, 1]
    torch.testing.assert_close(corner, middle[:, :, :4, 4:].mean(dim=(2, 3)))
    assert known.places(asked).tolist() == [3, 0, 2, 1]
    assert known.head is original.fc


def test_asking_leaves_the_original_as_it_was(original, data, cpu):
    """Must fail if its mode or batch statistics change."""
    original.train()
    before = {name: value.clone() for name, value in original.state_dict().items()}
    freeze(original, data, torch.arange(6), cpu)
    assert original.training
    assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())


def test_64_retain_images_of_each_class_are_probed(make_data):
    """Must fail if forget or held-out images are shown, classes share a quota, or the seed is ignored."""
    data = make_data({"cat": 70, "dog": 5, "elephant": 80, "horse": 66})
    chosen = probed_images(data, seed=0)
    assert torch.bincount(data.labels[chosen], minlength=4).tolist() == [64, 5, 0, 64]
    assert set(data.subsets[chosen.numpy()]) == {"train"}
    assert len(set(chosen.tolist())) == len(chosen)
    assert torch.equal(chosen, probed_images(data, seed=0))
    assert set(chosen.tolist()) != set(probed_images(data, seed=1).tolist())


def test_targets_join_both_opinions(make_network, data, cpu):
    """Must fail if an exponent, an opinion, the standardisation or the order of images changes."""
    original = make_network(3).eval()
    forget = data.select(role="forget", subset="train")[[4, 0, 7]]
    probed = data.select(role="retain", subset="train")
    known = freeze(original, data, torch.cat([forget, probed]), cpu)
    kept_features = KeptFeatures(known, probed, data, torch.Generator())
    ours = find_targets(known, kept_features, forget, probed, data)

    by_index = {index: row for row, index in enumerate(known.indices.tolist())}
    rows = [by_index[index] for index in forget.tolist()]
    middle = known.middle.double().numpy()
    shown = middle[[by_index[index] for index in probed.tolist()]]
    mean, deviation = shown.mean(axis=0), shown.std(axis=0)
    deviation[deviation == 0] = 1
    probe = LogisticRegression(C=0.001, max_iter=500)
    probe.fit((shown - mean) / deviation, data.labels[probed].numpy())
    opinion = np.zeros((3, 4))
    opinion[:, [0, 1, 3]] = probe.predict_proba((middle[rows] - mean) / deviation)

    def without_elephants(logits):
        chances = logits.detach().double().exp().numpy()
        chances[:, 2] = 0
        return chances / chances.sum(axis=1, keepdims=True)

    def product(answers, first, second):
        joined = answers**first * opinion**second
        return torch.from_numpy(joined / joined.sum(axis=1, keepdims=True)).float()

    shares = product(without_elephants(known.logits[rows]), 0.5, 0.8)
    features = kept_features.without_class(known.features[rows], shares.log(), data.labels[forget])
    torch.testing.assert_close(ours.features, features, rtol=1e-4, atol=1e-5)
    wanted = product(without_elephants(original.fc(features)), 0.7, 0.7)
    torch.testing.assert_close(ours.log_probs.exp(), wanted, rtol=1e-4, atol=1e-6)
    assert (ours.log_probs[:, 2] == float("-inf")).all()
