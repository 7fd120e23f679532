"""Probes, similarity of layers, the head-edited control, and the auditor's view of features."""

import copy

import numpy as np
import pytest
import torch

from unlearning.audit import auditor, representation
from unlearning.audit.estimates import Estimate
from unlearning.models.forward import predict_logits
from unlearning.models.head import edit_head


def clusters(counts: dict[int, int], spread: float, seed: int, size: int = 16):
    """Return features around one corner per class, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.full(count, label) for label, count in counts.items()])
    return 3 * np.eye(size)[labels] + spread * random.normal(size=(len(labels), size)), labels


TRAIN = clusters({0: 40, 1: 40, 2: 40}, spread=0.3, seed=1)
TEST = clusters({2: 20}, spread=0.3, seed=2)
PROBES = [representation.linear_probe, representation.knn_probe]


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_finds_a_class_that_the_features_hold_and_no_other(probe):
    """Must fail if the probe is tested on what it was fitted on, or labels lose their order."""
    assert (probe(*TRAIN, TEST[0]) == 2).mean() == 1
    noise = np.random.default_rng(3).normal(size=(120, 16))
    assert (
        probe(noise, TRAIN[1], np.random.default_rng(4).normal(size=(200, 16))) == 2
    ).mean() < 0.6


@pytest.mark.parametrize("probe", PROBES)
def test_a_probe_takes_features_without_variance(probe):
    """Must fail if a constant layer, as of a collapsed model, divides by zero."""
    assert len(probe(np.ones((120, 4)), TRAIN[1], np.ones((5, 4)))) == 5


def test_few_shots_find_only_a_class_that_holds_together():
    """Must fail if the forget class's mean is taken of all its images, or of the kept classes."""
    hits = representation.few_shot_hits(*TRAIN, *TEST, [2])
    assert hits.shape == (20,)
    assert hits.mean() > 0.95
    # Class 2 scattered over the corners of the others: five images say nothing of the sixth.
    random = np.random.default_rng(5)
    where = random.integers(0, 2, 40)
    features = TRAIN[0].copy()
    features[80:] = 3 * np.eye(16)[where] + 0.3 * random.normal(size=(40, 16))
    scattered = 3 * np.eye(16)[random.integers(0, 2, 20)] + 0.3 * random.normal(size=(20, 16))
    assert representation.few_shot_hits(features, TRAIN[1], scattered, TEST[1], [2]).mean() < 0.5


def test_few_shots_by_hand():
    """Must fail if cosines are not taken from the kept classes' mean."""
    features = np.array([[2.0, 0], [0, 2.0], [4.0, 3.0]])
    # Seen from (1, 1), the kept classes lie down-right and up-left, the third up-right: (4, 1.1) is its own
    # from there, and the first class's from the origin.
    tested = np.array([[1.5, 1.5], [0.5, 3.0], [4.0, 1.1]])
    hits = representation.few_shot_hits(
        features, np.array([0, 1, 2]), tested, np.array([2, 2, 2]), [2], 1
    )
    np.testing.assert_array_equal(hits, [1, 0, 1])


def test_five_images_say_more_than_one():
    """Must fail if another number of images than `shots` is drawn."""
    train = clusters({0: 40, 1: 40, 2: 40}, spread=2.0, seed=6)
    tested = clusters({2: 60}, spread=2.0, seed=7)
    five = representation.few_shot_hits(*train, *tested, [2]).mean()
    one = representation.few_shot_hits(*train, *tested, [2], 1).mean()
    assert five > one + 0.05


def slow_hsic(left: np.ndarray, right: np.ndarray) -> float:
    """Song et al. 2012, the unbiased estimator as sums over distinct images."""
    n = len(left)
    kernel, other = left @ left.T, right @ right.T
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    first = sum(kernel[i, j] * other[i, j] for i, j in pairs) / (n * (n - 1))
    third = sum(
        kernel[i, j] * other[i, q] for i, j in pairs for q in range(n) if q not in (i, j)
    ) / (n * (n - 1) * (n - 2))
    second = sum(
        kernel[i, j] * other[q, r] for i, j in pairs for q, r in pairs if len({i, j, q, r}) == 4
    ) / (n * (n - 1) * (n - 2) * (n - 3))
    return first + second - 2 * third


def slow_cka(left: np.ndarray, right: np.ndarray) -> float:
    return slow_hsic(left, right) / np.sqrt(slow_hsic(left, left) * slow_hsic(right, right))


