"""A fresh auditor: can a classifier tell a forget image seen by one model from the same seen by another?

It is fitted after all training is over, on what two models make of forget test images, and scored on images
that it was not fitted on. Between two retrained models it finds what seeds alone change: the floor.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from unlearning.audit.compare import Figure, relative
from unlearning.audit.estimates import Measured, estimate, needs
from unlearning.audit.membership import auc, held_out_ranks
from unlearning.models.layers import FEATURES
from unlearning.observe.record import Observation, Observed

FOLDS = 5
LEAST = 10


def figures(observed: Observed) -> dict[str, Figure]:
    """Return how well a fresh auditor tells each model's forget images from the references'."""
    sample = observed.sample
    forget, retain = sample.judged, sample.rows("retain", "train")

    def features(view: Observation) -> np.ndarray:
        layer = view.layers[FEATURES]
        return feature_view(layer[forget], layer[retain], sample.labels[retain])

    seen = {
        "outputs": observed.models.map(
            lambda view: output_view(view.probs[forget], sample.retired_labels)
        ),
        "features": observed.models.map(features),
    }
    return {f"auditor_auc.{name}": relative(panel, told_apart) for name, panel in seen.items()}


def told_apart(left: Float[np.ndarray, "N D"], right: Float[np.ndarray, "N D"]) -> Measured:
    """Return the auditor's AUC: 0.5 if it cannot tell `left` from `right`, 1 if always.

    Rows are the same images seen by two models; both views of an image stand in the same fold.
    """
    count = len(left)
    if count < LEAST:
        return needs(LEAST)
    inputs = np.concatenate([left, right])
    targets = np.repeat([1, 0], count)
    images = np.tile(np.arange(count), 2)
    folds = list(GroupKFold(FOLDS).split(inputs, targets, images))
    auditor = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    ranks = held_out_ranks(auditor, inputs, targets, folds)
    pairs = np.column_stack([ranks[:count], ranks[count:]])
    return estimate(lambda rows: auc(rows[:, 0], rows[:, 1]), pairs, least=LEAST)


def output_view(
    probs: Float[np.ndarray, "N C"], retired_labels: Sequence[int]
) -> Float[np.ndarray, "N K"]:
    """Return what the auditor sees of outputs: the probabilities of the kept classes, rows summing to 1.

    The outputs of forgotten classes, by earlier requests too, are left out: in a model that never saw a class
    its own is an accident of the seed, by which any two retrained models could be told apart.
    """
    kept = np.delete(probs, list(retired_labels), axis=1)
    return kept / kept.sum(axis=1, keepdims=True).clip(min=np.finfo(float).tiny)


def feature_view(
    features: Float[np.ndarray, "N D"],
    retain_features: Float[np.ndarray, "M D"],
    retain_labels: Int[np.ndarray, " M"],
) -> Float[np.ndarray, "N K"]:
    """Return what the auditor sees of features: each image's cosine to the mean of every kept class.

    Two networks of different seeds name their 512 directions differently, so that raw features tell any two
    of them apart. Positions relative to anchors that both know compare.
    Source: Moschella et al. 2023, "Relative Representations", arXiv:2209.15430.
    """
    center = retain_features.mean(axis=0)
    anchors = np.stack(
        [
            retain_features[retain_labels == label].mean(axis=0) - center
            for label in np.unique(retain_labels)
        ]
    )
    return normalize(features - center) @ normalize(anchors).T
