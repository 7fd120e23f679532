"""The gate of a code review: figures in `metrics/` against limits, without data or models."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from unlearning.audit.words import NOT_FAILED, RequestKind
from unlearning.base.errors import printable
from unlearning.base.files import DIGITS, read_metrics, rounded
from unlearning.report.metrics import Metrics
from unlearning.review.columns import aligned
from unlearning.settings.gate import GateParams

FILES = ("evaluate_forget", "evaluate_retain", "adversarial_train", "audit")  # in metrics/


@dataclass(frozen=True)
class Check:
    """One limit. `value` is a string where the run could not measure the figure."""

    limit_name: str
    meaning: str
    value: float | str
    limit: float | None

    @property
    def outcome(self) -> Literal["kept", "broken", "not checked"]:
        """Return whether the value is at most the limit; what cannot be checked is broken."""
        if self.limit is None:
            return "not checked"
        if isinstance(self.value, str):
            return "broken"
        # Metrics have 4 digits: a difference of two may miss the limit by the arithmetic alone.
        return "kept" if round(self.value, DIGITS) <= self.limit else "broken"


def read(folder: Path) -> Metrics:
    """Return the metrics that limits are held against. Raises: UserError if a file is missing or none."""
    return Metrics({name: read_metrics(folder / f"{name}.json") for name in FILES})


def check(metrics: Metrics, limits: GateParams) -> list[Check]:
    """Return one check per limit. Raises: UserError if the metrics lack a figure."""
    forget, retain, cost, audit = (partial(metrics.figure, name) for name in FILES)
    of_images = audit("request") == RequestKind.IMAGES
    if of_images:
        # A model that never saw them gives many their class.
        about = "accuracy on forget images above retrained"
        accuracy = _difference(forget("train_accuracy"), forget("retrained", "train_accuracy"))
    else:
        about = "accuracy on forget images: worst of test, training, any class"
        accuracy = _largest(
            forget("test_accuracy"),
            forget("train_accuracy"),
            audit("worst_forget_accuracy"),
        )
    verdict = audit("verdict")
    checks = [
        Check("forget_accuracy", about, accuracy, limits.forget_accuracy),
        Check(
            "retain_loss",
            "retain test accuracy lost, but for what the request costs retrained models too",
            _difference(retain("kept_against"), retain("test_accuracy")),
            limits.retain_loss,
        ),
        Check(
            "js_excess",
            "divergence to retrained models above their floor (nats)",
            _difference(audit("js_to_retrained"), audit("js_floor")),
            limits.js_excess,
        ),
        Check(
            "membership_excess",
            "worst membership AUC by outputs further from 0.5 than retrained",
            _difference(audit("membership_outputs"), audit("retrained", "membership_outputs")),
            limits.membership_excess,
        ),
    ]
    if not of_images:
        recalls = audit("few_shot_recall"), audit("retrained", "few_shot_recall")
        about = "recall from five images above retrained"
        checks.append(
            Check("few_shot_excess", about, _difference(*recalls), limits.few_shot_excess)
        )
    return [
        *checks,
        Check(
            "cost_ratio",
            "arithmetic against one retraining",
            cost("cost_ratio"),
            limits.cost_ratio,
        ),
        # No limit of the params: what failed by the audit itself, or has no verdict, never passes. Its word
        # stands beside: of honest models one in twenty is told apart, which passes and is not to be overlooked.
        Check(
            "verdict",
            f"1 if the audit's verdict is failed, or none; it is: {printable(str(verdict))}",
            float(verdict not in NOT_FAILED),
            0.0,
        ),
    ]


def broken(checks: Sequence[Check]) -> bool:
    """Return whether any limit is broken."""
    return any(each.outcome == "broken" for each in checks)


def as_json(checks: Sequence[Check]) -> str:
    """Return the checks as a JSON list; what was not measured is a string, a limit switched off null."""
    return json.dumps(
        [rounded(asdict(each)) | {"limit": each.limit, "outcome": each.outcome} for each in checks],
        indent=2,
        ensure_ascii=False,
    )


def table(checks: Sequence[Check]) -> str:
    """Return the checks as a Markdown table, which reads as plain text too.

    Limits that are broken because nothing was measured are named below it, with the way out.
    """
    rows = [("limit", "figure", "value", "at most", "outcome")]
    rows += [
        (each.limit_name, each.meaning, _shown(each.value), _shown(each.limit), each.outcome)
        for each in checks
    ]
    cells = aligned(rows)
    lines = [f"| {' | '.join(row)} |" for row in cells]
    rule = (
        f"|{'|'.join('-' * (len(cell) + 2) for cell in cells[0])}|"  # of the header, which is ASCII
    )
    unmeasured = [
        f"gate.{each.limit_name}"
        for each in checks
        if each.outcome == "broken" and isinstance(each.value, str)
    ]
    hint = (
        f"Not measured, so not kept: {', '.join(unmeasured)}. Set a limit to null to do without it."
    )
    return "\n".join([lines[0], rule, *lines[1:], *(["", hint] if unmeasured else [])])


def _largest(*values: float | str) -> float | str:
    """Return the largest of them, or the first words."""
    words = [value for value in values if isinstance(value, str)]
    return words[0] if words else max(value for value in values if not isinstance(value, str))


def _difference(left: float | str, right: float | str) -> float | str:
    if isinstance(left, str) or isinstance(right, str):
        return left if isinstance(left, str) else right
    return left - right


def _shown(value: float | str | None) -> str:
    if value is None:
        return "-"
    return (
        printable(value) if isinstance(value, str) else f"{round(value, DIGITS) + 0.0:.{DIGITS}f}"
    )
