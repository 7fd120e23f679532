"""The knobs of the game, which people sweep (`dvc exp run -S lr=0.0005`): at the top level of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from unlearning.settings.types import (
    Count,
    NonNegative,
    Number,
    Positive,
    Section,
    Seed,
    Share,
    ShareOrAuto,
)

Adversary = Literal["members", "discriminator", "none"]


class GameParams(Section):
    """The knobs of the adversarial game; they stand at the top level of params.yaml."""

    recipe: Literal["adversarial", "article", "delete", "euk"]
    seed: Seed
    lr: Positive
    cost: ShareOrAuto
    noise: Share
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    weight_decay: NonNegative
    beta1: Annotated[Number, Field(ge=0, lt=1)]
    beta2: Annotated[Number, Field(ge=0, lt=1)]
    adversary: Adversary
    adversary_weight: NonNegative
