"""Membership attacks: can forget images that were trained on be told from forget images that were not?

An attack gives each image a score that is higher for a likelier member, by the model's outputs or by the
features of its two deepest layers. Members are the forget images of the training subset. Non-members are test
images: of the forget classes, or of a request for single images those of the same classes. The area under the
ROC curve compares images of one class alone: members may be of other classes than most of the others are, and
which class an image shows is nothing that was memorised of it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial
from operator import itemgetter

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from unlearning.audit.compare import Figure, depending
from unlearning.audit.estimates import Estimate, Measured, estimate, mean, needs
from unlearning.audit.outputs import entropy
from unlearning.audit.words import Unmeasured
from unlearning.base.sampling import spread_evenly
from unlearning.models.layers import DEEP
from unlearning.models.panel import Panel
from unlearning.observe.record import Observation, Observed, Sample

Probs = Float[np.ndarray, "N C"]
Labels = Int[np.ndarray, " N"]
PerImage = Float[np.ndarray, " N"]
# An image's score; a key by which images are ordered by class, and in it by score; bounds of the class's keys.
Scored = Float[np.ndarray, "_ 4"]
SCORE, KEY, FIRST, NEXT = range(4)
Measures = Mapping[str, Callable[..., Measured]]

# Attacks on outputs. What is fitted knows by itself which side members are on: below 0.5 it has failed. Of the
# others either side may be theirs.
SIGNALS = ("true_class_probability", "confidence", "entropy", "modified_entropy")
FITTED = ("logistic_regression", "gradient_boosting")
ATTACKS = (*SIGNALS, *FITTED)
# By the retrained models; of whole classes it would tell that these never knew them.
LIKELIHOOD_RATIO = "likelihood_ratio"
FOLDS = 5
DIVISIONS = 3  # into folds, of the attacks on features
# scikit-learn's C, of standardised features: there are more of them than images.
FEATURE_REGULARISATION = 0.01
SEED = 0
LEAST = 10  # members and non-members
# Share of false positives, and the non-members it takes to read one: a single one must be no larger share.
FALSE_POSITIVE_RATES = {"at_1_percent": (0.01, 100), "at_5_percent": (0.05, 20)}
# Shown where there are as many, which is seldom.
WITH_MANY_IMAGES = {"at_1_permille": (0.001, 1000)}


def figures(observed: Observed) -> dict[str, Figure]:
    """Return how well attackers tell forget images that were trained on from those that were not."""
    sample, models = observed.sample, observed.models
    members, unseen = sample.members, sample.unseen
    images = np.concatenate([members, unseen])
    is_member = np.repeat([1, 0], [len(members), len(unseen)])
    split = partial(_split, sample.labels[images], is_member == 1)
    values = {"membership_svc": models.map(lambda view: _svc(view, sample))}
    by_references = {}
    measures = _measures(len(unseen))
    if min(len(members), len(unseen)) < LEAST:
        nothing = models.map(lambda _: needs(LEAST))
        values |= {f"{name}.{attack}": nothing for name in measures for attack in (*ATTACKS, *DEEP)}
        if sample.of_images:
            values |= {f"{name}.{LIKELIHOOD_RATIO}": nothing for name in measures}
    else:
        if sample.of_images:
            odds = models.map(lambda view: log_odds(view.probs[images], sample.labels[images]))
            by_references = _against_references(odds, split, measures)
        scores = models.map(
            lambda view: {
                **attack_scores(view.probs[images], sample.labels[images], is_member),
                **{layer: feature_scores(view.layers[layer][images], is_member) for layer in DEEP},
            }
        )
        for attack in (*ATTACKS, *DEEP):
            groups = scores.map(itemgetter(attack)).map(split)
            values |= {
                f"{name}.{attack}": groups.map(lambda pair, of=measure: of(*pair))  # type: ignore[misc]
                for name, measure in measures.items()
            }
    values["membership_outputs"] = _worst(values)
    return {name: Figure(panel) for name, panel in values.items()} | by_references


def _measures(non_members: int) -> Measures:
    """Return what is measured of an attack's scores of members and of so many non-members."""

    def found(share: float, least: int, members: Scored, others: Scored) -> Measured:
        if len(others) < least:
            return needs(least)
        of_share = partial(true_positive_rate, false_positive_rate=share)
        return estimate(of_share, members[:, SCORE], others[:, SCORE])

    rates = FALSE_POSITIVE_RATES | {
        name: each for name, each in WITH_MANY_IMAGES.items() if non_members >= each[1]
    }
    return {"membership_auc": partial(estimate, auc_within_classes)} | {
        f"membership_tpr.{name}": partial(found, *each) for name, each in rates.items()
    }


