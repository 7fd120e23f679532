"""One image of a source, as it is listed before any is decoded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listed:
    """`path`: from the source's root, with forward slashes; of a packed data set subset and number.

    `subset`: train, validation or test where the source says which, else "".
    """

    path: str
    class_name: str
    subset: str = ""
