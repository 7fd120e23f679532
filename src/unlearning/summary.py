"""The short table at the end of a run: forget and retain accuracy, before, after, and as retraining has it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from unlearning.errors import UserError
from unlearning.files import read_metrics
from unlearning.report import sentences
from unlearning.words import GameWarning

SPOKEN_OF = ("evaluate_forget", "evaluate_retain", "adversarial_train", "audit")


def table(folder: Path) -> str:
    """Return the table and a few lines of words, from the metrics files in `folder`.

    Raises: UserError if a metrics file is missing or lacks a figure.
    """
    return _said(folder, _table)


def verdict(folder: Path) -> str:
    """Return the verdict as a sentence. Raises: UserError as `table`."""
    return _said(folder, sentences.verdict)


def _said(folder: Path, say: Callable[[sentences.Tree], str]) -> str:
    tree = {name: read_metrics(folder / f"{name}.json") for name in SPOKEN_OF}
    try:
        return say(tree)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder} holds other figures than a run writes ({type(error).__name__}: {error}): run "
            "`dvc repro`"
        ) from None


def _table(tree: sentences.Tree) -> str:
    cost = tree["adversarial_train"]
    rows = [
        ("", "original", "unlearned", "retrained"),
        ("forget classes, test accuracy (low is the goal)", *_row(tree["evaluate_forget"])),
        ("retain classes, test accuracy (high is the goal)", *_row(tree["evaluate_retain"])),
    ]
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:<{width}}  " + "".join(f"{cell:>22}" for cell in row[1:]) for row in rows]
    warning = sentences.warning(tree)
    return "\n".join(
        [
            *lines,
            f"cost: {cost['image_passes']} image passes, {cost['cost_ratio']:.1%} of one retraining",
            f"assessment: {sentences.assessment(tree)}",
            f"verdict of the audit: {sentences.verdict(tree)}",
            f"the article's reading: {sentences.article(tree)}",
            *([] if warning == GameWarning.NONE else [f"warning: {warning}"]),
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
