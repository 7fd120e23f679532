"""Membership attacks: formulas by hand, ROC figures against scikit-learn, known ends."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from unlearning.audit import membership
from unlearning.audit.estimates import Estimate, estimate


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def outputs_of(count: int, certainty: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of a model that gives the true class so much more logit, and the labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    return softmax(random.normal(size=(count, 4)) + certainty * np.eye(4)[labels]), labels


@pytest.fixture(scope="module")
def memorised():
    """Return probabilities, labels and membership of a model that memorised its 80 members."""
    members, member_labels = outputs_of(80, certainty=7, seed=1)
    others, other_labels = outputs_of(60, certainty=1, seed=2)
    return (
        np.concatenate([members, others]),
        np.concatenate([member_labels, other_labels]),
        np.repeat([1, 0], [80, 60]),
    )


@pytest.fixture(scope="module")
def honest():
    """Return the same of a model that treats both alike."""
    probs, labels = outputs_of(140, certainty=2, seed=3)
    return probs, labels, np.repeat([1, 0], [80, 60])


def aucs(probs, labels, is_member):
    scores = membership.attack_scores(probs, labels, is_member)
    return {
        name: estimate(membership.auc, values[is_member == 1], values[is_member == 0])
        for name, values in scores.items()
    }


def test_modified_entropy_matches_the_formula_by_hand():
    """Must fail if p and 1 - p are swapped, or if one row's label changes another row."""
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    row_0 = -0.3 * math.log(0.7) - 0.2 * math.log(0.8) - 0.1 * math.log(0.9)
    row_1 = -0.2 * math.log(0.8) - 0.1 * math.log(0.9) - 0.1 * math.log(0.9)
    actual = membership.modified_entropy(probs, np.array([0, 1]))
    np.testing.assert_allclose(actual, [row_0, row_1])


def test_modified_entropy_is_finite_for_a_certain_mistake():
    """Must fail if probabilities of exactly 0 and 1 are let into the logarithm."""
    certain = np.array([[1.0, 0.0], [1.0, 0.0]])
    right, wrong = membership.modified_entropy(certain, np.array([0, 1]))
    assert right == pytest.approx(0, abs=1e-10)
    assert 20 < wrong < 100


def test_signals_point_from_stranger_to_member():
    """Must fail if the sign of an entropy is lost, or the largest probability is taken for the true class's."""
    probs, labels = np.array([[0.1, 0.9], [0.5, 0.5]]), np.array([0, 0])
    found = membership.signals(probs, labels)
    np.testing.assert_allclose(found["true_class_probability"], [0.1, 0.5])
    np.testing.assert_allclose(found["confidence"], [0.9, 0.5])
    np.testing.assert_allclose(found["entropy"][1], -math.log(2))
    assert found["entropy"][0] > found["entropy"][1]
    assert found["modified_entropy"][0] < found["modified_entropy"][1]


def test_auc_agrees_with_scikit_learn_ties_included():
    """Must fail if ties count as wins, or positives and negatives are swapped."""
    random = np.random.default_rng(4)
    ups, downs = random.integers(2, 12, 70) / 10, random.integers(0, 10, 40) / 10
    expected = roc_auc_score(np.repeat([1, 0], [70, 40]), np.concatenate([ups, downs]))
    assert membership.auc(ups, downs) == pytest.approx(expected)
    assert membership.auc(np.ones(3), np.ones(4)) == 0.5


