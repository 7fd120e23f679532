"""The section `model`."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from unlearning.settings.types import Name, Positive, Section, Share, Text


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Spread = Annotated[Positive, Field(le=1)]


class ModelParams(Section):
    """Which classifier has to forget, and whose weights it has.

    `name`: one of torchvision's classifiers, or `timm/` and one of timm's. `weights`: a file of a classifier
    that is trained already, with `classes` in the order of its outputs (none: in order of their names).
    `start`: a file that training starts from, or `pretrained` for the library's own weights; beside `weights`
    that of the retrained models. `mean`, `std`: of each channel, whose values lie in [0, 1]; None: as the
    library says, or ImageNet's.
    """

    key: ClassVar[str] = "model"

    name: Text
    stem: Literal["standard", "small"]
    mean: Annotated[tuple[Share, ...], BeforeValidator(_tuple)] | None
    std: Annotated[tuple[Spread, ...], BeforeValidator(_tuple)] | None
    weights: Text | None
    classes: list[Name]
    start: Text | None

    @model_validator(mode="after")
    def _fit_together(self) -> "ModelParams":
        channels = [len(each) for each in (self.mean, self.std) if each is not None]
        if len(channels) == 1:
            raise ValueError("mean and std must both be given, or neither")
        if channels and (channels[0] != channels[1] or channels[0] not in (1, 3)):
            raise ValueError("mean and std must each have one number (grey) or three (colour)")
        if self.classes and self.weights is None:
            raise ValueError(
                "classes say in which order the outputs of `weights` stand: give weights"
            )
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("each of classes must stand once")
        return self
