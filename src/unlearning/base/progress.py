"""How long work tells a person how far it is: a bar on a terminal, plain lines otherwise.

The library reports through these functions alone; nothing else prints.
"""

import codecs
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from tqdm import tqdm

from unlearning.base.errors import printable

Item = TypeVar("Item")
# Seconds.
SAID_EVERY, LONG = 60.0, 5.0
ESCAPED = "unlearning.escaped"  # to Python's codecs


@runtime_checkable
class Report(Protocol):
    """How the library tells of long work: called with named values as they come."""

    def __call__(self, **values: int | float) -> None:
        """Take the values of one epoch."""


@runtime_checkable
class Advance(Protocol):
    """How long work tells how far it is."""

    def __call__(self, count: int, earlier: bool = False) -> object:
        """Take how many more are done; `earlier`: by an earlier run, which says nothing of this one's speed."""


class Done(NamedTuple):
    """What a process that works for another tells of how far it is."""

    more: int
    earlier: bool


_listener: Callable[[str | Done], object] | None = None


def tell(listener: Callable[[str | Done], object]) -> None:
    """Send lines, and how many more are done, to a listener from now on: this process works for another."""
    global _listener
    _listener = listener


def ignore(count: int, earlier: bool = False) -> None:
    """Tell nobody how many more are done."""


def silent(**values: int | float) -> None:
    """Report nothing."""


def say(text: str) -> None:
    r"""Write a line, or several, for a person to read; what a terminal could not show is written as \u001b."""
    if _listener:
        _listener(text)
        return
    encoding = sys.stdout.encoding or "utf-8"
    shown = "\n".join(printable(line) for line in text.split("\n"))
    tqdm.write(shown.encode(encoding, ESCAPED).decode(encoding), file=sys.stdout)
    sys.stdout.flush()


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Return signs that an encoding lacks as JSON writes them: what is said may be JSON."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ESCAPED, _escaped)


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


def bar(items: Iterable[Item], total: int, unit: str, earlier: int = 0) -> Iterator[Item]:
    """Yield the items, and tell how many are done, as `meter` does.

    `earlier`: how many of the total an earlier run did.
    """
    with meter(total, unit) as advance:
        if earlier:
            advance(earlier, earlier=True)
        for item in items:
            yield item
            advance(1)


@contextmanager
def meter(total: int, unit: str, clock: Callable[[], float] = time.monotonic) -> Iterator[Advance]:
    """Yield what is to be told how many more are done: a bar with rate and remaining time on a terminal.

    Elsewhere a plain line a minute, and one at the end of what took long. In a process that works for another
    the listener hears of it.
    """
    if _listener:
        listener = _listener
        yield lambda count, earlier=False: listener(Done(count, earlier))
        return
    if sys.stderr.isatty():
        with tqdm(total=total, unit=f" {unit}", leave=False) as shown:

            def update(count: int, earlier: bool = False) -> None:
                if earlier:
                    shown.initial += count
                    shown.n += count
                    shown.refresh()
                else:
                    shown.update(count)

            yield update
        return
    began = said = clock()
    done = before = 0

    def advance(count: int, earlier: bool = False) -> None:
        nonlocal done, before, said
        done += count
        before += count * earlier
        now = clock()
        if now - said >= SAID_EVERY and before < done < total:
            said = now
            rate = (done - before) / (now - began)
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
