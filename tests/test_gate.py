"""The gate reads metrics, holds them against limits, and never passes what it could not check."""

import copy
from typing import Any

import pytest
from test_settings import write_params

from unlearning import cli, errors
from unlearning.errors import UserError
from unlearning.files import write_metrics
from unlearning.gate import check, table
from unlearning.settings import GateParams

LIMITS: dict[str, Any] = {
    "forget_accuracy": 0.02,
    "retain_loss": 0.03,
    "js_excess": 0.05,
    "membership_excess": 0.1,
    "few_shot_excess": 0.15,
    "cost_ratio": 0.5,
}
# Every figure exactly at its limit.
METRICS: dict[str, dict[str, Any]] = {
    "evaluate_forget": {"test_accuracy": 0.02},
    "evaluate_retain": {"test_accuracy": 0.89, "original": {"test_accuracy": 0.92}},
    "adversarial_train": {"cost_ratio": 0.5},
    "audit": {
        "js_to_retrained": 0.13,
        "js_floor": 0.08,
        "few_shot_recall": 0.45,
        # 0.38 is 0.12 away from 0.5, the retrained models' 0.52 is 0.02 away.
        "membership_auc": {"confidence": 0.38, "entropy": 0.5},
        "retrained": {
            "few_shot_recall": 0.3,
            "membership_auc": {"confidence": 0.52, "entropy": 0.4},
        },
    },
}
# A step in the wrong direction of the figure that each limit reads.
WORSE = {
    "forget_accuracy": ("evaluate_forget", ("test_accuracy",), 0.0201),
    "retain_loss": ("evaluate_retain", ("test_accuracy",), 0.8899),
    "js_excess": ("audit", ("js_to_retrained",), 0.1301),
    "membership_excess": ("audit", ("membership_auc", "confidence"), 0.3799),
    "few_shot_excess": ("audit", ("few_shot_recall",), 0.4501),
    "cost_ratio": ("adversarial_train", ("cost_ratio",), 0.5001),
}


def write(folder, **changes):
    """Write METRICS, changed as {limit: value} at the figure that this limit reads."""
    metrics = copy.deepcopy(METRICS)
    for limit, value in changes.items():
        file, path, _ = WORSE[limit]
        part = metrics[file]
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
    for name, values in metrics.items():
        write_metrics(folder / f"{name}.json", values)


def outcomes(folder, **limits):
    return {each.limit_name: each.outcome for each in check(folder, GateParams(**LIMITS | limits))}


def test_a_figure_at_its_limit_is_kept(tmp_path):
    """Must fail if the comparison is strict, or 0.92 - 0.89 = 0.030000000000000027 breaks 0.03."""
    write(tmp_path)
    assert set(outcomes(tmp_path).values()) == {"kept"}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_figure_just_above_its_limit_breaks_that_limit_alone(tmp_path, limit):
    """Must fail if a limit reads another figure, or a difference is taken the wrong way round."""
    write(tmp_path, **{limit: WORSE[limit][2]})
    found = outcomes(tmp_path)
    assert [name for name, outcome in found.items() if outcome == "broken"] == [limit]


@pytest.mark.parametrize("limit", LIMITS)
def test_no_limit_is_not_checked(tmp_path, limit):
    """Must fail if null means 0, or is taken for a kept limit."""
    write(tmp_path, **{limit: WORSE[limit][2]})
    assert outcomes(tmp_path, **{limit: None})[limit] == "not checked"


def test_a_limit_of_zero_is_a_limit(tmp_path):
    """Must fail if 0 is taken for null."""
    write(tmp_path)
    assert outcomes(tmp_path, cost_ratio=0.0)["cost_ratio"] == "broken"


@pytest.mark.parametrize("limit", ["js_excess", "membership_excess", "few_shot_excess"])
def test_what_was_not_measured_breaks_its_limit(tmp_path, limit):
    """Must fail if a gate passes what it could not check."""
    write(tmp_path, **{limit: "not measured: needs 10 images"})
    assert outcomes(tmp_path)[limit] == "broken"


def test_without_a_reference_its_limits_break_and_say_so(tmp_path):
    """Must fail if "no reference" is indexed as if it were figures."""
    write(tmp_path)
    audit = METRICS["audit"] | {
        "js_to_retrained": "no reference", "js_floor": "no reference", "retrained": "no reference"
    }  # fmt: skip
    write_metrics(tmp_path / "audit.json", audit)
    checks = check(tmp_path, GateParams(**LIMITS))
    assert [each.limit_name for each in checks if each.outcome == "broken"] == [
        "js_excess", "membership_excess", "few_shot_excess"
    ]  # fmt: skip
    assert table(checks).count("no reference") == 3


def test_a_value_that_is_no_number_breaks_its_limit(tmp_path):
    """Must fail if NaN, which compares false with everything, is taken for kept."""
    write(tmp_path)
    (tmp_path / "adversarial_train.json").write_text('{"cost_ratio": NaN}')
    assert outcomes(tmp_path)["cost_ratio"] == "broken"


def test_metrics_of_another_version_are_refused_in_one_line(tmp_path):
    """Must fail if KeyError escapes."""
    write(tmp_path)
    write_metrics(tmp_path / "evaluate_retain.json", {})
    with pytest.raises(UserError, match="not from this version"):
        check(tmp_path, GateParams(**LIMITS))


@pytest.mark.parametrize("text", ["{", "\ufeff{}"])
def test_a_broken_file_is_refused_in_one_line(tmp_path, text):
    """Must fail if JSONDecodeError escapes."""
    write(tmp_path)
    (tmp_path / "audit.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="not a metrics file"):
        check(tmp_path, GateParams(**LIMITS))


@pytest.mark.parametrize(("cost", "code"), [(0.5, 0), (0.6, 1)])
def test_the_exit_code_tells_ci(tmp_path, monkeypatch, capsys, cost, code):
    """Must fail if a broken limit exits with 0, or a kept one with 1."""
    write(tmp_path, cost_ratio=cost)
    params = write_params(tmp_path, gate=LIMITS)
    monkeypatch.setattr(
        "sys.argv", ["unlearning", "gate", "--metrics", str(tmp_path), "--params", str(params)]
    )
    with pytest.raises(SystemExit) as stopped:
        errors.run(cli.app)
    assert (stopped.value.code or 0) == code
    assert f"{cost:.4f}" in capsys.readouterr().out
