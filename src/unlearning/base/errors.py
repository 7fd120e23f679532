"""A person's mistakes, told apart from bugs: one line and exit code 2, no traceback."""

import errno
import re
import sys
from bisect import bisect
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NoReturn

# What acts on a terminal or a page instead of being shown: control characters, line and paragraph
# separators, marks that turn the reading direction, halves of a character.
ACTING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST_LINE = 2000
MOST_CHOICES = 20
MOST_COMPARED, NEIGHBOURS = 2000, 100  # of the names that one might have meant
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # such an OSError often names no file


class UserError(Exception):
    """A mistake that a person can mend: the message names key, value, what is allowed, the likely fix."""


def printable(text: str) -> str:
    r"""Return text with every character that would act instead of being shown as \u001b and the like."""
    return ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(error: Exception) -> str:
    """Return the error's message as one line that is safe to show; the middle of a long one is left out."""
    line = printable(" ".join(str(error).split()))
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 2 + 3 :]}"


def fail(error: UserError) -> NoReturn:
    """Write the error as one line to stderr and exit with code 2."""
    sys.stderr.write(f"error: {one_line(error)}\n")
    sys.exit(2)


def run(main: Callable[[], None]) -> None:
    """Call a stage's main: a user's mistake ends in one line and exit code 2, Ctrl-C in 130.

    So does a file that the system refuses: missing, not permitted, no space left.
    """
    try:
        main()
    except UserError as error:
        fail(error)
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        place = f"{error.filename!r}: " if error.filename is not None else ""
        fail(UserError(f"{place}{error.strerror}"))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


def nearest(word: str, known: list[str]) -> str:
    """Return ", did you mean 'x'?" for the nearest of `known`, or an empty string if none is near."""
    lowered = {candidate.lower(): candidate for candidate in _alike(word.lower(), known)}
    matches = get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.5)
    return f", did you mean {lowered[matches[0]]!r}?" if matches else ""


def _alike(word: str, known: Sequence[str]) -> Sequence[str]:
    """Return those that begin or end as the word does, where comparing with all of them would take minutes."""
    if len(known) <= MOST_COMPARED:
        return known
    found: set[str] = set()
    for step in (1, -1):
        turned = sorted((name[::step] for name in known), key=str.lower)
        place = bisect(turned, word[::step], key=str.lower)
        found.update(
            name[::step] for name in turned[max(place - NEIGHBOURS, 0) : place + NEIGHBOURS]
        )
    return sorted(found)


def choices(names: Sequence[str]) -> str:
    """Return "a, b, c" for a message, the end of a long list as "and 980 more"."""
    more = f" and {len(names) - MOST_CHOICES} more" if len(names) > MOST_CHOICES else ""
    return ", ".join(names[:MOST_CHOICES]) + more
