"""The section `forget`."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from unlearning.base.reading import composed
from unlearning.settings.types import Section


class ForgetParams(Section):
    """What is to be forgotten, and what becomes of its copies under classes to keep."""

    key: ClassVar[str] = "forget"

    equal_pixels: Literal["withdraw", "keep"]
    near_copies: Literal["list", "withdraw"]
    classes: Annotated[
        list[Annotated[str, Field(min_length=1), AfterValidator(composed)]], Field(min_length=1)
    ]
