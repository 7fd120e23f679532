"""The gate reads metrics, holds them against limits, and never passes what it could not check."""

import copy
import json
import subprocess
import sys
from typing import Any

import pytest
from test_settings import write_params

from unlearning import cli
from unlearning.audit.words import NOT_FAILED, Verdict
from unlearning.base.errors import UserError
from unlearning.base.files import write_metrics
from unlearning.review.gate import as_json, check, read, table
from unlearning.settings.gate import GateParams

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
    "evaluate_forget": {"test_accuracy": 0.02, "train_accuracy": 0.02},
    "evaluate_retain": {
        "test_accuracy": 0.89,
        "kept_against": 0.92,
        "original": {"test_accuracy": 0.95},
        "retrained": {"test_accuracy": 0.93},
    },
    "adversarial_train": {"cost_ratio": 0.5},
    "audit": {
        "request": "classes",
        "js_to_retrained": 0.13,
        "js_floor": 0.08,
        "verdict": "told apart",
        "worst_forget_accuracy": 0.02,
        "few_shot_recall": 0.45,
        "membership_outputs": 0.15,
        # What is no figure of the audit stands among them, as in a stranger's file.
        "destination_tv_floor": 0.2,
        "membership_auc": {"true_class_probability": 0.5, "new_attack": 0.4},
        "few_shot_recall_": 0.1,
        "retrained": {"few_shot_recall": 0.3, "membership_outputs": 0.05, "models": 2},
    },
}
# The figure that each limit reads: file, keys, a step in the wrong direction and one in the right one.
READS = {
    "forget_accuracy": ("evaluate_forget", ("test_accuracy",), 0.0201, 0.0199),
    "retain_loss": ("evaluate_retain", ("test_accuracy",), 0.8899, 0.8901),
    "js_excess": ("audit", ("js_to_retrained",), 0.1301, 0.1299),
    "membership_excess": ("audit", ("membership_outputs",), 0.1501, 0.1499),
    "few_shot_excess": ("audit", ("few_shot_recall",), 0.4501, 0.4499),
    "cost_ratio": ("adversarial_train", ("cost_ratio",), 0.5001, 0.4999),
}
WORSE = {limit: worse for limit, (_, _, worse, _) in READS.items()}
BETTER = {limit: better for limit, (_, _, _, better) in READS.items()}


def write(folder, **changes):
    """Write METRICS, changed as {limit: value} at the figure that this limit reads."""
    metrics = copy.deepcopy(METRICS)
    for limit, value in changes.items():
        file, path, *_ = READS[limit]
        part = metrics[file]
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
    for name, values in metrics.items():
        # Not write_metrics, which refuses what is not finite.
        (folder / f"{name}.json").write_text(json.dumps(values))


def outcomes(folder, **limits):
    return {
        each.limit_name: each.outcome for each in check(read(folder), GateParams(**LIMITS | limits))
    }


def test_the_loss_is_held_against_what_the_evaluation_says(tmp_path):
    """Must fail if the gate has a rule of its own: of the original here 0.06 are lost."""
    write(tmp_path)
    assert outcomes(tmp_path, retain_loss=0.03)["retain_loss"] == "kept"
    assert outcomes(tmp_path, retain_loss=0.029)["retain_loss"] == "broken"


def test_a_figure_at_its_limit_is_kept(tmp_path):
    """Must fail if the comparison is strict, or 0.92 - 0.89 = 0.030000000000000027 breaks 0.03."""
    write(tmp_path)
    assert set(outcomes(tmp_path).values()) == {"kept"}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_figure_just_above_its_limit_breaks_that_limit_alone(tmp_path, limit):
    """Must fail if a limit reads another figure, or a difference is taken the wrong way round."""
    write(tmp_path, **{limit: WORSE[limit]})
    found = outcomes(tmp_path)
    assert [name for name, outcome in found.items() if outcome == "broken"] == [limit]


@pytest.mark.parametrize("limit", LIMITS)
def test_a_figure_just_below_its_limit_is_kept(tmp_path, limit):
    """Must fail if a figure is held against a minimum, or "better" and "worse" are swapped."""
    write(tmp_path, **{limit: BETTER[limit]})
    assert set(outcomes(tmp_path).values()) == {"kept"}


def test_a_limit_with_more_digits_than_the_figures_is_not_rounded_up(tmp_path):
    """Must fail if the limit is rounded too: 0.0201 would then keep a limit of 0.02006."""
    write(tmp_path, forget_accuracy=0.0201)
    assert outcomes(tmp_path, forget_accuracy=0.02006)["forget_accuracy"] == "broken"


