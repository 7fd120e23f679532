"""Do the features still hold the class? Probes on frozen features, and similarity of layers.

Probes are fitted on training images and asked about test images. A retrained model's features separate
classes that it never saw to a degree, too: its recall is the yardstick, not 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from unlearning.audit.compare import Figure, relative
from unlearning.audit.estimates import Estimate, Measured, mean, needs
from unlearning.models.layers import FEATURES, LAYERS, MIDDLE
from unlearning.models.panel import ORIGINAL, Panel
from unlearning.observe.record import Observation, Observed, Sample

Features = Float[np.ndarray, "N D"]
OtherFeatures = Float[np.ndarray, "M D"]
Labels = Int[np.ndarray, " N"]

NEIGHBOURS = 10
SHOTS = 5
DRAWS = 50
SEED = 0


@dataclass(frozen=True)
class Probed:
    """What probes found in one model: recall of the forget images' classes, by layer if of several.

    `kept_neighbours`, `kept_few_shot`: the lower quartile of what they find of each kept class in its place.
    """

    linear: dict[str, Measured]
    neighbours: dict[str, Measured]
    few_shot: Measured
    kept_neighbours: Measured
    kept_few_shot: Measured


def probe_all(observed: Observed) -> Panel[Probed]:
    """Return what probes found in every model; the control shares the original's layers and figures."""
    views = {id(view.layers): view for view in observed.models.named().values()}
    probed = {key: _probe(view, observed.sample) for key, view in views.items()}
    return observed.models.map(lambda view: probed[id(view.layers)])


def _probe(view: Observation, sample: Sample) -> Probed:
    train, test = sample.probed_rows, sample.judged
    labels, tested_labels = sample.labels[train], sample.labels[test]

    def recall(kind: Callable[..., np.ndarray], layer: str) -> Measured:
        features = view.layers[layer]
        found = kind(features[train], labels, features[test])
        return mean((found == tested_labels).astype(float))

    counts = np.bincount(labels, minlength=len(sample.classes))
    shots = min(counts[list(sample.forget_labels)])
    features = view.layers[FEATURES]
    kept = sample.rows("retain", "test")
    hits = (knn_probe(features[train], labels, features[kept]) == sample.labels[kept]).astype(float)
    of_kept = [
        (label, kept[sample.labels[kept] == label])
        for label in np.unique(sample.labels[kept]).tolist()
        if counts[label] >= SHOTS
    ]
    return Probed(
        {layer: recall(linear_probe, layer) for layer in LAYERS},
        {layer: recall(knn_probe, layer) for layer in LAYERS},
        needs(SHOTS)
        if shots < SHOTS
        else mean(
            few_shot_hits(
                features[train], labels, features[test], tested_labels, sample.forget_labels
            )
        ),
        _lower_quartile([mean(hits[np.isin(kept, rows)]) for _, rows in of_kept]),
        _lower_quartile(
            [
                mean(
                    few_shot_hits(
                        features[train], labels, features[rows], sample.labels[rows], [label]
                    )
                )
                for label, rows in of_kept
            ]
        ),
    )


def _lower_quartile(recalls: Sequence[Measured]) -> Measured:
    """Return the recall that a quarter of the classes stay below, of those with enough images."""
    measured = [each for each in recalls if isinstance(each, Estimate)]
    if not measured:
        return needs(10)
    values = np.array([each.value for each in measured])
    resampled = np.array([each.resampled for each in measured])
    return Estimate(float(np.quantile(values, 0.25)), np.quantile(resampled, 0.25, axis=0))


def figures(observed: Observed, probed: Panel[Probed]) -> dict[str, Figure]:
    """Return the figures of the features: probes, and similarity of layers on forget test images."""
    forget = observed.sample.judged
    values = {
        "probe_recall": probed.map(lambda found: found.linear[FEATURES]),
        "early_probe_recall": probed.map(lambda found: found.linear[MIDDLE]),
        "few_shot_recall": probed.map(lambda found: found.few_shot),
        "kept_few_shot_recall": probed.map(lambda found: found.kept_few_shot),
        "kept_knn_recall": probed.map(lambda found: found.kept_neighbours),
        "knn_recall": probed.map(lambda found: found.neighbours[FEATURES]),
    }
    found = {name: Figure(panel) for name, panel in values.items()}
    for layer in LAYERS:
        found |= _likeness(layer, observed.models.map(lambda view: view.layers[layer][forget]))  # noqa: B023
    return found


def _likeness(layer: str, features: Panel[np.ndarray]) -> dict[str, Figure]:
    original = features.subjects[ORIGINAL]
    return {
        f"cka_to_original.{layer}": Figure(features.map(lambda values: cka(values, original))),
        f"cka_to_retrained.{layer}": relative(features, cka),
    }


