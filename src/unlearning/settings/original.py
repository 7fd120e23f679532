"""The section `original`."""

from typing import Annotated, ClassVar

from pydantic import Field

from unlearning.settings.types import Count, NonNegative, Positive, Section, Seed


class OriginalParams(Section):
    """Recipe of the classifier that must forget, and of the models retrained without the forget set.

    Batch normalisation takes a variance over each batch: one image has none.
    """

    key: ClassVar[str] = "original"

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    lr: Positive
    weight_decay: NonNegative
    seed: Seed
