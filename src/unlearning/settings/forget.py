"""The section `forget`."""

from pathlib import PurePath
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, model_validator

from unlearning.base.reading import composed
from unlearning.settings.types import Fraction, Section, Seed, Text

NonEmptyName = Annotated[Text, AfterValidator(composed)]


class ForgetParams(Section):
    """What is to be forgotten, and what becomes of its copies under what is to be kept."""

    key: ClassVar[str] = "forget"

    equal_pixels: Literal["withdraw", "keep"]
    near_copies: Literal["list", "withdraw"]
    files: Text | None
    where: dict[NonEmptyName, NonEmptyName]
    fraction: Fraction | None
    seed: Seed
    labels: Literal["given", "wrong"]
    previous: list[Text]
    classes: list[NonEmptyName]

    @property
    def of_images(self) -> bool:
        """Return whether single images are asked for, not whole classes."""
        return bool(self.files or self.where or self.fraction)

    @property
    def said(self) -> str:
        """Return what is asked for in a few words."""
        if not self.of_images:
            return ", ".join(self.classes)
        if self.files:
            said = f"the images that {PurePath(self.files).name} names"
        elif self.where:
            said = "the images where " + " and ".join(f"{k} is {v}" for k, v in self.where.items())
        else:
            among = f" of {', '.join(self.classes)}" if self.classes else ""
            said = f"{self.fraction:.3g} of the training images{among}, drawn at random"
        return said + (", whose labels are wrong" if self.labels == "wrong" else "")

    @model_validator(mode="after")
    def _ask_for_one_thing(self) -> "ForgetParams":
        asked = [
            name
            for name, value in (
                ("files", self.files),
                ("where", self.where),
                ("fraction", self.fraction),
                # A fraction of the images of these classes, if both are given.
                ("classes", self.classes and not self.fraction),
            )
            if value
        ]
        if not asked:
            raise ValueError(
                "it asks for nothing: name classes, or images by files, where or fraction"
            )
        if len(asked) > 1:
            raise ValueError(
                f"it asks for {' and '.join(asked)}: one request is of one kind; classes=[] takes classes out"
            )
        if self.labels == "wrong" and not self.of_images:
            raise ValueError(
                "labels are wrong of single images: name them by files, where or fraction"
            )
        return self
