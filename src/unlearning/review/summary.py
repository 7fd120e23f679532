"""The short table at the end of a run: forget and retain accuracy, before, after, and as retraining has it."""

from pathlib import Path

from unlearning.methods.shared.words import GameWarning
from unlearning.report import sentences
from unlearning.report.metrics import Metrics
from unlearning.review.gate import FILES

TABLES = ("audit_figures", "destinations")


def read(root: Path) -> Metrics:
    """Return what a summary speaks of, in metrics/ and plots/ of `root`. Raises: UserError, see `Metrics`."""
    return Metrics.read(root, FILES, TABLES)


def table(metrics: Metrics) -> str:
    """Return the table and a few lines of words. Raises: UserError if a figure is missing."""
    if sentences.of_images(metrics):
        of_forget = ("forget images (the goal: as retrained)", "train_accuracy")
    else:
        of_forget = ("forget classes, test accuracy (low is the goal)", "test_accuracy")
    rows = [
        ("", "original", "unlearned", "retrained"),
        (of_forget[0], *_row(metrics, "evaluate_forget", of_forget[1])),
        ("retain classes, test accuracy (high is the goal)", *_row(metrics, "evaluate_retain")),
    ]
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:<{width}}  " + "".join(f"{cell:>22}" for cell in row[1:]) for row in rows]
    warning = sentences.warning(metrics)
    return "\n".join(
        [
            *lines,
            f"cost: {metrics.number('adversarial_train', 'cost_ratio'):.1%} of the arithmetic of one "
            f"retraining, {metrics.number('adversarial_train', 'image_passes'):.0f} image passes",
            f"assessment: {sentences.assessment(metrics)}",
            f"verdict of the audit: {sentences.verdict(metrics)}",
            f"the article's reading: {sentences.article(metrics)}",
            *([] if warning == GameWarning.NONE else [f"warning: {warning}"]),
        ]
    )


def _row(metrics: Metrics, file: str, key: str = "test_accuracy") -> tuple[str, str, str]:
    shown = metrics.get(file, "retrained")
    if not isinstance(shown, str):
        mean, spread = (
            metrics.number(file, "retrained", f"{key}{part}") for part in ("", "_spread")
        )
        shown = f"{mean:.3f} (spread {spread:.3f})"
    original = metrics.number(file, "original", key)
    return f"{original:.3f}", f"{metrics.number(file, key):.3f}", shown