def _split(labels: Labels, is_member: np.ndarray, scores: PerImage) -> tuple[Scored, Scored]:
    """Return what is known of each member and of each other: `SCORE`, `KEY`, `FIRST`, `NEXT`."""
    count = len(scores)
    key = labels * count + rankdata(scores, "dense") - 1
    known = np.column_stack([scores, key, labels * count, (labels + 1) * count])
    return known[is_member], known[~is_member]


def _against_references(
    odds: Panel[np.ndarray], split: Callable[[PerImage], tuple[Scored, Scored]], measures: Measures
) -> dict[str, Figure]:
    """Return what an attacker finds who knows what models that never saw an image say of it.

    Each model is attacked by the retrained models other than itself. Score: log odds above their mean, which is
    the offline likelihood ratio attack with one spread for all images. Source: Carlini et al. 2022,
    arXiv:2112.03570, section 4.4.
    """
    of_model = odds.subjects | odds.references

    @cache
    def attacked(model: str, others: tuple[str, ...]) -> dict[str, Measured]:
        groups = split(of_model[model] - np.mean([of_model[each] for each in others], axis=0))
        return {name: of(*groups) for name, of in measures.items()}

    def measured(name: str) -> Figure:
        def among(model: str, references: Collection[str]) -> Measured:
            others = tuple(each for each in references if each != model)
            if not others:
                return Unmeasured.NO_FLOOR if references else Unmeasured.NO_REFERENCE
            return attacked(model, others)[name]

        return depending(odds, among, own_part)

    return {f"{name}.{LIKELIHOOD_RATIO}": measured(name) for name in measures}


def own_part(references: int) -> float:
    """Return how much farther one of so many models lies from the mean of the others than from that of all."""
    return references / (references - 1)


def log_odds(probs: Probs, labels: Labels) -> PerImage:
    """Return the logarithm of p / (1 - p) of each true class; p is kept 1e-12 away from 0 and 1."""
    chance = probs[np.arange(len(labels)), labels].clip(1e-12, 1 - 1e-12)
    return np.log(chance) - np.log1p(-chance)


def _worst(values: Mapping[str, Panel[Measured]]) -> Panel[Measured]:
    """Return by how much the best of the attacks on outputs beats a coin toss, in [0, 0.5]."""
    attacks = [values[f"membership_auc.{attack}"] for attack in ATTACKS]

    def worst(found: Sequence[Measured]) -> Measured:
        measured = [each for each in found if isinstance(each, Estimate)]
        if len(measured) < len(found):
            return needs(LEAST)
        above = np.array([[each.value, *each.resampled] for each in measured]) - 0.5
        turned = [attack in SIGNALS for attack in ATTACKS]
        above[turned] = np.abs(above[turned])
        best = above.max(axis=0, initial=0.0)
        return Estimate(float(best[0]), best[1:])

    return Panel(
        {name: worst([of.subjects[name] for of in attacks]) for name in attacks[0].subjects},
        {seed: worst([of.references[seed] for of in attacks]) for seed in attacks[0].references},
    )


def _svc(view: Observation, sample: Sample) -> Measured:
    chance = view.probs[np.arange(len(sample.labels)), sample.labels]
    flags = svc_non_members(
        *(
            chance[sample.rows(role, subset)]
            for role, subset in (("retain", "train"), ("retain", "test"), ("forget", "train"))
        )
    )
    return mean(flags)


def signals(probs: Probs, labels: Labels) -> dict[str, PerImage]:
    """Return the scores of the attacks that need no fitting; higher: likelier a member.

    Source of the first, third and fourth: Song & Mittal 2021, arXiv:2003.10595; of the second:
    Salem et al. 2019, arXiv:1806.01246, third adversary.
    """
    return {
        "true_class_probability": probs[np.arange(len(labels)), labels],
        "confidence": probs.max(axis=1),
        "entropy": -entropy(probs),
        "modified_entropy": -modified_entropy(probs, labels),
    }


def modified_entropy(probs: Probs, labels: Labels) -> PerImage:
    """Uncertainty of each prediction given its true label y; training members tend to score low.

    -(1 - p_y) log p_y - sum over i != y of p_i log(1 - p_i), in nats; 0 if certain and right.
    Finite if certain and wrong: probabilities are kept 1e-12 away from 0 and 1.
    Source: Song & Mittal 2021, modified prediction entropy, arXiv:2003.10595.
    """
    probs = probs.clip(1e-12, 1 - 1e-12)
    rows = np.arange(len(labels))
    true_class = probs[rows, labels]
    terms = -probs * np.log1p(-probs)
    terms[rows, labels] = -(1 - true_class) * np.log(true_class)
    return terms.sum(axis=1)


def attack_scores(probs: Probs, labels: Labels, is_member: Labels) -> dict[str, PerImage]:
    """Return every attack's scores, fitted or not; `is_member` is 1 or 0."""
    return signals(probs, labels) | fitted_scores(probs, labels, is_member)


