"""The gate of a code review: figures in `metrics/` against limits, without data or models."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unlearning.errors import UserError
from unlearning.files import DIGITS, read_metrics
from unlearning.settings import GateParams

FILES = ("evaluate_forget", "evaluate_retain", "adversarial_train", "audit")


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
        # A NaN is never at most anything, so it breaks the limit.
        return "kept" if round(self.value, DIGITS) <= round(self.limit, DIGITS) else "broken"


def check(folder: Path, limits: GateParams) -> list[Check]:
    """Return one check per limit. Raises: UserError if a metrics file is missing or lacks a figure."""
    metrics = {name: _read(folder / f"{name}.json") for name in FILES}
    forget, retain = metrics["evaluate_forget"], metrics["evaluate_retain"]
    cost, audit = metrics["adversarial_train"], metrics["audit"]
    try:
        original, retrained = retain["original"]["test_accuracy"], audit["retrained"]
        few_shot = retrained if isinstance(retrained, str) else retrained["few_shot_recall"]
        return [
            Check(
                "forget_accuracy",
                "test accuracy on forget images",
                forget["test_accuracy"],
                limits.forget_accuracy,
            ),
            Check(
                "retain_loss",
                "retain test accuracy lost against the original",
                _difference(original, retain["test_accuracy"]),
                limits.retain_loss,
            ),
            Check(
                "js_excess",
                "divergence to retrained models above their floor (nats)",
                _difference(audit["js_to_retrained"], audit["js_floor"]),
                limits.js_excess,
            ),
            Check(
                "membership_excess",
                "worst membership AUC further from 0.5 than retrained",
                _membership_excess(audit),
                limits.membership_excess,
            ),
            Check(
                "few_shot_excess",
                "recall from five images above retrained",
                _difference(audit["few_shot_recall"], few_shot),
                limits.few_shot_excess,
            ),
            Check(
                "cost_ratio",
                "image passes against one retraining",
                cost["cost_ratio"],
                limits.cost_ratio,
            ),
        ]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder} is not from this version: a figure is missing ({error}): run `dvc repro`"
        ) from None


def broken(checks: list[Check]) -> bool:
    """Return whether any limit is broken."""
    return any(each.outcome == "broken" for each in checks)


def table(checks: list[Check]) -> str:
    """Return the checks as a Markdown table, which reads as plain text too."""
    rows = [("limit", "figure", "value", "at most", "outcome")]
    rows += [
        (each.limit_name, each.meaning, _shown(each.value), _shown(each.limit), each.outcome)
        for each in checks
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| "
        + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _membership_excess(audit: Mapping[str, Any]) -> float | str:
    """Return the largest of |AUC - 0.5| minus the retrained models' |AUC - 0.5|, over all attacks."""
    if isinstance(audit["retrained"], str):
        return audit["retrained"]
    theirs = audit["retrained"]["membership_auc"]
    excesses = []
    for attack, mine in audit["membership_auc"].items():
        if isinstance(mine, str) or isinstance(theirs[attack], str):
            return mine if isinstance(mine, str) else theirs[attack]
        excesses.append(abs(mine - 0.5) - abs(theirs[attack] - 0.5))
    return max(excesses)


def _difference(left: float | str, right: float | str) -> float | str:
    if isinstance(left, str) or isinstance(right, str):
        return left if isinstance(left, str) else right
    return left - right


def _shown(value: float | str | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.{DIGITS}f}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_metrics(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run `dvc repro` first") from None
    except ValueError as error:
        raise UserError(f"{path} is not a metrics file: {error}") from None
