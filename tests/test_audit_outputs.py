"""Figures of the outputs against hand values and other libraries' implementations."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torchmetrics.functional.classification import multiclass_calibration_error

from unlearning.audit import outputs


def random_probs(count: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), count)


def test_js_divergence_agrees_with_scipy_and_is_symmetric():
    """Must fail if the mixture is not halved, or KL is taken one way only."""
    left, right = random_probs(50, 7, seed=1), random_probs(50, 7, seed=2)
    expected = [jensenshannon(p, q) ** 2 for p, q in zip(left, right, strict=True)]
    np.testing.assert_allclose(outputs.js_divergence(left, right), expected, atol=1e-12)
    np.testing.assert_allclose(outputs.js_divergence(right, left), expected, atol=1e-12)


def test_js_divergence_is_zero_between_equals_and_ln_2_between_strangers():
    """Must fail if 0 log 0 is NaN, or the unit is bits."""
    probs = random_probs(20, 5, seed=3)
    assert outputs.js_divergence(probs, probs).max() < 1e-12
    corners = np.eye(2)
    np.testing.assert_allclose(outputs.js_divergence(corners, corners[::-1]), math.log(2))


def test_entropy_agrees_with_torch_distributions():
    """Must fail if the sign or the base is wrong."""
    probs = random_probs(30, 6, seed=4)
    expected = torch.distributions.Categorical(torch.from_numpy(probs)).entropy()
    np.testing.assert_allclose(outputs.entropy(probs), expected, rtol=1e-9)
    assert outputs.entropy(np.full((1, 4), 0.25))[0] == pytest.approx(math.log(4))


def test_total_variation_is_the_share_that_would_have_to_move():
    """Must fail if the half is forgotten, or rows are compared one by one."""
    left, right = np.eye(3)[[0, 0, 1, 2]], np.eye(3)[[2, 1, 1, 1]]
    # Histograms 2 1 1 and 0 3 1: two of four images would have to move.
    assert outputs.total_variation(left, right) == pytest.approx(0.5)
    assert outputs.total_variation(left, left[::-1]) == 0


def test_the_predicted_class_of_equals_is_the_first():
    """Must fail if ties are broken otherwise than by argmax, or both get a 1."""
    np.testing.assert_array_equal(outputs.one_hot(np.array([[0.4, 0.4, 0.2]])), [[1, 0, 0]])


def test_agreement_counts_images():
    """Must fail if agreement looks at probabilities instead of classes."""
    left = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    right = np.array([[0.6, 0.4], [0.8, 0.2], [0.9, 0.1]])
    np.testing.assert_array_equal(outputs.agreement(left, right), [1, 0, 1])


def test_calibration_error_agrees_with_torchmetrics():
    """Must fail if bins are not weighted by their images, or accuracy and confidence are swapped."""
    probs, labels = random_probs(400, 5, seed=5), np.random.default_rng(6).integers(0, 5, 400)
    expected = multiclass_calibration_error(
        torch.from_numpy(probs), torch.from_numpy(labels), num_classes=5, n_bins=15, norm="l1"
    )
    rows = np.column_stack([probs.max(axis=1), probs.argmax(axis=1) == labels])
    assert outputs.calibration_error(rows) == pytest.approx(expected.item(), abs=1e-6)


def test_calibration_error_by_hand():
    """Must fail if the gaps of different bins cancel."""
    # Bin (0.8, 0.867]: 0.85 and 0.85, one right: gap 0.35. Bin (0.933, 1]: 1.0, wrong: gap 1.
    rows = np.array([[0.85, 1.0], [0.85, 0.0], [1.0, 0.0]])
    assert outputs.calibration_error(rows) == pytest.approx((2 * 0.35 + 1.0) / 3)
    assert outputs.calibration_error(np.array([[1.0, 1.0], [0.0, 0.0]])) == 0
    # The first bin ends at 1/15: gaps of 0.95 up and 0.1 down must not meet in one bin.
    neighbours = np.array([[0.05, 1.0], [0.1, 0.0]])
    assert outputs.calibration_error(neighbours) == pytest.approx((0.95 + 0.1) / 2)


def test_zrf_is_one_only_for_a_model_that_answers_as_noise_does():
    """Must fail if it is JS itself (0 for equals), or divided by the number of classes (near 1 always)."""
    probs = random_probs(20, 5, seed=7)
    np.testing.assert_allclose(outputs.zero_retrain_forgetting(probs, probs), 1)
    corners = np.eye(2)
    np.testing.assert_allclose(
        outputs.zero_retrain_forgetting(corners, corners[::-1]), 1 - math.log(2)
    )
