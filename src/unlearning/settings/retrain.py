"""The section `retrain`."""

from typing import ClassVar

from pydantic import model_validator

from unlearning.settings.types import Section, Seed


class RetrainParams(Section):
    """The reference: models that never saw the forget set, one per seed."""

    key: ClassVar[str] = "retrain"

    seeds: list[Seed]

    @model_validator(mode="after")
    def _name_each_seed_once(self) -> "RetrainParams":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("each seed must stand once")
        return self
