"""The console command: tables and JSON on stdout, a person's mistake as one line and exit code 2."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from test_audit_result import views_of
from test_limits import runs_of
from test_predict import save_pictures
from tiny_project import ROOT

from unlearning import cli, predict
from unlearning.audit import calibration
from unlearning.base import cores
from unlearning.base.files import write_metrics, write_rows
from unlearning.observe import record

pytestmark = pytest.mark.usefixtures("restored_torch")


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the command: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(cores, "available", lambda: 1)
        monkeypatch.setattr("sys.argv", ["unlearning", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    return run


def refused(result: tuple[int, str, str]) -> str:
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_predict_shows_class_and_top_3_and_goes_past_broken_files(
    run, tmp_path, data, model_folder
):
    """Must fail if a folder is not taken, or one broken file hides the answers on the others."""
    save_pictures(data, data.select(subset="test").tolist(), tmp_path / "pictures")
    (tmp_path / "pictures" / "broken.jpg").write_text("no image")
    code, out, _ = run(
        "predict", tmp_path / "pictures", "--model", "original", "--models", model_folder
    )
    assert code == 0
    lines = out.splitlines()
    assert re.split("  +", lines[0]) == [
        "image", "predicted", "confidence", "top 3", "score", "if it is to be forgotten"
    ]  # fmt: skip
    assert [line.split()[1] for line in lines[1:5]] == list(data.classes)
    for line, name in zip(lines[1:5], data.classes, strict=True):
        assert line.count(", ") == 2
        assert f" {name} 0." in line or f" {name} 1." in line
    assert "no image in a known format" in lines[5]


def test_predict_gives_json_with_every_field(run, tmp_path, data, model_folder):
    """Must fail if anything but JSON is printed, or a field of A15 or A18 is missing."""
    (picture,) = save_pictures(data, [0], tmp_path)
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    code, out, _ = run(
        "predict", broken, picture, "--model", "original", "--json", "--models", model_folder
    )
    assert code == 0
    bad, good = json.loads(out)
    assert bad.keys() == {"path", "reason"}
    assert good.keys() == {
        "path", "predicted", "confidence", "confidence_reading", "top", "discriminator_score",
        "generator_score", "reading_if_forgotten",
    }  # fmt: skip
    assert good["path"] == str(picture)
    assert good["predicted"] == "cat"
    assert len(good["top"]) == 3
    assert 0 <= good["discriminator_score"] <= 1


@pytest.mark.parametrize(
    ("options", "asked"), [((), "unlearned"), (("--model", "retrained/1"), "retrained/1")]
)
def test_predict_asks_the_unlearned_model_unless_told_otherwise(run, monkeypatch, options, asked):
    """Must fail if the default model changes, or the choice is not handed on."""
    calls = []
    monkeypatch.setattr(predict, "predict", lambda *arguments: calls.append(arguments) or [])
    run("predict", "a.png", "b", *options)
    ((pictures, model, folder, _),) = calls
    assert model == asked
    assert pictures == [Path("a.png"), Path("b")]
    assert folder == Path("models")


def test_an_unknown_model_is_refused_with_those_there_are(run, tmp_path, data, model_folder):
    """Must fail if the exit code is 1, or a traceback is shown."""
    (picture,) = save_pictures(data, [0], tmp_path)
    said = refused(run("predict", picture, "--model", "best", "--models", model_folder))
    assert "'best'" in said
    assert "original, retrained/2, retrained/10, unlearned" in said


def test_a_missing_picture_is_refused(run, tmp_path, model_folder):
    """Must fail if a path that does not exist is shown as a bad image."""
    said = refused(run("predict", tmp_path / "none.png", "--models", model_folder))
    assert "none.png does not exist" in said


def test_only_broken_files_end_in_exit_code_2(run, tmp_path, model_folder):
    """Must fail if a script takes a run without any answer for a success."""
    (tmp_path / "broken.jpg").write_text("no image")
    code, out, err = run("predict", tmp_path / "broken.jpg", "--models", model_folder)
    assert code == 2
    assert "no image in a known format" in out
    assert err == "error: none of the files is an image that can be read\n"


def write_run(folder, retrained: object, warnings: str = "none") -> None:
    """Write the metrics files and tables that the summary reads."""
    forget = {
        "images": 40,
        "test_accuracy": 0.0,
        "original": {"test_accuracy": 0.975},
        "confidence_mean": 0.345,
        "discriminator_score": {"mean": 0.074},
        "assessment": "forgotten and kept",
        "article_assessment": "excellent",
    }
    retain = {
        "images": 360,
        "chance": 0.1111,
        "kept_against": retrained["test_accuracy"] if isinstance(retrained, dict) else 0.951,
        "test_accuracy": 0.9312,
        "original": {"test_accuracy": 0.951},
    }
    game = {
        "image_passes": 768,
        "cost_ratio": 0.0912,
        "cost_assessment": "cheaper than retraining",
        "warnings": warnings,
        "final": {"discriminator_accuracy": 0.99, "effective_classes": 1.04},
    }
    readings = {"js_to_retrained": "inside", "auditor_auc.outputs": "outside", "zrf": "outside"}
    audit = {
        "request": "classes",
        "verdict": "told apart",
        "worst_forget_accuracy": 0.0,
        "retrained": retrained,
        "error_rates": {
            "false_alarms": 0.04,
            "false_alarms_of": 24,
            "caught": 0.95,
            "caught_of": 6,
        },
    }
    for name, values in (
        ("evaluate_forget", forget | {"retrained": retrained}),
        ("evaluate_retain", retain | {"retrained": retrained}),
        ("adversarial_train", game),
        ("audit", audit),
    ):
        write_metrics(folder / f"metrics/{name}.json", values)
    write_rows(
        folder / "plots/audit_figures.csv",
        [
            {"figure": name, "reading": word, "decisive": "no" if name == "zrf" else "yes"}
            for name, word in readings.items()
        ],
    )
    shares = (("cat", 0.25), ("horse", 0.75))
    rows = [{"class": name, "unlearned": share} for name, share in shares]
    write_rows(folder / "plots/destinations.csv", rows)


def test_the_summary_shows_before_after_and_retrained(run, tmp_path):
    """Must fail if two columns or two rows are swapped."""
    write_run(tmp_path, {"test_accuracy": 0.012, "models": 1, "test_accuracy_spread": 0.0})
    code, out, _ = run("summary", "--root", tmp_path)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["original", "unlearned", "retrained"]
    assert lines[1].startswith("forget classes, test accuracy (low is the goal)")
    assert lines[1].split()[-5:] == ["0.975", "0.000", "0.012", "(spread", "0.000)"]
    assert lines[2].startswith("retain classes, test accuracy (high is the goal)")
    assert lines[2].split()[-5:] == ["0.951", "0.931", "0.012", "(spread", "0.000)"]
    assert lines[3] == "cost: 9.1% of the arithmetic of one retraining, 768 image passes"
    assert lines[4:] == [
        "assessment: forgotten and kept: forget accuracy 0.000, retain accuracy 0.931 (original 0.951, "
        "retrained 0.012)",
        "verdict of the audit: forgotten and kept by the output, but told apart from retraining: 1 of 2 "
        "decisive figures lie further from 1 retrained models than one more would: Auditor's AUC (outputs) "
        "(in trials on other data the audit told apart 4% of 24 retrained models and 95% of 6 originals "
        "and edited heads)",
        "the article's reading: excellent: score 0.074, mostly seen as horse, confidence 0.345 (low)",
    ]


def test_the_spread_of_several_retrained_models_stands_apart(run, tmp_path):
    """Must fail if the spread is left out, or runs into the column before it."""
    write_run(tmp_path, {"test_accuracy": 0.012, "models": 2, "test_accuracy_spread": 0.004})
    line = run("summary", "--root", tmp_path)[1].splitlines()[1]
    assert line.split()[-5:] == ["0.975", "0.000", "0.012", "(spread", "0.004)"]


def test_the_summary_of_a_run_without_retraining_says_so(run, tmp_path):
    """Must fail if a missing reference is shown as a number, or a warning is kept back."""
    write_run(tmp_path, "no reference", warnings="generator collapsed")
    _, out, _ = run("summary", "--root", tmp_path)
    assert [line.endswith("no reference") for line in out.splitlines()[1:3]] == [True, True]
    assert out.splitlines()[-1] == (
        "warning: the generator collapsed: it predicts 1.0 classes for retain images"
    )


@pytest.mark.parametrize(
    "options", [["--erase"], ["--key", "no.pem"], ["--remote", "far"], ["--out", "c.json"]]
)
def test_options_of_writing_a_certificate_do_not_go_with_verify(run, options):
    """Must fail if one is ignored: a person would think that something was erased, or checked by that key."""
    line = refused(run("certificate", *options, "verify", "certificate.json"))
    assert "none goes with verify" in line


def test_below_the_project_a_mistake_says_where_the_project_is(run, tmp_path, monkeypatch):
    """Must fail if `dvc repro` alone is advised, though all is there; or the root is told of itself."""
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    assert "try from" not in refused(run("summary"))
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    assert refused(run("summary")).endswith(f"try from {tmp_path})\n")
    monkeypatch.chdir(tmp_path)
    assert "try from" not in refused(run("summary"))


def test_a_summary_before_any_run_is_refused(run, tmp_path):
    """Must fail if FileNotFoundError escapes."""
    said = refused(run("summary", "--root", tmp_path))
    assert "evaluate_forget.json does not exist: run `dvc repro` first" in said


def write_observed(folder: Path, references: int, images: int, *, single: bool = False) -> None:
    views = views_of(references, train=images, test=images)
    record.save_sample(replace(views.sample, forget_labels=()) if single else views.sample, folder)
    models = views.models.subjects | {
        f"retrained/{seed}": view for seed, view in views.models.references.items()
    }
    for name, view in models.items():
        record.save_observation(view, folder / f"{name}.safetensors", "hand")
    record.save_shared(views.shared, folder / "shared.safetensors")


def test_calibrate_writes_what_the_audit_goes_by(run, tmp_path, monkeypatch):
    """Must fail if a run is left out, or what is written is not what its figures give."""
    figures = runs_of(sets=3, models=8, random=np.random.default_rng(4), shift=0.5)
    waiting = iter(figures)
    monkeypatch.setattr("unlearning.audit.result.figures", lambda observed: next(waiting))
    for number in (1, 2, 3):
        write_observed(tmp_path / f"{number}/data/observed", references=8, images=5)
    file = tmp_path / "calibration.json"
    code, out, _ = run("calibrate", *(tmp_path / str(n) for n in (1, 2, 3)), "--out", file)
    assert code == 0 and out.rstrip().endswith(file.read_text().rstrip())
    assert next(waiting, None) is None
    assert file.read_text() == calibration.as_json(
        calibration.fit(figures), calibration.error_rates(figures)
    )
    assert json.loads(file.read_text())["classes"]["caught"]["4"] == 1


def test_calibrate_takes_several_runs_with_eight_retrained_models_each(run, tmp_path, monkeypatch):
    """Must fail if a rate is made up from one run, or from too few models, or ends in a traceback."""
    monkeypatch.setattr("unlearning.audit.estimates.RESAMPLES", 20)
    write_observed(tmp_path / "data/observed", references=3, images=20)
    assert "takes three runs" in refused(run("calibrate", tmp_path))
    again = refused(run("calibrate", tmp_path, tmp_path, tmp_path, "--out", tmp_path / "x.json"))
    assert "3 retrained models, but it takes 8" in again
    assert "run `dvc repro`" in refused(run("calibrate", tmp_path / "none", tmp_path / "none"))


def test_runs_of_two_kinds_are_not_calibrated_together(run, tmp_path, monkeypatch):
    """Must fail if that is said after the minutes that the figures take."""

    def slow(observed: object) -> NoReturn:
        raise AssertionError("figures were computed")

    monkeypatch.setattr("unlearning.audit.result.figures", slow)
    for number in (1, 2, 3):
        write_observed(tmp_path / f"{number}/data/observed", 8, 5, single=number == 3)
    assert "runs of one kind" in refused(run("calibrate", *(tmp_path / str(n) for n in (1, 2, 3))))


def test_ctrl_c_while_the_command_is_loaded_is_one_line(tmp_path):
    """Must fail if it ends in a traceback through libraries, or the installed program loads another module."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-m", "unlearning", "summary"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"unlearning": "unlearning.__main__:main"}