@pytest.mark.parametrize("limit", LIMITS)
def test_no_limit_is_not_checked(tmp_path, limit):
    """Must fail if null means 0, or is taken for a kept limit."""
    write(tmp_path, **{limit: WORSE[limit]})
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
        "js_to_retrained": "no reference", "js_floor": "no reference", "retrained": "no reference",
    }  # fmt: skip
    write_metrics(tmp_path / "audit.json", audit)
    checks = check(read(tmp_path), GateParams(**LIMITS))
    assert [each.limit_name for each in checks if each.outcome == "broken"] == [
        "js_excess", "membership_excess", "few_shot_excess"
    ]  # fmt: skip
    assert table(checks).count("no reference") == 3


def test_the_table_says_how_to_do_without_what_was_not_measured(tmp_path):
    """Must fail if the hint names a limit that was measured, or stands there without need.

    Or if a row is left out or stands twice.
    """
    write(tmp_path, few_shot_excess="not measured: needs 10 images", cost_ratio=0.6)
    said = table(check(read(tmp_path), GateParams(**LIMITS))).splitlines()
    first_cells = [line.split(" ")[1] for line in said if line.startswith("| ")]
    assert first_cells == ["limit", *LIMITS, "verdict"]
    assert said[-2:] == [
        "",
        "Not measured, so not kept: gate.few_shot_excess. Set a limit to null to do without it.",
    ]
    switched_off = check(read(tmp_path), GateParams(**LIMITS | {"few_shot_excess": None}))
    assert all(line.startswith("|") for line in table(switched_off).splitlines())


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_breaks_its_limit(tmp_path, limit, value):
    """Must fail if -inf passes as a small number, or a NaN is lost in the worst of the attacks."""
    write(tmp_path, **{limit: value})
    assert outcomes(tmp_path)[limit] == "broken"


def test_a_difference_of_nothing_has_no_sign(tmp_path):
    """Must fail if a retain accuracy that did not move is shown as lost by -0.0000."""
    write(tmp_path, retain_loss=0.92 + 1e-9)
    assert "-0.0000" not in table(check(read(tmp_path), GateParams(**LIMITS)))


