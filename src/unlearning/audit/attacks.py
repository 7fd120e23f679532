"""Without retrained models: does anything contradict that the model never saw what was to be forgotten?

Nothing says what one more retrained model would have of a figure. Of a few it is known all the same
(`at_most` in the catalogue):

- To a model that never saw them, images that the original was trained on and others of their kind are alike: an
  attack on members has an AUC of 0.5, whatever it looks at.
- A class that it was never taught lies less apart in its features than most that it was: its recall by five
  images or by nearest neighbours stays below the lower quartile of the kept classes', each put in its place.
- Fine-tuning on retain images brings back no class that was never there.

Each is an attack that contradicts if a figure exceeds what is known by more than noise: of the images, by the
bootstrap; of attacks on members also that between seeds, from the prior of `limits`. The error of 5 % is shared
among them (Bonferroni), but for the last, of which more than 0.02 contradicts. What none of them contradicts is
not proven: how often they catch originals and edited heads is measured with the calibration.
"""

import math
from collections.abc import Mapping

import numpy as np
from scipy.stats import t as student

from unlearning.audit import catalogue
from unlearning.audit.compare import Figure
from unlearning.audit.estimates import Estimate, Measured
from unlearning.audit.limits import ERROR, Prior, Reading
from unlearning.audit.words import FORGOTTEN_BELOW, Distance, Unmeasured

RETURNED = "returned_accuracy"
# The spread between seeds of attacks on outputs, in the prior.
OUTPUTS = "membership_outputs"


def readings(figures: Mapping[str, Figure], model: str, prior: Prior) -> dict[str, Reading]:
    """Return the reading of each figure that may contradict, of a subject or, by its seed, of a reference.

    `distance`: above what a model has at most that never saw the images. `limit`: how much of that is noise.
    """
    excesses = {
        name: _excess(name, figures, model) for name in figures if catalogue.contradicts(name)
    }
    # What returned has a limit of its own, and takes no share.
    shared_by = sum(
        isinstance(each, Estimate) for name, each in excesses.items() if name != RETURNED
    )
    found = {}
    for name, excess in excesses.items():
        if isinstance(excess, Unmeasured):
            found[name] = Reading(excess, excess, excess)
            continue
        if name == RETURNED:
            limit = FORGOTTEN_BELOW
        else:
            error = math.hypot(_between_seeds(name, prior), float(np.std(excess.resampled)))
            limit = error * float(student.ppf(1 - ERROR / shared_by, prior.degrees))
        outside = excess.value > limit + 1e-9
        found[name] = Reading(excess.value, limit, Distance.OUTSIDE if outside else Distance.INSIDE)
    return found


def _excess(name: str, figures: Mapping[str, Figure], model: str) -> Measured:
    """Return by how much a figure exceeds what a model has at most that never saw the images."""
    value, at_most = figures[name].value(model, []), catalogue.entry(name).at_most
    if isinstance(value, Unmeasured):
        return value
    if isinstance(at_most, str):
        known = figures[at_most].value(model, [])
        return known if isinstance(known, Unmeasured) else value - known
    return Estimate(value.value - at_most, value.resampled - at_most)


def _between_seeds(name: str, prior: Prior) -> float:
    if catalogue.family(name) != "membership_auc":
        return 0.0  # what a class has at most is of the same model
    return prior.spreads.get(name, prior.spreads[OUTPUTS])
