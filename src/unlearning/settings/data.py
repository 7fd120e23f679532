"""The section `data`."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from unlearning.settings.types import ImageSizeOrAuto, Name, Section, Seed, Text


class DataParams(Section):
    """Where the images come from and how they are packed."""

    key: ClassVar[str] = "data"

    source: Literal[
        "synthetic", "folder", "table", "cifar10", "cifar100", "fashion_mnist", "stl10", "svhn"
    ]
    path: Text
    download: bool
    classes: dict[Name, Name]
    image_size: ImageSizeOrAuto
    on_bad_image: Literal["skip", "fail"]
    images_per_class: Annotated[int, Field(ge=10, le=100_000)]
    seed: Seed