@pytest.mark.parametrize(
    ("name", "values", "key"),
    [
        ("evaluate_forget", {}, "test_accuracy"),
        ("evaluate_forget", {"test_accuracy": None}, "test_accuracy"),
        ("evaluate_retain", {"test_accuracy": 0.9}, "kept_against"),
        ("adversarial_train", {"cost_ratio": {}}, "cost_ratio"),
        ("audit", METRICS["audit"] | {"membership_outputs": [None]}, "membership_outputs"),
        ("audit", METRICS["audit"] | {"retrained": {}}, "retrained.membership_outputs"),
    ],
)  # fmt: skip
def test_a_file_that_lacks_a_figure_is_refused_with_file_and_key(tmp_path, name, values, key):
    """Must fail if KeyError, TypeError or ValueError escapes: a traceback exits with 1, as "broken"."""
    write(tmp_path)
    (tmp_path / f"{name}.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=rf"{name}\.{key} of metrics/"):
        check(read(tmp_path), GateParams(**LIMITS))


@pytest.mark.parametrize("name", METRICS)
def test_a_missing_file_is_refused_with_its_name(tmp_path, name):
    """Must fail if FileNotFoundError escapes, or one of the files is not asked for."""
    write(tmp_path)
    (tmp_path / f"{name}.json").unlink()
    with pytest.raises(UserError, match=rf"{name}.json does not exist: run `dvc repro` first"):
        check(read(tmp_path), GateParams(**LIMITS))


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    """Must fail if NotADirectoryError escapes."""
    (tmp_path / "metrics").write_text("")
    with pytest.raises(UserError, match="cannot be read: Not a directory"):
        check(read(tmp_path / "metrics"), GateParams(**LIMITS))


def test_json_holds_what_the_table_shows(tmp_path):
    """Must fail if a field is renamed or left out, or 0.92 - 0.89 keeps its float noise."""
    write(tmp_path, js_excess="no reference", cost_ratio=0.6)
    rows = json.loads(
        as_json(check(read(tmp_path), GateParams(**LIMITS | {"few_shot_excess": None})))
    )
    found = {
        row["limit_name"]: (row["value"], row["limit"], row["outcome"])
        for row in rows
        if row.keys() == {"limit_name", "meaning", "value", "limit", "outcome"}
    }
    assert found == {
        "verdict": (0.0, 0.0, "kept"),
        "forget_accuracy": (0.02, 0.02, "kept"),
        "retain_loss": (0.03, 0.03, "kept"),
        "js_excess": ("no reference", 0.05, "broken"),
        "membership_excess": (0.1, 0.1, "kept"),
        "few_shot_excess": (0.15, None, "not checked"),
        "cost_ratio": (0.6, 0.5, "broken"),
    }


@pytest.mark.parametrize("text", ["{", "\ufeff{}"])
def test_a_broken_file_is_refused_in_one_line(tmp_path, text):
    """Must fail if JSONDecodeError escapes."""
    write(tmp_path)
    (tmp_path / "audit.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="not a metrics file"):
        check(read(tmp_path), GateParams(**LIMITS))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs `unlearning gate` on `tmp_path`: exit code, stdout, stderr."""

    def run(*options: str, **limits: float | None) -> tuple[int, str, str]:
        params = write_params(tmp_path, gate=LIMITS | limits)
        arguments = ["--metrics", str(tmp_path), "--params", str(params), *options]
        monkeypatch.setattr("sys.argv", ["unlearning", "gate", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize(
    ("cost", "limit", "code"), [(0.5, 0.5, 0), (0.6, 0.5, 1), (0.6, None, 0), ("no", 0.5, 1)]
)
def test_the_exit_code_tells_ci(tmp_path, run, options, cost, limit, code):
    """Must fail if a broken limit exits with 0, a kept one with 1, or JSON leaves the code out."""
    write(tmp_path, cost_ratio=cost)
    found, out, err = run(*options, cost_ratio=limit)
    assert found == code
    assert str(cost) in out
    assert err == ""


def test_json_is_all_that_is_printed(tmp_path, run):
    """Must fail if the table or a hint stands beside the JSON."""
    write(tmp_path, cost_ratio="no reference")
    assert len(json.loads(run("--json")[1])) == len(LIMITS) + 1


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"forget_acuracy": 0.1}, "unknown key 'gate.forget_acuracy', did you mean"),
        ({"js_excess": -0.1}, "gate.js_excess is -0.1, but it must be greater than or equal to 0"),
        ({"js_excess": "none"}, "gate.js_excess is 'none', but it must be a valid number"),
    ],
)
def test_a_mistake_in_the_limits_ends_in_exit_code_2(tmp_path, run, limits, said):
    """Must fail if a misspelt limit is ignored, or a mistake exits with 1, as "broken"."""
    write(tmp_path)
    code, out, err = run(**limits)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_run_that_was_not_made_ends_in_exit_code_2(run):
    """Must fail if missing metrics exit with 1, as "broken", or with 0."""
    code, out, err = run()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "evaluate_forget.json does not exist" in err


def test_the_gate_needs_no_pytorch(tmp_path):
    """Must fail if an import of the command pulls in PyTorch: seconds per review, gigabytes in CI."""
    write(tmp_path)
    params = write_params(tmp_path, gate=LIMITS)
    blocked = (
        "torch",
        "torchvision",
        "torchmetrics",
        "sklearn",
        "scipy",
        "matplotlib",
        "jaxtyping",
    )
    program = f"""
import sys
sys.modules |= dict.fromkeys({blocked})  # None: importing it raises ImportError
from unlearning import cli
cli.main()
"""
    arguments = ["gate", "--metrics", str(tmp_path), "--params", str(params)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("file", "key"), [("evaluate_forget", "train_accuracy"), ("audit", "worst_forget_accuracy")]
)
def test_a_class_or_training_image_that_is_still_known_breaks_the_limit(tmp_path, file, key):
    """Must fail if only the mean over test images is looked at."""
    write(tmp_path)
    write_metrics(tmp_path / f"{file}.json", METRICS[file] | {key: 1.0})
    assert outcomes(tmp_path)["forget_accuracy"] == "broken"


@pytest.mark.parametrize("verdict", [*Verdict, "failed: x", "forgotten and kept as by", "", 1, 0.0])
def test_what_failed_by_the_audit_never_passes_and_its_word_is_shown(tmp_path, verdict):
    """Must fail if the verdict is not read, can be switched off, a word of another version passes, or "told
    apart" is shown as a 0 alone.
    """
    write(tmp_path)
    write_metrics(tmp_path / "audit.json", METRICS["audit"] | {"verdict": verdict})
    off = dict.fromkeys(LIMITS)
    expected = "kept" if verdict in NOT_FAILED else "broken"
    assert outcomes(tmp_path, **off)["verdict"] == expected
    checks = check(read(tmp_path), GateParams(**LIMITS))
    (row,) = [line for line in table(checks).splitlines() if line.startswith("| verdict ")]
    assert f"; it is: {verdict}" in row
    assert f"; it is: {verdict}" in json.loads(as_json(checks))[-1]["meaning"]


def test_single_images_are_held_against_retraining_and_not_against_zero(tmp_path):
    """Must fail if a model must give images that it never saw another class than their own."""
    write(tmp_path)
    audit = METRICS["audit"] | {"request": "images", "worst_forget_accuracy": 0.5}
    del audit["few_shot_recall"]
    write_metrics(tmp_path / "audit.json", audit)
    for accuracy, outcome in ((0.52, "kept"), (0.5201, "broken")):
        forget = {
            "test_accuracy": 0.5,
            "train_accuracy": accuracy,
            "retrained": {"train_accuracy": 0.5},
        }
        write_metrics(tmp_path / "evaluate_forget.json", forget)
        found = outcomes(tmp_path)
        assert found.pop("forget_accuracy") == outcome
        assert "few_shot_excess" not in found and set(found.values()) == {"kept"}
