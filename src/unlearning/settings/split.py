"""The section `split`."""

from typing import ClassVar

from pydantic import model_validator

from unlearning.settings.types import Fraction, Section, Seed


class SplitParams(Section):
    """Shares of the images held out from training, per class."""

    key: ClassVar[str] = "split"

    validation: Fraction
    test: Fraction
    seed: Seed

    @model_validator(mode="after")
    def _leave_images_to_train_on(self) -> "SplitParams":
        if self.validation + self.test >= 1:
            raise ValueError(
                "validation + test must leave images to train on: their sum must be below 1"
            )
        return self
