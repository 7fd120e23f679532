"""Tables for a terminal: each column as wide as its widest cell."""

import unicodedata
from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the cells of rows of equal length, filled up with spaces to their column's width."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return [
        [cell + " " * (widest - width(cell)) for cell, widest in zip(row, widths, strict=True)]
        for row in rows
    ]


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: 2 for 写, none for an accent of its own."""
    return sum(
        0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in text
    )
