"""The versions of a model that every figure is given for: original, unlearned, and each retrained one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Versions(Generic[T]):
    """One value per version. `retrained` is keyed by seed and empty when retraining is switched off."""

    original: T
    unlearned: T
    retrained: dict[str, T]

    def map(self, function: Callable[[T], U]) -> "Versions[U]":
        """Return the function's value for each version."""
        return Versions(
            function(self.original),
            function(self.unlearned),
            {seed: function(value) for seed, value in self.retrained.items()},
        )

    def named(self) -> dict[str, T]:
        """Return the values by the name that tables and pictures show."""
        retrained = {f"retrained ({seed})": value for seed, value in self.retrained.items()}
        return {"original": self.original, "unlearned": self.unlearned, **retrained}
