"""A person's mistakes, told apart from bugs: one line and exit code 2, no traceback."""

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NoReturn


class UserError(Exception):
    """A mistake that a person can mend: the message names key, value, what is allowed, the likely fix."""


def fail(error: UserError) -> NoReturn:
    """Write the error as one line to stderr and exit with code 2."""
    sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
    sys.exit(2)


def run(main: Callable[[], None]) -> None:
    """Call a stage's main: a user's mistake ends in one line and exit code 2, Ctrl-C in 130."""
    try:
        main()
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


def nearest(word: str, known: list[str]) -> str:
    """Return ", did you mean 'x'?" for the nearest of `known`, or an empty string if none is near."""
    lowered = {candidate.lower(): candidate for candidate in known}
    matches = get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.5)
    return f", did you mean {lowered[matches[0]]!r}?" if matches else ""


def choices(names: Sequence[str], most: int = 20) -> str:
    """Return "a, b, c" for a message, the end of a long list as "and 980 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
