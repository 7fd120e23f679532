"""Could this be one more retrained model? For each figure that decides, how far one would still lie.

Of R references the figure's variance s² is hardly known: with two it rests on one difference. It is moderated
by what retrained models do on other sets (`calibration.json`), as an empirical prior of d degrees of freedom:

    variance = (d (s₀² + v) + (R - 1) s²) / (d + R - 1)

with s₀ the prior spread between seeds, for most figures in proportion to their size, and v the noise of the
images at hand, by the bootstrap. The excess over the references' mean, divided by its standard error, then has
Student's t distribution with d + R - 1 degrees of freedom (d, of a figure between models, where R is 2). The
error of 5 % is shared among all figures that could be measured (Bonferroni; whether any figure lies outside is
the same by Holm's procedure).

Source: Smyth 2004, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression in
Microarray Experiments", section 3: the moderated t; prior from other data sets and image noise are ours.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from unlearning.audit import catalogue
from unlearning.audit.compare import Figure
from unlearning.audit.estimates import plain
from unlearning.audit.words import Distance, Unmeasured

ERROR = 0.05  # of all figures together
SMALLEST_SCALE = 0.01


@dataclass(frozen=True)
class Prior:
    """How retrained models spread on other sets.

    `spreads`: by figure the standard deviation between seeds, the noise of images left out, in units of
    `scale`. `degrees`: how far they can be trusted, as degrees of freedom; the fewer, the more sets differ.
    `of_images`: whether of requests for single images.
    """

    spreads: Mapping[str, float]
    degrees: float
    of_images: bool = False


@dataclass(frozen=True)
class Reading:
    """How a subject's figure compares with the references, or why it does not.

    `distance`: from their mean, in the direction that counts; negative in the other. `limit`: the largest
    distance that one more retrained model would be expected to have.
    """

    distance: float | Unmeasured
    limit: float | Unmeasured
    reading: Distance | Unmeasured


def readings(
    figures: Mapping[str, Figure], model: str, references: Sequence[str], prior: Prior
) -> dict[str, Reading]:
    """Return the reading of each figure that decides, that is, whose spread the prior knows.

    `model` may be a reference that is not among `references`.
    """
    chosen = {name: figure for name, figure in figures.items() if name in prior.spreads}
    excesses = {name: figure.excess(model, references) for name, figure in chosen.items()}
    shared_by = sum(not isinstance(each, Unmeasured) for each in excesses.values())
    found = {}
    for name, excess in excesses.items():
        if isinstance(excess, Unmeasured):
            found[name] = Reading(excess, excess, excess)
            continue
        one_sided = catalogue.entry(name).higher_is_worse
        distance = excess.value if one_sided else abs(excess.value)
        error, degrees = standard_error(
            name, chosen[name], references, float(np.var(excess.resampled)), prior
        )
        limit = error * float(student.ppf(1 - ERROR / shared_by / (1 if one_sided else 2), degrees))
        # 1e-9: figures that differ by rounding alone are equal.
        outside = distance > limit + 1e-9
        found[name] = Reading(distance, limit, Distance.OUTSIDE if outside else Distance.INSIDE)
    return found


def standard_error(
    name: str, figure: Figure, references: Sequence[str], image_noise: float, prior: Prior
) -> tuple[float, float]:
    """Return the standard error of one more retrained model's excess, and its degrees of freedom.

    `image_noise`: the excess's variance over resampled images.
    """
    count = len(references)
    found, own = figure.variance(references)
    spread = prior.spreads[name] * scale(name, figure, references, of_images=prior.of_images)
    expected = spread**2 + image_noise / (1 + 1 / count)
    degrees = prior.degrees + own
    moderated = (prior.degrees * expected + own * found) / degrees
    return math.sqrt(moderated * (1 + 1 / count)), degrees


def scale(
    name: str, figure: Figure, references: Sequence[str], *, of_images: bool = False
) -> float:
    """Return the unit of a figure's spread, by the mean of its references.

    A set whose retrained models have twice the divergence, or know a class twice as well by five images, has
    twice the spread of it (docs/experiments.md).
    """
    values = [plain(figure.value(each, references)) for each in references]
    mean = float(np.mean(np.array(values, dtype=float)))
    entry = catalogue.entry(name)
    unit = entry.unit_of_images if of_images and entry.unit_of_images else entry.unit
    return max(unit(mean), SMALLEST_SCALE)
