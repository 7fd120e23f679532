"""A review as Markdown: what a reader asks first stands first; every changed figure follows, folded.

Names and words come from a stranger's branch: they are shown as code, where nothing is a link or a mention.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from unlearning.audit import catalogue
from unlearning.audit.words import Distance, RequestKind, Verdict
from unlearning.base.errors import UserError, printable
from unlearning.base.files import DIGITS
from unlearning.report import sentences
from unlearning.review import gate
from unlearning.review.changes import Changed, Changes, Gate, Pair

# What decides a review, besides the audit's figures: file, key, words. The original's and the retrained models'
# figure stands beside.
ACCURACIES = (
    ("evaluate_forget", "test_accuracy", "forget accuracy, test (low is the goal)"),
    ("evaluate_forget", "train_accuracy", "forget accuracy, training (low is the goal)"),
    ("evaluate_retain", "test_accuracy", "retain accuracy, test (high is the goal)"),
)
# Of a request for single images, whose goal is what retrained models have.
OF_IMAGES = {
    "test_accuracy": "accuracy on unseen images like them",
    "train_accuracy": "accuracy on forget images",
}
COST = ("adversarial_train", "cost_ratio", "cost against one retraining")
# Characters. A comment on GitHub holds 65,536; the rest of the text needs far less than what is left.
LONGEST_TABLE, LONGEST_PARAMS, LONGEST_CELL, LONGEST_SENTENCE = 40_000, 8_000, 90, 400
NOTHING: Pair = (None, None)


def markdown(changes: Changes) -> str:
    """Return the whole text, whatever was found; a reader of Markdown or of plain text can follow it."""
    parts = [
        "## Unlearning review",
        f"From {changes.base}, where the branch left its base, to {changes.head}.",
        "\n".join(_summary(changes)),
        "### Parameters",
        _params(changes.params),
        "### Figures",
        _headlines(changes),
        "### Limits",
        *_limits(changes.gate),
        *_everything(changes.metrics),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(changes: Changes) -> list[str]:
    before, after = (_verdict(changes, side) for side in (0, 1))
    verdict = f"- **Audit**: {after}"
    if before not in (_words(None), after):
        verdict += f" (base: {before})"
    if isinstance(changes.figures[1], UserError):
        verdict += f"; its figures are not shown: {_words(str(changes.figures[1]))}"
    return [verdict, f"- **Limits**: {_outcome(changes.gate)}", f"- **Lock**: {_lock(changes)}"]


def _verdict(changes: Changes, side: int) -> str:
    """Return one side's verdict, with the decisive figures outside by name where these are its reason.

    Whether a model failed is said by its accuracies alone.
    """
    verdict = changes.metrics.get("metrics/audit.json", {}).get("verdict", NOTHING)[side]
    word, table = _words(verdict), changes.figures[side]
    if verdict not in (Verdict.TOLD_APART, Verdict.CONTRADICTED) or isinstance(table, UserError):
        return word
    outside = [
        name
        for name, row in table.items()
        if (row.get("decisive"), row.get("reading")) == ("yes", Distance.OUTSIDE)
    ]
    return word + (f", by {sentences.named(outside)}" if outside else "")


def _outcome(found: Gate | UserError) -> str:
    if isinstance(found, UserError):
        return f"not checked: {_words(str(found))}"
    broken = [each.limit_name for each in found.checks if each.outcome == "broken"]
    lines = []
    if new := [name for name in broken if name not in found.broken_on_base]:
        lines.append(f"**broken by this branch: {', '.join(new)}**")
    if old := [name for name in broken if name in found.broken_on_base]:
        lines.append(f"broken, as on the base: {', '.join(old)}")
    if found.loosened:
        lines.append(f"**kept only by limits this branch changed: {', '.join(found.loosened)}**")
    return "; ".join(lines) or "all kept"


def _lock(changes: Changes) -> str:
    if isinstance(changes.stages_to_run, UserError):
        return f"not checked: {_words(str(changes.stages_to_run))}"
    if changes.stages_to_run:
        return (
            f"**out of step: {', '.join(map(_code, changes.stages_to_run))} would run again**, so the "
            "figures are not those of this code and these parameters: `dvc repro`, then commit `dvc.lock`, "
            "`metrics/` and `plots/`"
        )
    return "in sync with code, parameters, metrics and plots"


def _params(changed: Changed) -> str:
    if not changed:
        return "None changed."
    rows = [(_code(key), _cell(old), _cell(new)) for key, (old, new) in changed.items()]
    fitting = _fitting(rows, LONGEST_PARAMS)
    more = f"\n\nand {len(rows) - fitting} more: `dvc params diff`" * (fitting < len(rows))
    return _table(("parameter", "base", "branch"), rows[:fitting]) + more


def _fitting(rows: Sequence[Sequence[str]], longest: int) -> int:
    """Return how many rows a table of so many characters holds, from the first."""
    lengths = accumulate(sum(map(len, row)) + 3 * len(row) for row in rows)
    return sum(length <= longest for length in lengths)


def _headlines(changes: Changes) -> str:
    metrics, table = changes.metrics, changes.figures[1]
    table = {} if isinstance(table, UserError) else table
    audit = metrics.get("metrics/audit.json", {})
    known = catalogue.ordered(filter(catalogue.is_figure, audit))
    figures_of_audit = [("audit", name, catalogue.title(name)) for name in known]
    of_images = audit.get("request", NOTHING)[1] == RequestKind.IMAGES
    headlines = [*ACCURACIES, *figures_of_audit, COST]
    rows = []
    for file, key, words in headlines:
        figures = metrics.get(f"metrics/{file}.json", {})
        pair = figures.get(key, NOTHING)
        if file == "audit":
            row = table.get(key, {})
            beside = [_number(row.get(model)) for model in ("original", "retrained")]
        else:
            beside = [
                figures.get(f"{model}.{key}", NOTHING)[1] for model in ("original", "retrained")
            ]
        if of_images and file == "evaluate_forget":
            words = OF_IMAGES[key]
        rows.append((words, *map(_cell, pair), _change(pair), *map(_cell, beside)))
    return _table(("figure", "base", "branch", "change", "original", "retrained"), rows)


def _limits(found: Gate | UserError) -> list[str]:
    if isinstance(found, UserError):
        return [_words(str(found))]
    # A fence, not a table: what could not be measured is said in words of the branch's own.
    return [f"```\n{gate.table(found.checks)}\n```"]


def _everything(metrics: dict[str, Changed]) -> list[str]:
    """Return all figures that changed, as many as there is room for."""
    rows = [
        (
            _code(f"{file.removeprefix('metrics/')}: {key}"),
            *map(_cell, pair),
            _change(pair),
        )
        for file, figures in metrics.items()
        for key, pair in figures.items()
        if pair[0] != pair[1]
    ]
    if not rows:
        return ["No figure changed."]
    fitting = _fitting(rows, LONGEST_TABLE)
    more = f"\n\nand {len(rows) - fitting} more: `dvc metrics diff`" * (fitting < len(rows))
    return [
        f"<details><summary>All {len(rows)} figures that changed</summary>",
        _table(("figure", "base", "branch", "change"), rows[:fitting]) + more,
        "</details>",
    ]


def _change(pair: Pair) -> str:
    old, new = pair
    if not (_is_number(old) and _is_number(new)):
        return "" if old == new else "changed"
    return f"{round(float(new) - float(old), DIGITS):+.{DIGITS + 2}g}" if new != old else ""


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if _is_number(value):
        return str(value) if isinstance(value, int) else f"{value:.{DIGITS + 2}g}"
    return _code(str(value))


def _number(text: str | None) -> Any:
    """Return a cell of a table as a number, if it is one."""
    try:
        return float(text or "")
    except ValueError:
        return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _code(text: str) -> str:
    """Return text as code in one cell: no link, mention, tag or column comes of it."""
    line = printable(text).replace("`", "'")
    short = line if len(line) <= LONGEST_CELL else line[: LONGEST_CELL - 1] + "…"
    return "`" + short.replace("|", "\\|") + "`"


def _words(value: Any) -> str:
    """Return a sentence as code outside a table."""
    if value is None:
        return "not there"
    return "`" + printable(str(value))[:LONGEST_SENTENCE].replace("`", "'") + "`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
