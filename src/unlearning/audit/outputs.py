"""Figures of the outputs: divergences, agreement, calibration. Probabilities in, numbers out."""

import numpy as np
from jaxtyping import Float
from scipy.special import entr, softmax

from unlearning.audit.compare import Figure, relative
from unlearning.audit.estimates import Measured, estimate, mean
from unlearning.models.panel import ORIGINAL, Panel
from unlearning.observe.record import Observation, Observed

Probs = Float[np.ndarray, "N C"]
PerImage = Float[np.ndarray, " N"]

CALIBRATION_BINS = 15


def figures(observed: Observed) -> dict[str, Figure]:
    """Return the figures of what the models answer, on forget images and on retain test images."""
    sample, models = observed.sample, observed.models
    forget, retain = sample.judged, sample.rows("retain", "test")
    on_forget = models.map(lambda view: view.probs[forget])
    on_retain = models.map(lambda view: view.probs[retain])
    original = on_retain.subjects[ORIGINAL]
    random = softmax(observed.shared.random_logits.astype(np.float64), axis=1)

    def calibration(view: Observation) -> Measured:
        rows = np.column_stack([view.probs[retain].max(axis=1), view.right(sample, retain)])
        return estimate(calibration_error, rows)

    values: dict[str, Panel[Measured]] = {
        "forget_accuracy": models.map(lambda view: mean(view.right(sample, forget), least=1)),
        "retain_accuracy": models.map(lambda view: mean(view.right(sample, retain), least=1)),
        "confidence_mean": on_forget.map(lambda p: mean(p.max(axis=1))),
        "entropy_mean": on_forget.map(lambda p: mean(entropy(p))),
        "agreement_with_original": on_retain.map(lambda p: mean(agreement(p, original))),
        "calibration_error": models.map(calibration),
        "zrf": on_forget.map(lambda p: mean(zero_retrain_forgetting(p, random))),
    }
    return {name: Figure(panel) for name, panel in values.items()} | {
        "js_to_retrained": relative(on_forget, lambda p, q: mean(js_divergence(p, q))),
        "destination_tv": relative(on_forget, destination_tv),
        "agreement_with_retrained": relative(on_retain, lambda p, q: mean(agreement(p, q))),
    }


def destination_tv(left: Probs, right: Probs) -> Measured:
    """Return how far the predicted classes of two models on the same images are apart."""
    both = np.stack([one_hot(left), one_hot(right)], axis=1)
    return estimate(lambda rows: total_variation(rows[:, 0], rows[:, 1]), both)


def js_divergence(left: Probs, right: Probs) -> PerImage:
    """Jensen-Shannon divergence of each row pair, in nats: 0 if equal, ln 2 if nothing is shared.

    H(m) - (H(p) + H(q)) / 2 with m = (p + q) / 2. Source: Lin 1991, "Divergence Measures Based on the
    Shannon Entropy", equation 4.1 with equal weights.
    """
    mixture = (left + right) / 2
    # Rounding can leave -1e-17 between equals.
    return (entropy(mixture) - (entropy(left) + entropy(right)) / 2).clip(min=0.0)


def entropy(probs: Probs) -> PerImage:
    """Entropy of each row in nats, in [0, ln C]."""
    return entr(probs).sum(axis=1)


def total_variation(left: Probs, right: Probs) -> float:
    """Half the summed difference of two histograms, in [0, 1]; rows hold one 1 at the predicted class.

    The share of images that would have to be predicted otherwise to make the histograms equal.
    """
    return float(np.abs(left.mean(axis=0) - right.mean(axis=0)).sum() / 2)


def one_hot(probs: Probs) -> Probs:
    """Return rows with a 1 at the most probable class (of equals: the first), else 0."""
    return np.eye(probs.shape[1])[probs.argmax(axis=1)]


def agreement(left: Probs, right: Probs) -> PerImage:
    """Return 1 where both predict the same class, else 0."""
    return (left.argmax(axis=1) == right.argmax(axis=1)).astype(float)


def calibration_error(rows: Float[np.ndarray, "N 2"]) -> float:
    """Expected calibration error, in [0, 1]: how far confidence and accuracy lie apart, 0 is best.

    A row is an image's confidence and whether the prediction was right (1 or 0).

    Mean over 15 equally wide bins of |accuracy - mean confidence|, weighted by their images.
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599, equation 3.
    """
    confidences, right = rows[:, 0], rows[:, 1]
    # Bins are open on the left: a confidence of exactly 1/15 belongs to the first.
    bins = (np.ceil(confidences * CALIBRATION_BINS) - 1).clip(0, CALIBRATION_BINS - 1).astype(int)
    gaps = np.bincount(bins, weights=right - confidences, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(rows))


def zero_retrain_forgetting(probs: Probs, random_probs: Probs) -> PerImage:
    """1 - JS(model, randomly initialised network) of each image, in [1 - ln 2, 1].

    Its mean over forget images is the ZRF score: near 1, the model knows no more of them than noise does.
    A retrained model is the yardstick, not 1. JS in nats.
    Source: Chundawat et al. 2023, "Can Bad Teaching Induce Forgetting?", arXiv:2205.08096, section 5.
    """
    return 1 - js_divergence(probs, random_probs)
