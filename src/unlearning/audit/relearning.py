"""How fast the class came back while each model was fine-tuned; `observe/relearn.py` made the curves."""

import numpy as np

from unlearning.audit.compare import Figure
from unlearning.audit.estimates import Measured, estimate
from unlearning.audit.words import Unmeasured
from unlearning.models.panel import ORIGINAL, Panel
from unlearning.observe.record import Observed, RelearningCurve
from unlearning.observe.schedule import BACK_AT, BUDGET, RESOLUTION, RETAIN_ONLY, WITH_FORGET_IMAGES


def figures(observed: Observed) -> dict[str, Figure]:
    """Return the passes until the class was back, and how much of it came back without a forget image."""
    sample, curves = observed.sample, observed.models.map(lambda view: view.curves)
    original = observed.models.subjects[ORIGINAL]
    known = float(original.right(sample, sample.judged).mean())
    if known == 0:
        never: Panel[Measured] = curves.map(lambda _: Unmeasured.NEVER_KNOWN)
        return {name: Figure(never) for name in ("relearn_passes", "returned_accuracy")}
    return {
        "relearn_passes": Figure(
            curves.map(lambda of: passes_until_back(of[WITH_FORGET_IMAGES], BACK_AT * known))
        ),
        "returned_accuracy": Figure(curves.map(lambda of: best(of[RETAIN_ONLY]))),
    }


def passes_until_back(curve: RelearningCurve, accuracy: float) -> Measured:
    """Return the image passes until this accuracy, between two checks in a straight line.

    The whole budget if it is never reached; of resampled images that reach it later than the curve goes, the
    check after its end.
    """
    passes = np.array([*curve.passes, min(curve.passes[-1] + RESOLUTION, BUDGET)], dtype=float)

    def reached(hits: np.ndarray) -> float:
        accuracies = np.append(hits.mean(axis=1), np.inf if passes[-1] < BUDGET else 0.0)
        above = np.flatnonzero(accuracies >= accuracy)
        if not len(above):
            return float(BUDGET)
        first = above[0]
        if first == 0 or not np.isfinite(accuracies[first]):
            return float(passes[first])
        before, after = accuracies[first - 1], accuracies[first]
        share = (accuracy - before) / (after - before)
        return float(passes[first - 1] + share * (passes[first] - passes[first - 1]))

    return estimate(lambda images: reached(images.T), curve.hits.T, least=1)


def best(curve: RelearningCurve) -> Measured:
    """Return the forget accuracy at the curve's highest check, over resampled images."""
    return estimate(np.mean, curve.hits[curve.accuracies.argmax()])
