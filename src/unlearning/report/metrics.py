"""The metrics and tables of a run as one tree, in which every figure has a path.

What a run does not write there is a person's or a merge's doing: it is refused in one line that names the path.
"""

import math
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from unlearning.audit import catalogue
from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics, read_table

# Tables in plots/ whose rows are looked up by the column that is named here.
TABLES = {
    "audit_figures": "figure",
    "destinations": "class",
    "images_per_class": "class",
    "neighbour_correlation": "likeness",
    "neighbours": "class",
    "per_class": "class",
}
NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")

Word = TypeVar("Word", bound=StrEnum)


class Metrics:
    """The first key is a file's name without its suffix; below a table's stand its rows, by their key."""

    def __init__(self, tree: Mapping[str, Any]):
        self._tree = tree

    @classmethod
    def read(cls, root: Path, names: Iterable[str], tables: Iterable[str]) -> "Metrics":
        """Return the tree of these files in metrics/ and plots/. Raises: UserError if one is missing."""
        files = {name: read_metrics(root / f"metrics/{name}.json") for name in names}
        return cls(files | {name: read_rows(root, name) for name in tables})

    def find(self, *keys: str) -> tuple[str, Any]:
        """Return a value with its path.

        Words such as "no reference" stand for all that would lie below them: the path then ends there.
        Raises: UserError if there is no such path.
        """
        value: Any = self._tree
        for depth, key in enumerate(keys):
            if isinstance(value, str):
                return dotted(keys[:depth]), value
            if not isinstance(value, Mapping) or key not in value:
                _refuse(keys[: depth + 1], "is not there")
            value = value[key]
        return dotted(keys), value

    def get(self, *keys: str) -> Any:
        """Return the value of `find` alone."""
        return self.find(*keys)[1]

    def number(self, *keys: str) -> float:
        """Return a figure. Raises: UserError if words, or nothing finite, stand in its place."""
        value = self.get(*keys)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            _refuse(keys, "is no number")
        return float(value)

    def figure(self, *keys: str) -> float | str:
        """Return a figure, or words in its place, also for what is not finite. Raises: as `number`."""
        value = self.get(*keys)
        if isinstance(value, float) and not math.isfinite(value):
            return f"not finite: {value}"
        return value if isinstance(value, str) else self.number(*keys)

    def word(self, kind: type[Word], *keys: str) -> Word:
        """Return a word of a list. Raises: UserError if it is none of them."""
        value = self.get(*keys)
        if value not in list(kind):
            _refuse(keys, f"is none of: {', '.join(kind)}")
        return kind(value)

    def items(self, *keys: str) -> dict[str, Any]:
        """Return what lies below a path, or nothing where words stand in its place."""
        value = self.get(*keys)
        return dict(value) if isinstance(value, Mapping) else {}

    def is_number(self, *keys: str) -> bool:
        """Tell a number from words."""
        return isinstance(self.get(*keys), int | float)


def _refuse(keys: tuple[str, ...], why: str) -> NoReturn:
    raise UserError(
        f"{dotted(keys)} of metrics/ or plots/ {why}: run `dvc repro`; if they are its own, this is a bug"
    )


def read_rows(root: Path, name: str) -> dict[str, dict[str, float | str]]:
    """Return a table of `TABLES` by its keys, figures as numbers. Raises: UserError if there is none."""
    path, key = root / f"plots/{name}.csv", TABLES[name]
    try:
        rows = read_table(path, [key]).to_dict("records")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run `dvc repro` first") from None
    for row in rows:
        if name == "audit_figures" and not catalogue.is_figure(str(row[key])):
            raise UserError(f"{path} has a figure {row[key]!r}, which is unknown: run `dvc repro`")
    return {
        str(row[key]): {
            str(column): float(value) if NUMBER.fullmatch(str(value)) else str(value)
            for column, value in row.items()
            if column != key
        }
        for row in rows
    }


def dotted(keys: tuple[str, ...]) -> str:
    r"""Return keys joined by dots; a dot or backslash of a key itself is written as `\.` or `\\`."""
    return ".".join(key.replace("\\", "\\\\").replace(".", "\\.") for key in keys)
