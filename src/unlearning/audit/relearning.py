"""How fast the class came back while each model was fine-tuned; `observe/relearn.py` made the curves."""

import numpy as np

from unlearning.audit.compare import Figure, own
from unlearning.audit.estimates import Estimate, Measured, estimate
from unlearning.audit.outputs import hits
from unlearning.audit.words import Unmeasured
from unlearning.models.panel import ORIGINAL, Panel
from unlearning.observe.record import RETAIN_ONLY, WITH_FORGET_IMAGES, Curve, Observed
from unlearning.observe.schedule import BACK_AT, BUDGET, RESOLUTION


def figures(observed: Observed) -> dict[str, Figure]:
    """Return the passes until the class was back, and how much of it came back without a forget image."""
    sample, curves = observed.sample, observed.models.map(lambda view: view.curves)
    forget = sample.rows("forget", "test")
    original = observed.models.subjects[ORIGINAL].logits[forget]
    known = float(hits(original, sample.labels[forget]).mean())
    if known == 0:
        never: Panel[Measured] = curves.map(lambda _: Unmeasured.NEVER_KNOWN)
        return {name: own(name, never) for name in ("relearn_passes", "returned_accuracy")}
    return {
        "relearn_passes": own(
            "relearn_passes",
            curves.map(lambda of: passes_until_back(of[WITH_FORGET_IMAGES], BACK_AT * known)),
            resolution=RESOLUTION,
        ),
        "returned_accuracy": own("returned_accuracy", curves.map(lambda of: best(of[RETAIN_ONLY]))),
    }


def passes_until_back(curve: Curve, accuracy: float) -> Measured:
    """Return the image passes at the first check with this accuracy, the whole budget if there is none.

    Not resampled: the curve is read at checks, whose distance is the figure's resolution.
    """
    reached = np.flatnonzero(curve.accuracies >= accuracy)
    passes = float(curve.passes[reached[0]] if len(reached) else BUDGET)
    return Estimate(passes, np.array([passes]))


def best(curve: Curve) -> Measured:
    """Return the highest forget accuracy of the curve, over resampled images."""
    return estimate(np.mean, curve.hits[curve.accuracies.argmax()])
