"""Models side by side: how far a subject is from the references, and these from one another.

For a figure x of each model, with reference models r (retrained, one per seed):

- distance: mean over r of |x(subject) - x(r)|, or of a divergence d(subject, r) itself; where only one
  direction is worse, of the difference in that direction, else 0
- floor: the same between the references, mean over their ordered pairs; a retrained model of another seed
  would be expected there
- margin: half the width of the 95 % interval of the mean (signed) difference over resampled images
- reading: "inside" if distance <= floor + margin, "near" if <= 2 x floor + margin, else "outside"
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import TypeVar

from unlearning.audit import catalogue
from unlearning.audit.estimates import Estimate, Measured, average, plain
from unlearning.audit.words import Distance, Unmeasured
from unlearning.models.panel import Panel

T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """How a subject's figure compares with the references, or why it does not."""

    distance: float | Unmeasured
    floor: float | Unmeasured
    margin: float | Unmeasured
    reading: Distance | Unmeasured


@dataclass(frozen=True)
class Figure:
    """A figure of every model, and each subject's reading."""

    values: Panel[Measured]
    readings: dict[str, Reading]


def own(name: str, values: Panel[Measured], resolution: int | float | None = None) -> Figure:
    """Return a figure that each model has by itself, such as an accuracy.

    By its name the catalogue knows which differences count. `resolution`: the margin, where the figure's steps
    are coarser than the sampling of images.
    """
    only_worse = catalogue.entry(name).worse

    def apart(left: Measured, right: Measured) -> Measured:
        if isinstance(left, Unmeasured):
            return left
        if isinstance(right, Unmeasured):
            return right
        difference = left - right
        signed = difference.value * only_worse if only_worse else abs(difference.value)
        return Estimate(max(0.0, signed), difference.resampled)

    return Figure(values, _readings(values, apart, resolution))


def relative(
    models: Panel[T], compare: Callable[[T, T], Measured], equal_at: int | float = 0
) -> Figure:
    """Return a figure that exists between two models, such as a divergence or a similarity.

    A model's value is the mean of `compare` over the references other than itself. `equal_at`: what
    `compare` gives for two equal models; the distance is counted from there.
    """
    references = models.references

    def value(model: T, others: Mapping[str, T]) -> Measured:
        if not others:
            return Unmeasured.NO_REFERENCE
        return average([compare(model, other) for other in others.values()])

    def apart(left: T, right: T) -> Measured:
        found = compare(left, right)
        if isinstance(found, Unmeasured):
            return found
        return Estimate(abs(found.value - equal_at), found.resampled)

    values: Panel[Measured] = Panel(
        {name: value(model, references) for name, model in models.subjects.items()},
        {
            seed: value(model, {key: other for key, other in references.items() if key != seed})
            for seed, model in references.items()
        },
    )
    return Figure(values, _readings(models, apart, None))


def _readings(
    models: Panel[T],
    apart: Callable[[T, T], Measured],
    resolution: int | float | None,
) -> dict[str, Reading]:
    references = list(models.references.values())
    if not references:
        return {name: Reading(*[Unmeasured.NO_REFERENCE] * 4) for name in models.subjects}
    floor = average([apart(*pair) for pair in permutations(references, 2)] or [Unmeasured.NO_FLOOR])
    return {
        name: _reading(average([apart(model, other) for other in references]), floor, resolution)
        for name, model in models.subjects.items()
    }


def _reading(distance: Measured, floor: Measured, resolution: int | float | None) -> Reading:
    if isinstance(distance, Unmeasured):
        return Reading(distance, distance, distance, distance)
    margin = distance.half_width if resolution is None else float(resolution)
    if isinstance(floor, Unmeasured):
        return Reading(distance.value, floor, margin, floor)
    # 1e-9: figures that differ by rounding alone are equal.
    excess = distance.value - margin - 1e-9
    if excess <= floor.value:
        word = Distance.INSIDE
    else:
        word = Distance.NEAR if excess <= 2 * floor.value else Distance.OUTSIDE
    return Reading(distance.value, floor.value, margin, word)


def mean_of_references(values: Panel[Measured]) -> float | Unmeasured:
    """Return the mean of the references' figures, or why there is none."""
    if not values.references:
        return Unmeasured.NO_REFERENCE
    return plain(average(list(values.references.values())))
