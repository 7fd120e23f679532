"""The section `original`."""

from dataclasses import dataclass
from typing import ClassVar

from unlearning.settings.types import (
    AUTO,
    BatchSizeOrAuto,
    CountOrAuto,
    NonNegative,
    Positive,
    Section,
    Seed,
)


@dataclass(frozen=True)
class Training:
    """How a classifier is trained, in numbers, whatever its seed."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float


class OriginalParams(Section):
    """Training of the classifier that must forget, and of the models retrained without the forget set.

    Batch normalisation takes a variance over each batch: one image has none.
    """

    key: ClassVar[str] = "original"

    epochs: CountOrAuto
    batch_size: BatchSizeOrAuto
    lr: Positive
    weight_decay: NonNegative
    seed: Seed

    def training(self, images: int) -> Training:
        """Return it in numbers, for an original that is trained on so many images.

        The retrained models take the same, though they see fewer. `auto`: what helped on validation images
        (docs/experiments.md).
        """
        return Training(
            epochs=epochs_for(images) if self.epochs == AUTO else self.epochs,
            batch_size=batch_size_for(images) if self.batch_size == AUTO else self.batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
        )


def epochs_for(images: int) -> int:
    """Return the passes over so many training images.

    20; of few images up to 80, to make 10,000 image passes; of many down to 10, to make 500,000.
    """
    fewest = max(20, min(round(10_000 / images), 80))
    most = max(10, round(500_000 / images))
    return min(fewest, most)


def batch_size_for(images: int) -> int:
    """Return the images per step: larger ones, which are faster, where they leave 3,000 steps."""
    return 32 if images < 20_000 else 128
