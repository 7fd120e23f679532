"""The one way in which a figure of metrics/ gets into the report: looked up by its path, quoted exactly.

The markup carries the path and the file's own value, so that a reader, or a test, can check each figure.
"""

import json
import re
from collections.abc import Callable

from markupsafe import Markup, escape

from unlearning.audit.words import Distance
from unlearning.base.errors import UserError
from unlearning.report.metrics import Metrics
from unlearning.report.sentences import reason

READINGS = tuple(Distance)


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
            raise UserError(f"{path} is no single figure: run `dvc repro`")
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
    start, sign, rest = re.split(r"([:;]|(?= \()|$)", sentence, maxsplit=1)
    return Markup("<strong>{}</strong>").format(start + sign) + rest if rest else escape(sentence)


def text_quoter(metrics: Metrics) -> Callable[..., str]:
    """Return the model card's function `metric(*keys, form="", said=None)`: the same figures as plain text."""

    def metric(*keys: str, form: str = "", said: object = None) -> str:
        value = metrics.get(*keys)
        if isinstance(value, int | float):
            return shown(value, form)
        return "–" if value == said else reason(str(value))

    return metric
