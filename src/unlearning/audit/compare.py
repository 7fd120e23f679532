"""Models side by side: the figure of each, and how far one lies from the references.

References are retrained models, one per seed. A figure belongs to each model by itself, as an accuracy does, or
depends on the references, as a divergence to them does. Then a model's value is that by the references other
than itself, so that a reference's own value is what one more retrained model would be expected to have.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TypeVar

import numpy as np

from unlearning.audit.estimates import Measured, average, plain
from unlearning.audit.words import Unmeasured
from unlearning.models.panel import Panel

T = TypeVar("T")


# Of a model's name and references, which it may be one of: its value by the others of them.
Among = Callable[[str, Collection[str]], Measured]


@dataclass(frozen=True)
class Figure:
    """A figure of every model. `among`: of one that depends on the references, its value with some of them.

    `weight`: how far the values of two of so many references lie apart, as a multiple of how far their own
    parts do; 1 where a value is its model's alone. `variance` is divided by its square: it is that of the own
    parts.
    """

    values: Panel[Measured]
    among: Among | None = None
    weight: Callable[[int], float] = lambda references: 1.0

    def value(self, model: str, references: Sequence[str]) -> Measured:
        """Return the value of a subject or, by its seed, of a reference, with these references alone."""
        if self.among is None:
            return (self.values.subjects | self.values.references)[model]
        return self.among(model, references)

    def excess(self, model: str, references: Sequence[str]) -> Measured:
        """Return by how much the model's value exceeds the mean of the references'."""
        if not references:
            return Unmeasured.NO_REFERENCE
        if self.among is not None and len(references) < 2:
            return Unmeasured.NO_FLOOR
        mine = self.value(model, references)
        theirs = average([self.value(each, references) for each in references])
        if isinstance(mine, Unmeasured):
            return mine
        return theirs if isinstance(theirs, Unmeasured) else mine - theirs

    def variance(self, references: Sequence[str]) -> tuple[float, int]:
        """Return the variance between references and its degrees of freedom, (0, 0) where it is unknown."""
        count = len(references)
        if count < 2 or self.weight(count) == 0:
            return 0.0, 0
        values = [plain(self.value(each, references)) for each in references]
        found = float(np.var(np.array(values, dtype=float), ddof=1))
        return found / self.weight(count) ** 2, count - 1


def depending(models: Panel[T], among: Among, weight: Callable[[int], float]) -> Figure:
    """Return a figure that depends on the references, of all these models; see `Figure`."""
    references = list(models.references)
    subjects = {name: among(name, references) for name in models.subjects}
    return Figure(
        Panel(subjects, {seed: among(seed, references) for seed in references}), among, weight
    )


def relative(models: Panel[T], compare: Callable[[T, T], Measured]) -> Figure:
    """Return a figure that exists between two models, such as a divergence; `compare` is symmetric.

    Were d(i, j) = own(i) + own(j), the mean over the r - 1 other references would be own(i) (r - 2) / (r - 1)
    plus the sum of all own / (r - 1), which is the same for all: so the factor is the figure's weight.
    """
    subjects, references = models.subjects, models.references
    pairs = {
        frozenset((name, seed)): compare(subjects[name], references[seed])
        for name, seed in product(subjects, references)
    } | {
        frozenset((one, other)): compare(references[one], references[other])
        for one, other in combinations(references, 2)
    }

    def among(model: str, others: Collection[str]) -> Measured:
        met = [pairs[frozenset((model, other))] for other in others if other != model]
        # A single reference has no other: that is no floor, not no reference.
        return average(met or [Unmeasured.NO_FLOOR if others else Unmeasured.NO_REFERENCE])

    return depending(models, among, lambda count: (count - 2) / (count - 1))


def mean_of_references(values: Panel[Measured]) -> float | Unmeasured:
    """Return the mean of the references' figures, or why there is none."""
    if not values.references:
        return Unmeasured.NO_REFERENCE
    return plain(average(list(values.references.values())))
