"""Models side by side: those that are judged, and those that never saw what was to be forgotten."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

UNLEARNED, ORIGINAL, CONTROL = "unlearned", "original", "head_edited"
# Trained by the recipe of the retrained models on all images, where the original has a recipe of its own.
SAME_RECIPE = "same_recipe"
# What training began with, where that is no random network: what it knows, retrained models know too.
START = "start"


@dataclass(frozen=True)
class Panel(Generic[T]):
    """One value per model: `subjects` by name, `references` by seed (empty without retraining)."""

    subjects: dict[str, T]
    references: dict[str, T]

    def map(self, function: Callable[[T], U]) -> "Panel[U]":
        """Return the function's value for each model."""
        return Panel(
            {name: function(value) for name, value in self.subjects.items()},
            {seed: function(value) for seed, value in self.references.items()},
        )

    def named(self) -> dict[str, T]:
        """Return the values by the name that tables and curves show."""
        return self.subjects | {
            f"retrained ({seed})": value for seed, value in self.references.items()
        }

    def without_controls(self) -> "Panel[T]":
        """Return the values of original, unlearned and retrained models, in this order."""
        subjects = {name: self.subjects[name] for name in (ORIGINAL, UNLEARNED)}
        return Panel(subjects, self.references)
