"""Models side by side: the figure of each, and how far one lies from the references.

References are retrained models, one per seed. A figure belongs to each model by itself, as an accuracy does, or
lies between two models, as a divergence does; of the latter a model's value is the mean over the references
other than itself, so that a reference's own value is what one more retrained model would be expected to have.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TypeVar

import numpy as np

from unlearning.audit.estimates import Measured, average, plain
from unlearning.audit.words import Unmeasured
from unlearning.models.panel import Panel

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """A figure of every model. `pairs`: of a figure between two models, its value for each two that meet."""

    values: Panel[Measured]
    pairs: Mapping[frozenset[str], Measured] | None = None

    def value(self, model: str, references: Sequence[str]) -> Measured:
        """Return the value of a subject or, by its seed, of a reference, with these references alone."""
        if self.pairs is None:
            return (self.values.subjects | self.values.references)[model]
        return _mean_to_others(self.pairs, model, references)

    def excess(self, model: str, references: Sequence[str]) -> Measured:
        """Return by how much the model's value exceeds the mean of the references'."""
        if not references:
            return Unmeasured.NO_REFERENCE
        if self.pairs is not None and len(references) < 2:
            return Unmeasured.NO_FLOOR
        mine = self.value(model, references)
        theirs = average([self.value(each, references) for each in references])
        if isinstance(mine, Unmeasured):
            return mine
        return theirs if isinstance(theirs, Unmeasured) else mine - theirs

    def variance(self, references: Sequence[str]) -> tuple[float, int]:
        """Return the variance between references, and its degrees of freedom; (0, 0) where it cannot be told.

        Of a figure between two models the means over the others move less than the models themselves do:
        with r references a model's own part stands in them with a weight of (r - 2) / (r - 1).
        """
        count = len(references)
        if count < (2 if self.pairs is None else 3):
            return 0.0, 0
        values = [plain(self.value(each, references)) for each in references]
        found = float(np.var(np.array(values, dtype=float), ddof=1))
        weight = 1.0 if self.pairs is None else (count - 2) / (count - 1)
        return found / weight**2, count - 1


def relative(models: Panel[T], compare: Callable[[T, T], Measured]) -> Figure:
    """Return a figure that exists between two models, such as a divergence; `compare` is symmetric."""
    subjects, references = models.subjects, models.references
    pairs = {
        frozenset((name, seed)): compare(subjects[name], references[seed])
        for name, seed in product(subjects, references)
    } | {
        frozenset((one, other)): compare(references[one], references[other])
        for one, other in combinations(references, 2)
    }
    values = Panel(
        {name: _mean_to_others(pairs, name, references) for name in subjects},
        {seed: _mean_to_others(pairs, seed, references) for seed in references},
    )
    return Figure(values, pairs)


def _mean_to_others(
    pairs: Mapping[frozenset[str], Measured], model: str, references: Collection[str]
) -> Measured:
    met = [pairs[frozenset((model, other))] for other in references if other != model]
    # A single reference has no other: that is no floor, not no reference.
    return average(met or [Unmeasured.NO_FLOOR if references else Unmeasured.NO_REFERENCE])


def mean_of_references(values: Panel[Measured]) -> float | Unmeasured:
    """Return the mean of the references' figures, or why there is none."""
    if not values.references:
        return Unmeasured.NO_REFERENCE
    return plain(average(list(values.references.values())))
