"""What the frozen original is asked, and the targets that follow from it."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unlearning.data.dataset import normalised
from unlearning.game.kept_features import KeptFeatures
from unlearning.game.knowledge import consult, probed_images
from unlearning.game.teacher import targets

CPU = torch.device("cpu")


@pytest.fixture
def original(make_network):
    return make_network(3).eval()


def test_the_original_is_asked_for_logits_features_and_a_middle_layer(original, data, cpu):
    """Must fail if the order is not that of the sorted indices, a batch is lost, or layers are mixed up."""
    asked = torch.tensor([30, 2, 17, 9])
    known = consult(original, data, asked, cpu, batch_size=3)
    assert known.indices.tolist() == [2, 9, 17, 30]
    images = normalised(data.pixels(known.indices), CPU)
    with torch.no_grad():
        middle = original.layer2(images)
        torch.testing.assert_close(known.logits, original(images))
    torch.testing.assert_close(known.features, middle.mean(dim=(2, 3)))
    corner = known.middle.reshape(4, 8, 2, 2)[:, :, 0, 1]
    torch.testing.assert_close(corner, middle[:, :, :4, 4:].mean(dim=(2, 3)))
    assert known.places(asked).tolist() == [3, 0, 2, 1]


def test_asking_leaves_the_original_as_it_was(original, data, cpu):
    """Must fail if its mode or batch statistics change."""
    original.train()
    before = {name: value.clone() for name, value in original.state_dict().items()}
    consult(original, data, torch.arange(6), cpu)
    assert original.training
    assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())


def test_the_probe_sees_64_retain_images_of_each_class(make_data):
    """Must fail if forget or held-out images are shown, classes share a quota, or the seed is ignored."""
    data = make_data({"cat": 70, "dog": 5, "elephant": 80, "horse": 66})
    chosen = probed_images(data, seed=0)
    assert torch.bincount(data.labels[chosen], minlength=4).tolist() == [64, 5, 0, 64]
    assert set(data.subsets[chosen.numpy()]) == {"train"}
    assert len(set(chosen.tolist())) == len(chosen)
    assert torch.equal(chosen, probed_images(data, seed=0))
    assert set(chosen.tolist()) != set(probed_images(data, seed=1).tolist())


def test_targets_join_both_opinions(original, data, cpu):
    """Must fail if an exponent, an opinion, the standardisation or the order of images changes."""
    forget = data.select(role="forget", subset="train")[[4, 0, 7]]
    probed = data.select(role="retain", subset="train")
    known = consult(original, data, torch.cat([forget, probed]), cpu)
    kept_features = KeptFeatures(known, probed, data, torch.Generator())
    ours = targets(known, original.fc, kept_features, forget, probed, data)

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
