"""The short table at the end of a run: forget and retain accuracy, before, after, and as retraining has it."""

from pathlib import Path
from typing import Any

from unlearning.errors import UserError
from unlearning.files import read_metrics


def table(folder: Path) -> str:
    """Return the table and a few lines of words, from the metrics files in `folder`.

    Raises: UserError if a metrics file is missing or lacks a figure.
    """
    try:
        return _table(folder)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder} holds other figures than a run writes ({type(error).__name__}: {error}): run "
            "`dvc repro`"
        ) from None


def _table(folder: Path) -> str:
    forget = read_metrics(folder / "evaluate_forget.json")
    retain = read_metrics(folder / "evaluate_retain.json")
    cost = read_metrics(folder / "adversarial_train.json")
    audit = read_metrics(folder / "audit.json")
    rows = [
        ("", "original", "unlearned", "retrained"),
        ("forget classes, test accuracy (low is the goal)", *_row(forget)),
        ("retain classes, test accuracy (high is the goal)", *_row(retain)),
    ]
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:<{width}}  " + "".join(f"{cell:>22}" for cell in row[1:]) for row in rows]
    return "\n".join(
        [
            *lines,
            f"cost: {cost['image_passes']} image passes, {cost['cost_ratio']:.1%} of one retraining",
            f"assessment: {forget['assessment']}",
            f"verdict of the audit: {audit['verdict']}",
            f"the article's reading: {forget['article_assessment']}",
            *([] if cost["warnings"] == "none" else [f"warning: {cost['warnings']}"]),
        ]
    )


def _row(figures: dict[str, Any]) -> tuple[str, str, str]:
    retrained = figures["retrained"]
    shown = retrained
    if isinstance(retrained, dict):
        shown = f"{retrained['test_accuracy']:.3f}"
        if retrained["models"] > 1:
            shown += f" (spread {retrained['test_accuracy_spread']:.3f})"
    return f"{figures['original']['test_accuracy']:.3f}", f"{figures['test_accuracy']:.3f}", shown
