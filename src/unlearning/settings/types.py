"""What the sections of params.yaml have in common: types with their ranges, and strictness."""

import re
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
)

from unlearning.base.reading import composed

AUTO: Literal["auto"] = "auto"


def _auto_or(least: int, most: int | None = None) -> Callable[[object], object]:
    """Return what takes `auto` or a whole number in this range."""
    range_of = f"from {least} to {most}" if most else f"of at least {least}"

    def take(value: object) -> object:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if value == AUTO or (is_number and least <= value <= (most or value)):  # type: ignore[operator]
            return value
        raise ValueError(f"it must be auto or a whole number {range_of}")

    return take


def _auto_or_share(value: object) -> object:
    """Return `auto`, or a number above 0 and at most 1."""
    value = _exponent_to_float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value == AUTO or (is_number and 0 < value <= 1):  # type: ignore[operator]
        return value
    raise ValueError("it must be auto or a number above 0 and at most 1")


def _exponent_to_float(value: object) -> object:
    """Turn '1e-05' into a number: PyYAML reads an exponent without a dot as a string."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


Number = Annotated[float, BeforeValidator(_exponent_to_float), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(gt=0, lt=1)]
Share = Annotated[Number, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
ImageSize = Annotated[int, Field(ge=32, le=1024)]
ImageSizeOrAuto = Annotated[int | Literal["auto"], PlainValidator(_auto_or(32, 1024))]
CountOrAuto = Annotated[int | Literal["auto"], PlainValidator(_auto_or(1))]
ShareOrAuto = Annotated[float | Literal["auto"], PlainValidator(_auto_or_share)]
BatchSizeOrAuto = Annotated[int | Literal["auto"], PlainValidator(_auto_or(2))]
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, AfterValidator(composed)]


class Section(BaseModel):
    """A part of params.yaml. An unknown key, a wrong type or an impossible value is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    key: ClassVar[str] = ""  # that it stands under; "": its keys stand at the top level
