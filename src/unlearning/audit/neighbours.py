"""Which classes lose or gain by the forgetting, and is it those that resemble the forgotten one (A25, A26)?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import spearmanr
from sklearn.preprocessing import normalize

from unlearning.audit.evaluation import per_class_accuracy
from unlearning.audit.outputs import one_hot
from unlearning.audit.words import Unmeasured
from unlearning.models.layers import FEATURES
from unlearning.models.panel import ORIGINAL, UNLEARNED
from unlearning.observe.record import Observed

LEAST_CLASSES = 4


def feature_similarity(
    features: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
    is_forgotten: Bool[np.ndarray, " N"],
) -> dict[int, float]:
    """Return each kept class's cosine to the forget images, between class means in a model's features.

    In [-1, 1]; the mean over the kept classes' means is the origin, without which all are alike.
    """
    kept = [int(label) for label in np.unique(labels[~is_forgotten])]
    means = np.stack([features[(labels == label) & ~is_forgotten].mean(axis=0) for label in kept])
    forgotten = features[is_forgotten].mean(axis=0)
    center = means.mean(axis=0)
    cosines = normalize(means - center) @ normalize((forgotten - center)[None])[0]
    return dict(zip(kept, cosines.tolist(), strict=True))


def rows(observed: Observed) -> list[dict[str, Any]]:
    """Return one row per kept class: its likeness to the forgotten ones, and what happened to it (A25, A26).

    `destination`: the share of forget images given that class, by the unlearned model and, on average, by
    the retrained ones. `against_original`: the change of its test accuracy.
    """
    sample, models = observed.sample, observed.models
    forget, train = sample.judged, sample.rows(None, "train")
    similarities = [
        feature_similarity(
            view.layers[FEATURES][train], sample.labels[train], sample.roles[train] == "forget"
        )
        for view in models.references.values()
    ]
    arrivals = models.map(lambda view: one_hot(view.probs[forget]).mean(axis=0))
    retain = sample.rows("retain", "test")
    accuracies = models.map(
        lambda view: per_class_accuracy(view.logits[retain], sample.labels[retain], sample.classes)
    )
    return [
        {
            "class": name,
            "feature_similarity": _mean([found[label] for found in similarities]),
            "ssim": float(observed.shared.structural_similarity[label]),
            "destination": float(arrivals.subjects[UNLEARNED][label]),
            "destination_retrained": _mean(
                [float(found[label]) for found in arrivals.references.values()]
            ),
            "against_original": accuracies.subjects[UNLEARNED][name]
            - accuracies.subjects[ORIGINAL][name],
        }
        for label, name in enumerate(sample.classes)
        if name in accuracies.subjects[UNLEARNED]
    ]


def _mean(values: Sequence[float]) -> float | Unmeasured:
    return float(np.mean(values)) if values else Unmeasured.NO_REFERENCE


def correlations(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per likeness: its rank correlation with where forget images go and what classes lose."""

    def correlate(likeness: str, change: str) -> float | Unmeasured:
        first, second = ({row["class"]: row[key] for row in rows} for key in (likeness, change))
        if Unmeasured.NO_REFERENCE in (*first.values(), *second.values()):
            return Unmeasured.NO_REFERENCE
        return rank_correlation(first, second)

    changes = ("destination", "destination_retrained", "against_original")
    return [
        {"likeness": likeness, **{change: correlate(likeness, change) for change in changes}}
        for likeness in ("feature_similarity", "ssim")
    ]


def rank_correlation(left: Mapping[str, float], right: Mapping[str, float]) -> float | Unmeasured:
    """Return Spearman's rank correlation over the classes, in [-1, 1], or why there is none."""
    if len(left) < LEAST_CLASSES:
        return Unmeasured.NEEDS_4_CLASSES
    first = [left[name] for name in left]
    second = [right[name] for name in left]
    if len(set(first)) == 1 or len(set(second)) == 1:
        return Unmeasured.ALL_EQUAL
    return float(spearmanr(first, second).statistic)
