"""A figure with what it could as well have been: its values over images drawn anew."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unlearning.audit.words import Unmeasured

RESAMPLES = 500
CONFIDENCE = 0.95
SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A figure and its values over resampled images. Two estimates from equally many images were
    resampled alike, so that their differences are paired.
    """

    value: float
    resampled: np.ndarray

    def __post_init__(self) -> None:
        """Check that it is a number. Raises: ValueError."""
        if not math.isfinite(self.value):
            raise ValueError(f"a figure is {self.value}")

    @property
    def interval(self) -> tuple[float, float]:
        """Return the percentile interval that holds 95 % of the resampled values."""
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(self.resampled, [tail, 1 - tail])
        return float(low), float(high)

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Return the paired difference."""
        return Estimate(self.value - other.value, self.resampled - other.resampled)


Measured = Estimate | Unmeasured


def needs(count: int) -> Measured:
    """Return the word for a figure that takes more images than there are: 5, 10, 20 or 100."""
    return Unmeasured(f"not measured: needs {count} images")


def estimate(
    statistic: Callable[..., int | float], *groups: np.ndarray, least: int = 10
) -> Measured:
    """Return the statistic of these groups of images, with its bootstrap over images.

    Each group's first axis is its images; groups are resampled independently of one another.
    With fewer than `least` images in a group, the words for that.
    Source: Efron 1979, "Bootstrap Methods: Another Look at the Jackknife", percentile interval.
    """
    if min(map(len, groups)) < least:
        return needs(least)
    random = np.random.default_rng(SEED)
    draws = [random.integers(0, len(group), (RESAMPLES, len(group))) for group in groups]
    resampled = [
        statistic(*(group[rows] for group, rows in zip(groups, chosen, strict=True)))
        for chosen in zip(*draws, strict=True)
    ]
    return Estimate(float(statistic(*groups)), np.array(resampled, dtype=float))


def average(estimates: Sequence[Measured]) -> Measured:
    """Return the mean of the figures, or the first reason why one of them was not measured."""
    kept = [each for each in estimates if isinstance(each, Estimate)]
    if len(kept) < len(estimates):
        return next(each for each in estimates if isinstance(each, Unmeasured))
    return Estimate(
        float(np.mean([each.value for each in kept])),
        np.mean([each.resampled for each in kept], axis=0),
    )


def mean(values: np.ndarray, least: int = 10) -> Measured:
    """Return the mean over images, with its interval."""
    return estimate(np.mean, values, least=least)


def plain(measured: Measured) -> float | Unmeasured:
    """Return the figure alone, or why there is none."""
    return measured if isinstance(measured, Unmeasured) else measured.value
