"""Which values of deep greyscale (more than 8 bits a pixel, or floats) are shown as black and as white."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Span:
    """The values of a deep greyscale picture, or of all of a data set: least, largest, whether floats."""

    low: float
    high: float
    floats: bool


Range = tuple[float, float]


@dataclass(frozen=True)
class Depth:
    """Which values of deep greyscale are black and white, in integer and in float files; one rule per data set.

    Black is 0 and white the smallest of the usual ends (8, 10, 12, 14 or 16 bit; 1 for floats) that holds all
    values of all files: contrast among the files stays as it was. Where none does, their own range.
    """

    integers: Range | None = None
    floats: Range | None = None

    @classmethod
    def of(cls, spans: Iterable[Span]) -> "Depth":
        """Return the rule for files with these values."""
        spans = list(spans)
        return cls(
            _range(
                [span for span in spans if not span.floats],
                [2**bits - 1 for bits in (8, 10, 12, 14, 16)],
            ),
            _range([span for span in spans if span.floats], [1, 255, 2**16 - 1]),
        )

    def dumps(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> "Depth":
        """Return what `dumps` wrote. Raises: ValueError."""
        values = json.loads(text)
        if not isinstance(values, dict) or values.keys() != {"integers", "floats"}:
            raise ValueError("no depth of greyscale")
        ranges = [None if value is None else tuple(map(float, value)) for value in values.values()]
        if any(each is not None and len(each) != 2 for each in ranges):
            raise ValueError("no depth of greyscale")
        return cls(**dict(zip(values, ranges, strict=True)))


PLAIN = Depth()


def _range(spans: list[Span], ends: list[int]) -> Range | None:
    if not spans:
        return None
    low, high = min(span.low for span in spans), max(span.high for span in spans)
    fitting = [end for end in ends if low >= 0 and high <= end]
    return (0.0, float(fitting[0])) if fitting else (low, high)