def fitted_scores(probs: Probs, labels: Labels, is_member: Labels) -> dict[str, PerImage]:
    """Return the scores of attacks fitted on the sorted probabilities and the loss.

    Each image is scored by a classifier that did not see it, as a rank within its fold: classifiers of
    different folds are on different scales, and pooling raw scores makes a useless attack look inverted.
    Needs at least 5 members and 5 non-members.
    """
    loss = -np.log(probs[np.arange(len(labels)), labels].clip(1e-12))
    inputs = np.column_stack([-np.sort(-probs, axis=1), loss])
    attackers = {
        "logistic_regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "gradient_boosting": GradientBoostingClassifier(
            n_estimators=50, max_depth=2, random_state=SEED
        ),
    }
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(inputs, is_member))
    return {
        name: held_out_ranks(attacker, inputs, is_member, folds)
        for name, attacker in attackers.items()
    }


def feature_scores(features: Float[np.ndarray, "N D"], is_member: Labels) -> PerImage:
    """Return the scores of an attack on a layer's features: a logistic regression that did not see the image.

    Mean rank within its fold over three divisions into folds: one division alone moves the AUC by two points.
    Outputs may be those of retraining while a layer below still tells what the model was trained on. Needs at
    least 5 members and 5 non-members.
    """
    attacker = make_pipeline(
        StandardScaler(), LogisticRegression(C=FEATURE_REGULARISATION, class_weight="balanced")
    )
    divisions = [
        StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, is_member)
        for seed in range(DIVISIONS)
    ]
    return np.mean(
        [held_out_ranks(attacker, features, is_member, list(folds)) for folds in divisions], axis=0
    )


def held_out_ranks(
    classifier: BaseEstimator,
    inputs: Float[np.ndarray, "N D"],
    targets: Labels,
    folds: list[tuple[np.ndarray, np.ndarray]],
) -> PerImage:
    """Return each row's rank within its fold, in (0, 1), by a classifier fitted on the other folds."""
    ranks = np.zeros(len(targets))
    for fitted_on, held_out in folds:
        classifier.fit(inputs[fitted_on], targets[fitted_on])
        scores = classifier.predict_proba(inputs[held_out])[:, 1]
        ranks[held_out] = rankdata(scores) / (len(held_out) + 1)
    return ranks


def auc(positives: Float[np.ndarray, " P"], negatives: Float[np.ndarray, " Q"]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties count half.

    0.5: no attack. Below 0.5 the attack points the wrong way, which an attacker can turn round.
    """
    ordered = np.sort(negatives)
    beaten, not_above = (
        np.searchsorted(ordered, positives, side).sum() for side in ("left", "right")
    )
    return float((beaten + not_above) / 2 / (len(positives) * len(negatives)))


def auc_within_classes(members: Scored, others: Scored) -> float:
    """Return the AUC over the pairs of a member and another of one class; 0.5 if there is no such pair.

    Of a single class it is `auc`.
    """
    ordered = np.sort(others[:, KEY])
    first, below, after = (
        np.searchsorted(ordered, members[:, column]) for column in (FIRST, KEY, NEXT)
    )
    not_above = np.searchsorted(ordered, members[:, KEY], "right")
    pairs = (after - first).sum()
    return float((below + not_above - 2 * first).sum() / 2 / pairs) if pairs else 0.5


def true_positive_rate(
    members: Float[np.ndarray, " P"],
    non_members: Float[np.ndarray, " Q"],
    false_positive_rate: float,
) -> float:
    """Largest share of members found at a threshold that calls at most this share of non-members members.

    Source: Carlini et al. 2022, "Membership Inference Attacks From First Principles", arXiv:2112.03570.
    """
    allowed = int(false_positive_rate * len(non_members))
    # The threshold lies just above the first non-member that must not be called a member.
    threshold = np.sort(non_members)[::-1][allowed] if allowed < len(non_members) else -np.inf
    return float((members > threshold).mean())


def svc_non_members(
    retain_train: Float[np.ndarray, " M"],
    retain_test: Float[np.ndarray, " K"],
    forget_train: PerImage,
) -> PerImage:
    """Return 1 for each forget training image that the field's common attack takes for a non-member, else 0.

    An SVC (RBF kernel, C = 3, gamma "auto") learns from the probability of the true class to tell retain
    training images (members) from as many retain test images. The mean of the result is what papers call
    "MIA-efficacy" or plainly "MIA": 1 reads as forgotten, and a forgotten class reaches it by its low
    probability alone. Source: Jia et al. 2023, arXiv:2304.04934, confidence-based attack.
    """
    count = min(len(retain_train), len(retain_test))
    chosen = [values[spread_evenly(len(values), count)] for values in (retain_train, retain_test)]
    attacker = SVC(C=3, gamma="auto", kernel="rbf")
    attacker.fit(np.concatenate(chosen)[:, None], np.repeat([1, 0], count))
    return (attacker.predict(forget_train[:, None]) == 0).astype(float)