def test_cka_agrees_with_the_sums_over_distinct_images_left_out_ones_too():
    """Must fail if the diagonal is kept, a factor is off, or a left-out image stays."""
    random = np.random.default_rng(6)
    left = random.normal(size=(10, 4))
    right = left @ random.normal(size=(4, 3)) + random.normal(size=(10, 3))
    found = representation.cka(left, right)
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(slow_cka(left, right))
    without = [slow_cka(np.delete(left, i, 0), np.delete(right, i, 0)) for i in range(10)]
    # The jackknife's standard error: sqrt((n - 1) / n * sum of squares).
    error = np.sqrt(9 / 10 * np.sum((np.array(without) - np.mean(without)) ** 2))
    assert found.resampled.std() == pytest.approx(error)
    assert found.resampled - found.value == pytest.approx(3 * (without - np.mean(without)))


def test_cka_is_one_up_to_rotation_and_scale_and_near_zero_between_strangers():
    """Must fail if it is not normalised, or biased: 40 images in 500 dimensions would look alike."""
    random = np.random.default_rng(7)
    features = random.normal(size=(40, 500))
    rotation = np.linalg.qr(random.normal(size=(500, 500)))[0]
    assert representation.cka(features, 7 * features @ rotation + 5).value == pytest.approx(1)
    assert abs(representation.cka(features, random.normal(size=(40, 500))).value) < 0.1


def test_cka_of_a_collapsed_layer_is_zero():
    """Must fail if a constant layer gives 0 / 0."""
    random = np.random.default_rng(8)
    found = representation.cka(np.ones((12, 5)), random.normal(size=(12, 5)))
    assert found.value == 0
    assert np.isfinite(found.resampled).all()


def test_cka_needs_ten_images():
    """Must fail if nine images, with which the estimator is all noise, give a number."""
    assert representation.cka(np.eye(9), np.eye(9)) == "not measured: needs 10 images"


def test_the_head_edited_control_hides_the_class_and_nothing_else(data, trained, cpu):
    """Must fail if kept logits or the caller's model change, or the class's is not 6 below their mean."""
    before = copy.deepcopy(trained.state_dict())
    label = data.forget_labels[0]
    control = edit_head(trained, [label])
    images = data.select(subset="train")
    was, now = (predict_logits(model, data, images, cpu) for model in (trained, control))
    kept = [other for other in range(len(data.classes)) if other != label]
    assert (was.argmax(dim=1) == label).any()
    assert not (now.argmax(dim=1) == label).any()
    assert torch.equal(was[:, kept], now[:, kept])
    torch.testing.assert_close(now[:, label], now[:, kept].mean(dim=1) - 6, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(before[key], value) for key, value in trained.state_dict().items())


def test_the_auditor_tells_two_kinds_of_views_apart_but_not_one():
    """Must fail if it is scored on images that it was fitted on, or an image's two views are parted."""
    random = np.random.default_rng(9)
    images = random.normal(size=(60, 8))
    moved = images + random.normal(size=(60, 8)) * 0.1 + np.eye(8)[0] * 2
    same = auditor.told_apart(images, images + random.normal(size=(60, 8)) * 0.1)
    assert auditor.told_apart(images, moved).interval[0] > 0.85
    assert same.interval[0] < 0.5 < same.interval[1]


def test_the_auditor_cannot_tell_a_model_from_itself():
    """Must fail if ties count as wins."""
    images = np.random.default_rng(10).normal(size=(30, 5))
    low, high = auditor.told_apart(images, images).interval
    assert low <= 0.5 <= high
    assert auditor.told_apart(images[:9], images[:9]) == "not measured: needs 10 images"


def test_the_auditor_sees_kept_classes_alone():
    """Must fail if the forgotten class's own output stays, or rows no longer sum to 1."""
    view = auditor.output_view(np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]]), [1])
    np.testing.assert_allclose(view, [[0.4, 0.6], [0.0, 0.0]])


def test_the_auditors_view_of_features_does_not_depend_on_the_networks_directions():
    """Must fail if raw features are compared: any two seeds would be told apart."""
    random = np.random.default_rng(11)
    features, retain = random.normal(size=(20, 16)), TRAIN[0][:80]
    rotation = np.linalg.qr(random.normal(size=(16, 16)))[0]
    view = auditor.feature_view(features, retain, TRAIN[1][:80])
    turned = auditor.feature_view(4 * features @ rotation, 4 * retain @ rotation, TRAIN[1][:80])
    assert view.shape == (20, 2)
    np.testing.assert_allclose(view, turned, atol=1e-12)
