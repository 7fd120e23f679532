"""How long work tells a person how far it is: a bar on a terminal, plain lines otherwise.

The library reports through these functions alone; nothing else prints.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar, runtime_checkable

from tqdm import tqdm

from unlearning.base.errors import printable

Item = TypeVar("Item")
# Seconds.
SAID_EVERY, LONG = 60.0, 5.0


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
    """Yield the items, and tell how many are done, as `meter` does."""
    with meter(total, unit) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def meter(
    total: int, unit: str, already: int = 0, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], object]]:
    """Yield what is to be told how many more are done: a bar with rate and remaining time on a terminal.

    Elsewhere a plain line a minute, and one at the end of what took long. `already`: done by an earlier run.
    """
    if sys.stderr.isatty():
        with tqdm(total=total, initial=already, unit=f" {unit}", leave=False) as shown:
            yield shown.update
        return
    began = said = clock()
    done = already

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        now = clock()
        if now - said >= SAID_EVERY and done < total:
            said = now
            rate = (done - already) / (now - began)
            say(
                f"{done:,}/{total:,} {unit}, {rate:,.3g} a second, about {duration((total - done) / rate)} left"
            )

    yield advance
    took = clock() - began
    if took >= LONG:
        say(f"{done:,}/{total:,} {unit} in {duration(took)}")


def duration(seconds: float) -> str:
    """Return seconds for a person: "42 s", "12 min"."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
