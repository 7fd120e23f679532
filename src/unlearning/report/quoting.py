"""The one way in which a figure of metrics/ gets into the report: looked up by its path, quoted exactly.

The markup carries the path and the file's own value, so that a reader, or a test, can check each figure.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from unlearning.files import read_metrics
from unlearning.report.sentences import reason
from unlearning.words import Distance

READINGS = tuple(Distance)


class Metrics:
    """The files of a metrics folder as one tree: the first key is a file's name without its suffix."""

    def __init__(self, tree: Mapping[str, Any]):
        self.tree = tree

    @classmethod
    def read(cls, folder: Path, names: tuple[str, ...]) -> "Metrics":
        """Return the tree of these files. Raises: UserError if one is missing."""
        return cls({name: read_metrics(folder / f"{name}.json") for name in names})

    def find(self, *keys: str) -> tuple[str, Any]:
        """Return a value with its path.

        Words such as "no reference" stand for all that would lie below them: the path then ends there.
        Raises: KeyError if there is no such path.
        """
        value: Any = self.tree
        for depth, key in enumerate(keys):
            if isinstance(value, str):
                return dotted(keys[:depth]), value
            if key not in value:
                raise KeyError(f"metrics/ holds no {dotted(keys[: depth + 1])}")
            value = value[key]
        return dotted(keys), value

    def get(self, *keys: str) -> Any:
        """Return the value of `find` alone."""
        return self.find(*keys)[1]

    def items(self, *keys: str) -> dict[str, Any]:
        """Return what lies below a path, or nothing where words stand in its place."""
        value = self.get(*keys)
        return dict(value) if isinstance(value, Mapping) else {}

    def is_number(self, *keys: str) -> bool:
        """Tell a number from words."""
        return isinstance(self.get(*keys), int | float)


def dotted(keys: tuple[str, ...]) -> str:
    r"""Return keys joined by dots; a dot or backslash of a key itself is written as `\.` or `\\`."""
    return ".".join(key.replace("\\", "\\\\").replace(".", "\\.") for key in keys)


def shown(value: int | float, form: str = "") -> str:
    """Return a number as people read it: three decimals; `form` is "percent" or "count" (one at most)."""
    if form == "percent":
        text = f"{value:.1%}".replace("%", " %")
    elif form == "count":
        text = f"{value:,.1f}".removesuffix(".0")
    elif isinstance(value, int):
        text = f"{value:,}"
    else:
        text = f"{value:.3f}"
    return text.replace("-", "−")


def html_quoter(metrics: Metrics) -> Callable[..., Markup]:
    """Return the page's function `metric(*keys, form="", said=None, sentence="")`.

    `form`: that of `shown`; or "reading", a word with its sign; "mark", the sign alone, with the word
    for those who cannot see it. `said`: a word that the row gives already, for which a dash then stands.
    `sentence`: what to write in place of a word, its beginning set off.
    """

    def metric(*keys: str, form: str = "", said: object = None, sentence: str = "") -> Markup:
        path, value = metrics.find(*keys)
        if isinstance(value, int | float):
            return Markup('<data value="{}" data-metric="{}">{}</data>').format(
                json.dumps(value), path, shown(value, form)
            )
        if not isinstance(value, str):
            raise TypeError(f"{path} is no single figure")
        if value == said:
            return Markup('<data value="{0}" data-metric="{1}" title="{0}">–</data>').format(
                value, path
            )
        if form == "mark" or (form == "reading" and value in READINGS):
            kind = value if value in READINGS else "none"
            return Markup('<span class="{} {}" data-metric="{}"><span>{}</span></span>').format(
                form, kind, path, value
            )
        return Markup('<data class="words" value="{}" data-metric="{}">{}</data>').format(
            value, path, _set_off(sentence) if sentence else reason(value)
        )

    return metric


def _set_off(sentence: str) -> Markup:
    start, sign, rest = re.split("([:;]|$)", sentence, maxsplit=1)
    return Markup("<strong>{}</strong>").format(start + sign) + rest if rest else escape(sentence)


def text_quoter(metrics: Metrics) -> Callable[..., str]:
    """Return the model card's function `metric(*keys, form="", said=None)`: the same figures as plain text."""

    def metric(*keys: str, form: str = "", said: object = None) -> str:
        value = metrics.get(*keys)
        if isinstance(value, int | float):
            return shown(value, form)
        return "–" if value == said else reason(str(value))

    return metric
