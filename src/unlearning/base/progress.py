"""How long work tells a person how far it is: a bar on a terminal, plain lines otherwise.

The library reports through these functions alone; nothing else prints.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

from tqdm import tqdm

from unlearning.base.errors import printable

Item = TypeVar("Item")


@runtime_checkable
class Report(Protocol):
    """How the library tells of long work: called with named values as they come."""

    def __call__(self, **values: int | float) -> None:
        """Take the values of one epoch."""


def silent(**values: int | float) -> None:
    """Report nothing."""


def say(text: str) -> None:
    r"""Write a line, or several, for a person to read; what a terminal could not show is written as \u001b."""
    encoding = sys.stdout.encoding or "utf-8"
    shown = "\n".join(printable(line) for line in text.split("\n"))
    tqdm.write(shown.encode(encoding, "backslashreplace").decode(encoding), file=sys.stdout)
    sys.stdout.flush()


class Curve:
    """A report that shows each epoch as one plain line and keeps it as a row of a series."""

    def __init__(self, name: str):
        self.name = name
        self.rows: list[dict[str, int | float]] = []

    def __call__(self, **values: int | float) -> None:
        """Say "name: epoch 3 loss 0.1234" and keep the row."""
        self.rows.append(values)
        shown = (
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in values.items()
        )
        say(f"{self.name}: {' '.join(shown)}")

    def tagged(self, **tags: int | float) -> Report:
        """Return a report whose rows begin with these values."""
        return lambda **values: self(**tags, **values)


def bar(items: Iterable[Item], total: int, unit: str) -> Iterator[Item]:
    """Yield the items behind a progress bar on a terminal; elsewhere behind one line per tenth done."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, unit=f" {unit}")
        return
    step = max(1, -(-total // 10))
    for done, item in enumerate(items, start=1):
        yield item
        if done % step == 0 or done == total:
            say(f"{done}/{total} {unit}")