def test_members_are_compared_with_others_of_their_own_class_alone():
    """Must fail if an image is held against another class's: an uneven mix alone would look like memory."""
    random = np.random.default_rng(6)
    labels = np.repeat([3, 1, 3, 1, 7], [50, 20, 20, 70, 5])
    is_member = np.arange(165) < 70
    scores = random.integers(0, 9, 165) / 4 + 5.0 * (labels == 3)
    pairs = [(labels == label) & (is_member == side) for label in (1, 3) for side in (True, False)]
    of_class = [membership.auc(scores[a], scores[b]) for a, b in (pairs[:2], pairs[2:])]
    members, others = membership._split(labels, is_member, scores)
    expected = np.average(of_class, weights=[20 * 70, 50 * 20])
    assert membership.auc_within_classes(members, others) == pytest.approx(expected)
    assert membership.auc(scores[is_member], scores[~is_member]) > 0.7
    one = membership._split(np.full(165, 4), is_member, scores)
    assert membership.auc_within_classes(*one) == membership.auc(
        scores[is_member], scores[~is_member]
    )
    apart = membership._split(is_member.astype(int), is_member, scores)
    assert membership.auc_within_classes(*apart) == 0.5


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_true_positive_rate_agrees_with_scikit_learns_roc_curve(rate):
    """Must fail if the share of false positives may be exceeded, or the threshold is one image off."""
    random = np.random.default_rng(5)
    ups, downs = random.normal(1, 1, 200).round(1), random.normal(0, 1, 150).round(1)
    false, true, _ = roc_curve(
        np.repeat([1, 0], [200, 150]), np.concatenate([ups, downs]), drop_intermediate=False
    )
    assert membership.true_positive_rate(ups, downs, rate) == pytest.approx(
        true[false <= rate].max()
    )


def test_true_positive_rate_at_exactly_one_allowed_image():
    """Must fail if 0.05 x 20 is rounded down to no image at all, or ties slip under the threshold."""
    others = np.array([0.9, 0.8, *([0.1] * 18)])
    assert membership.true_positive_rate(np.array([0.85, 0.8, 0.5, 0.95]), others, 0.05) == 0.5
    assert membership.true_positive_rate(np.array([0.2]), np.array([0.1]), 1.0) == 1.0


@pytest.mark.parametrize("attack", membership.ATTACKS)
def test_every_attack_finds_the_members_of_a_model_that_memorised_them(memorised, attack):
    """Must fail if an attack's sign is wrong, or a fitted attack is scored against shuffled targets."""
    assert aucs(*memorised)[attack].interval[0] > 0.8


@pytest.mark.parametrize("attack", membership.ATTACKS)
def test_no_attack_finds_members_of_a_model_that_treats_both_alike(honest, attack):
    """Must fail if a fitted attack is scored on images that it was fitted on."""
    found = aucs(*honest)[attack]
    assert isinstance(found, Estimate)
    low, high = found.interval
    assert low < 0.5 < high


def test_scores_do_not_depend_on_other_rows_labels(memorised):
    """Must fail if `probs[:, labels]` is indexed instead of one label per row."""
    probs, labels, _ = memorised
    whole = membership.signals(probs, labels)
    for name, values in membership.signals(probs[5:6], labels[5:6]).items():
        assert values[0] == whole[name][5]


def test_the_svc_takes_a_forgotten_class_for_a_non_member_and_a_memorised_one_for_a_member():
    """Must fail if members and non-members are swapped, or the share counts members."""
    random = np.random.default_rng(6)
    train, test = random.uniform(0.9, 1, 300), random.uniform(0.2, 0.8, 100)
    forgotten = membership.svc_non_members(train, test, np.full(20, 0.01))
    remembered = membership.svc_non_members(train, test, np.full(20, 0.97))
    assert forgotten.mean() == 1
    assert remembered.mean() == 0


def collapsed(seed: int, tight: float) -> tuple[np.ndarray, np.ndarray]:
    """Return features of 60 members and 60 others, members `tight` times as far along one of 40 directions."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(120, 40))
    is_member = np.repeat([1, 0], 60)
    features[is_member == 1, 0] += tight
    return features, is_member


def test_an_attack_on_features_finds_members_that_outputs_hide():
    """Must fail if the features are not looked at, members and others are swapped, or scores are no ranks."""
    features, is_member = collapsed(seed=0, tight=2.0)
    ranks = membership.feature_scores(features, is_member)
    assert membership.auc(ranks[is_member == 1], ranks[is_member == 0]) > 0.8
    assert (ranks > 0).all() and (ranks < 1).all()


def test_an_attack_on_features_is_not_asked_about_what_it_was_fitted_on():
    """Must fail if an image is scored by a classifier that saw it: 40 directions fit 120 rows of noise well."""
    found = []
    for seed in range(5):
        features, is_member = collapsed(seed, tight=0.0)
        ranks = membership.feature_scores(features, is_member)
        found.append(membership.auc(ranks[is_member == 1], ranks[is_member == 0]))
    assert 0.4 < np.mean(found) < 0.6
