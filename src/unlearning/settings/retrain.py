"""The section `retrain`."""

from typing import ClassVar

from pydantic import model_validator

from unlearning.settings.types import Section, Seed, Text


class RetrainParams(Section):
    """The reference: models that never saw the forget set, one per seed, or a person's own, a file each."""

    key: ClassVar[str] = "retrain"

    seeds: list[Seed]
    weights: list[Text]

    @model_validator(mode="after")
    def _name_each_seed_once(self) -> "RetrainParams":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("each seed must stand once")
        if self.seeds and self.weights:
            raise ValueError("weights are of models retrained already: with them seeds must be []")
        return self
