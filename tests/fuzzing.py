"""What the fuzz tests share: how much is tried, and what may come of it.

`make test` tries few cases, always the same; `make fuzz N=3000` tries so many of each kind, new ones each
time, and shows how many were taken and refused.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, currently_in_test_context, event, settings
from hypothesis import strategies as st

from unlearning.base.errors import UserError, one_line

COMMON: dict[str, Any] = {
    "deadline": timedelta(seconds=10),  # a case that takes longer hangs
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
CASES = int(os.environ.get("FUZZ_CASES", "0"))
fuzzed = (
    settings(max_examples=CASES, **COMMON)
    if CASES
    else settings(max_examples=60, derandomize=True, database=None, **COMMON)
)

# Any text at all: lone surrogates, control characters, right-to-left marks.
TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
HOSTILE_TEXT = st.sampled_from(
    [
        "", " ", "..", "../../etc/passwd", "/", "-rf", "=cmd|' /C calc'!A0", "a,b", 'a"b', "$x_{1$",
        "a\nb", "a\rb", "a\x00b", "\x1b[2J\x1b]0;x\x07", "\u202egnp", "e\u0301", "\ud800", "\udcff",
        "<script>alert(1)</script>", "{{ 7*7 }}", "![x](http://x)", "x" * 100_000, "NaN", "null",
        "1e999", "9" * 5000, "~", "\ufeff", "\u2028",
    ]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**63, 2**64, -1, 0]),
    st.floats(),
    TEXT,
    HOSTILE_TEXT,
    st.just([]),
    st.just({}),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def outcome(call: Callable[[], object]) -> str:
    """Return "taken", or "refused" for a mistake told in one printable line; all else escapes."""
    try:
        call()
    except UserError as error:
        assert one_line(error)
        return counted("refused")
    return counted("taken")


def counted(kind: str) -> str:
    """Count the case among those of its kind, for `--hypothesis-show-statistics`; return the kind."""
    if currently_in_test_context():
        event(kind)
    return kind


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in a tree, inner ones included, the tree itself left out."""
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    found = []
    for key, value in items:
        found += [(*path, key), *places(value, (*path, key))]
    return found


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of the tree with the value at this path replaced."""
    if not path:
        return value
    key, *rest = path
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[key] = replaced(copy[key], tuple(rest), value)
    return copy


@st.composite
def damaged_trees(draw: st.DrawFn, tree: Any) -> Any:
    """Draw the tree with one to three of its values replaced by hostile ones or left out."""
    for _ in range(draw(st.integers(1, 3))):
        known = places(tree)
        if not known:
            break
        path = draw(st.sampled_from(known))
        tree = replaced(tree, path, draw(TREES))
    return tree


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes, header: int = 0) -> bytes:
    """Draw the bytes cut short, with some replaced (often in the first `header`), or with some put in."""
    kind = draw(st.sampled_from(["cut", "flip", "insert"]))
    if kind == "cut":
        return content[: draw(st.integers(0, len(content) - 1))]
    if kind == "insert":
        place = draw(st.integers(0, len(content)))
        return content[:place] + draw(st.binary(min_size=1, max_size=64)) + content[place:]
    damaged = bytearray(content)
    for _ in range(draw(st.integers(1, 8))):
        last = min(header or len(content), len(content)) if draw(st.booleans()) else len(content)
        damaged[draw(st.integers(0, last - 1))] = draw(st.integers(0, 255))
    return bytes(damaged)
