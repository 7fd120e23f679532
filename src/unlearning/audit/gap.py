"""Two numbers by which papers compare a request for single images with retraining; no verdict rests on them.

Four accuracies of a model: on forget images, on retain training images, on retain test images, and the share of
forget images that an SVC takes for non-members ("MIA"). The average gap is the mean absolute difference of each
to the retrained models' mean (Jia et al. 2023, arXiv:2304.04934; Fan et al. 2024, arXiv:2310.12508). ToW ("tug
of war") multiplies 1 minus the difference on forget, retain and test images (Zhao et al. 2024,
arXiv:2406.01257).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from unlearning.audit.compare import Figure
from unlearning.audit.estimates import plain
from unlearning.audit.words import Unmeasured
from unlearning.models.panel import ORIGINAL, UNLEARNED
from unlearning.observe.record import Observed


def average_gap(model: Sequence[float], retrained: Sequence[float]) -> float:
    """Return the mean absolute difference, in [0, 1]; 0: as retraining."""
    return float(np.abs(np.subtract(model, retrained)).mean())


def tug_of_war(model: Sequence[float], retrained: Sequence[float]) -> float:
    """Return the product of 1 minus each absolute difference of forget, retain, test; 1: as retraining."""
    return float(np.prod(1 - np.abs(np.subtract(model, retrained))[:3]))


def metrics(found: Mapping[str, Figure], observed: Observed) -> dict[str, object] | Unmeasured:
    """Return both numbers of unlearned, original and, each against the others, retrained models."""
    seeds = list(observed.models.references)
    if not seeds:
        return Unmeasured.NO_REFERENCE
    fours = {name: _four(found, observed, name) for name in (UNLEARNED, ORIGINAL, *seeds)}
    if not all(fours.values()):
        return Unmeasured.NEEDS_10

    def compared(name: str) -> dict[str, float]:
        mean = np.mean([fours[seed] for seed in seeds if seed != name], axis=0).tolist()
        return {
            "average": average_gap(fours[name], mean),
            "tug_of_war": tug_of_war(fours[name], mean),
        }

    result: dict[str, object] = {**compared(UNLEARNED), ORIGINAL: compared(ORIGINAL)}
    if len(seeds) > 1:
        each = [compared(seed) for seed in seeds]
        result["retrained"] = {key: float(np.mean([row[key] for row in each])) for key in each[0]}
    return result


def _four(found: Mapping[str, Figure], observed: Observed, name: str) -> list[float]:
    """Return the four accuracies; nothing where one of them takes more images."""
    view = (observed.models.subjects | observed.models.references)[name]
    test, mia = (
        plain(found[figure].value(name, [])) for figure in ("retain_accuracy", "membership_svc")
    )
    if isinstance(test, Unmeasured) or isinstance(mia, Unmeasured):
        return []
    return [view.train_accuracy["forget"], view.train_accuracy["retain"], test, mia]
