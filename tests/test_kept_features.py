"""What the features of forget images are to become: a mixture of kept classes, without a mark of their own."""

import dataclasses

import pytest
import torch
from torch import nn

from unlearning.game.kept_features import KeptFeatures
from unlearning.game.knowledge import Knowledge


@pytest.fixture
def known(data) -> Knowledge:
    """Return made-up features of all training images: classes apart, elephants (2) far from all others."""
    indices = data.select(subset="train")
    generator = torch.Generator().manual_seed(0)
    places = 3 * torch.rand(len(data.classes), 6, generator=generator)
    places[2, 5] += 9
    noise = torch.randn(len(indices), 6, generator=generator)
    features = 5 + places[data.labels[indices]] + 0.4 * noise
    empty = features.new_zeros(len(indices), 0)
    return Knowledge(indices, empty, features, empty, nn.Identity())


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
    turned = kept.turned(features)
    torch.testing.assert_close(turned, apart / apart.square().sum(dim=1, keepdim=True).sqrt())
    farther = features + 2 * apart
    torch.testing.assert_close(kept.turned(farther), turned)