def linear_probe(features: Features, labels: Labels, tested: OtherFeatures) -> np.ndarray:
    """Return the classes that a logistic regression on standardised features gives the tested images.

    Source: Alain & Bengio 2017, "Understanding Intermediate Layers Using Linear Classifier Probes",
    arXiv:1610.01644.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-3, max_iter=1000))
    return probe.fit(features, labels).predict(tested)


def knn_probe(features: Features, labels: Labels, tested: OtherFeatures) -> np.ndarray:
    """Return the most frequent class among each tested image's 10 nearest training images, by cosine.

    Of fewer training images all are asked.
    """
    probe = KNeighborsClassifier(min(NEIGHBOURS, len(features)), metric="cosine")
    return probe.fit(features, labels).predict(tested)


def few_shot_hits(
    features: Features,
    labels: Labels,
    tested: OtherFeatures,
    tested_labels: Int[np.ndarray, " M"],
    forget_labels: Sequence[int],
    shots: int = SHOTS,
) -> Float[np.ndarray, " M"]:
    """Return how often each tested image finds its own class when a forget class is known by 5 images.

    Each class is its mean of unit features, centred on the mean of the kept classes; an image belongs to
    the class mean of the largest cosine. A forget class's mean is taken of 5 images, drawn 50 times.
    A linear probe with all labels finds almost any class in 512 dimensions; with five, only one that the
    features already hold together. Source: Snell et al. 2017, prototypical networks, arXiv:1703.05175.
    """
    random = np.random.default_rng(SEED)
    kept = ~np.isin(labels, forget_labels)
    center = features[kept].mean(axis=0)
    features, tested = normalize(features - center), normalize(tested - center)
    classes = np.unique(labels)
    means = np.stack([features[labels == label].mean(axis=0) for label in classes])
    found = np.zeros(len(tested))
    for _ in range(DRAWS):
        for label in forget_labels:
            known = random.choice(np.flatnonzero(labels == label), shots, replace=False)
            means[classes == label] = features[known].mean(axis=0)
        found += classes[(tested @ normalize(means).T).argmax(axis=1)] == tested_labels
    return found / DRAWS


def cka(left: Features, right: Float[np.ndarray, "N E"]) -> Measured:
    """Linear CKA of two layers on the same images: 1 if they agree up to rotation and scale, 0 if unrelated.

    Debiased, so that few images in many dimensions do not look alike; may fall slightly below 0. Its
    "resampled" values leave out one image each, spread as widely as the jackknife's standard error:
    images drawn twice would count as alike. 0 if a layer gives every image the same.
    Source: Kornblith et al. 2019, arXiv:1905.00414; the estimator: Song et al. 2012, "Feature Selection
    via Dependence Maximization", equation 5.
    """
    count = len(left)
    if count < 10:
        return needs(10)
    kernels = [_kernel(layer) for layer in (left, right)]
    cross = _hsic(kernels[0], kernels[1])
    own = [_hsic(kernel, kernel) for kernel in kernels]
    value, *without_one = _ratio(cross, own[0], own[1])
    shift = np.array(without_one) - np.mean(without_one)
    return Estimate(float(value), value + np.sqrt(count - 1) * shift)


def _kernel(features: Features) -> Float[np.ndarray, "N N"]:
    # Centred and scaled for the arithmetic's sake; CKA itself ignores both.
    features = features.astype(float)
    size = np.square(features).sum()
    features -= features.mean(axis=0)
    kernel = features @ features.T
    if np.square(features).sum() < 1e-12 * size:
        # A constant layer: what is left of it is rounding.
        kernel[:] = 0.0
    np.fill_diagonal(kernel, 0.0)
    return kernel / max(np.abs(kernel).max(), np.finfo(float).tiny)


def _hsic(left: Float[np.ndarray, "N N"], right: Float[np.ndarray, "N N"]) -> np.ndarray:
    """Return the unbiased HSIC of all images (first) and without each one; kernels have a zero diagonal."""
    count = len(left)
    left_sums, right_sums = left.sum(axis=0), right.sum(axis=0)
    products = (left * right).sum(axis=0)
    trace = products.sum() - np.append(0.0, 2 * products)
    sums = (left_sums.sum() - np.append(0.0, 2 * left_sums)) * (
        right_sums.sum() - np.append(0.0, 2 * right_sums)
    )
    # Sum over j != i of (row sum of left without i) x (row sum of right without i).
    dropped = right @ left_sums + left @ right_sums - products + left_sums * right_sums
    cross = left_sums @ right_sums - np.append(0.0, dropped)
    used = count - np.append(0, np.ones(count))
    return (trace + sums / ((used - 1) * (used - 2)) - 2 * cross / (used - 2)) / (used * (used - 3))


def _ratio(cross: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    # Debiased, a constant layer's own term is 0 or just below.
    scale = np.sqrt((left * right).clip(min=0.0))
    return np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0)
