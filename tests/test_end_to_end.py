"""The whole pipeline on tiny drawings, through DVC in a Git clone, as a person uses it."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from test_words import assert_words_alone
from tiny_project import run, stages_run

from unlearning.base.errors import UserError
from unlearning.certificate import workspace
from unlearning.review import changes


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, finished_clone: Path) -> Path:
    """Return a copy of the finished run that the tests here change, one after the other."""
    folder = tmp_path_factory.mktemp("end_to_end") / "clone"
    return shutil.copytree(finished_clone, folder, symlinks=True)


def metrics(clone: Path, name: str) -> dict:
    return json.loads((clone / "metrics" / f"{name}.json").read_text())


def test_repro_leaves_every_metric_of_the_contract(clone):
    """Must fail if a key that reviews and gates read is renamed or missing."""
    forget, retain = metrics(clone, "evaluate_forget"), metrics(clone, "evaluate_retain")
    assert {
        "train_accuracy", "test_accuracy", "misclassification_rate", "confidence_mean", "images",
        "discriminator_score", "generator_score", "original", "retrained", "assessment",
    } <= set(forget)  # fmt: skip
    assert set(forget["discriminator_score"]) == {"mean", "std", "below_0.3", "below_0.5"}
    assert set(forget["generator_score"]) == {"mean", "std", "below_0.3", "below_0.5"}
    assert {"train_accuracy", "test_accuracy", "original", "retrained"} <= set(retain)
    assert set(retain["retrained"]) == {"test_accuracy", "test_accuracy_spread"}
    assert {"image_passes", "cost_ratio"} <= set(metrics(clone, "adversarial_train"))
    audit = metrics(clone, "audit")
    assert {
        "js_to_retrained", "js_floor", "destination_tv", "destination_tv_floor", "membership_auc",
        "knn_recall", "returned_accuracy", "verdict", "original", "retrained",
    } <= set(audit)  # fmt: skip
    assert {"membership_auc", "knn_recall"} <= set(audit["retrained"])
    assert audit["knn_recall"] == "not measured: needs 10 images"


def test_no_sentence_stands_among_the_metrics(clone):
    """Must fail if a stage writes a text that is not on the list of words: `dvc metrics diff` would show it."""
    assert_words_alone(clone)


def test_a_second_repro_does_nothing_and_leaves_git_clean(clone):
    """Must fail if a stage writes what it depends on, or an output is missing from .gitignore."""
    assert stages_run(run(clone, "dvc", "repro")) == {"check_request"}
    assert run(clone, "git", "status", "--porcelain") == ""


def test_no_output_is_an_empty_folder(clone):
    """Must fail if DVC warns of one in every run: a newcomer would look for what went wrong."""
    stages = yaml.safe_load((clone / "dvc.yaml").read_text())["stages"]
    outs = [
        out for stage in stages.values() for out in stage.get("outs", []) if isinstance(out, str)
    ]
    folders = [clone / out for out in outs if (clone / out).is_dir()]
    assert clone / "models/controls" in folders
    assert [folder for folder in folders if not any(folder.iterdir())] == []


def test_a_finished_run_is_called_up_to_date(clone):
    """Must fail if the stage that always runs is told as a change, or hides one of its own code."""
    assert json.loads(run(clone, "dvc", "status", "--json")) == {
        "check_request": ["always changed"]
    }
    assert stages_run(run(clone, "dvc", "repro", "--dry")) == {"check_request"}
    assert changes._stages_to_run(clone) == []
    workspace.require_in_step(clone)
    code = clone / "stages/check_request.py"
    before = code.read_bytes()
    code.write_bytes(before + b"# edited\n")
    try:
        assert changes._stages_to_run(clone) == ["check_request"]
        with pytest.raises(UserError, match="check_request: run `dvc repro`"):
            workspace.require_in_step(clone)
    finally:
        code.write_bytes(before)


def test_the_summary_shows_all_three_versions(clone):
    """Must fail if the table of `make repro` loses a column or a row."""
    shown = run(clone, "unlearning", "summary")
    assert re.search(r"original +unlearned +retrained", shown)
    assert re.search(r"forget classes.* \d\.\d{3} ", shown)
    assert re.search(r"retain classes.* \d\.\d{3} ", shown)


def test_predict_reads_the_models_that_the_pipeline_wrote(clone):
    """Must fail if the file format of the stages and of the command differ."""
    picture = "data/animals/elephant/elephant_0000.jpg"
    answers = json.loads(
        run(clone, "unlearning", "predict", picture, "--model", "original", "--json")
    )
    assert answers[0]["path"] == picture
    assert len(answers[0]["top"]) == 3


def test_every_plot_is_drawn_once(clone):
    """Must fail if a plot names a column that no longer exists, or a series is declared twice."""
    shown = run(clone, "dvc", "plots", "show", "--json")
    plots = json.loads(shown[shown.index("{") :])
    assert not plots.get("errors"), plots.get("errors")
    names = set(plots["data"])
    assert {
        "plots/destinations.png",
        "plots/forget_confusion.csv",
        "Losses of both players",
    } <= names


def test_a_bad_value_is_refused_before_any_output_is_touched(clone):
    """Must fail if check_request no longer stands before everything else."""
    params = (clone / "params.yaml").read_text()
    before = {path: path.read_bytes() for path in (clone / "models").rglob("*.safetensors")}
    shown = run(clone, "dvc", "exp", "run", "-S", "epochs=0", fails=True)
    # Written, not checked out: DVC's index holds the file's new time with its old content, and Git trusts it.
    (clone / "params.yaml").write_text(params)
    assert "params.yaml: epochs is 0" in shown
    assert "Traceback" not in shown
    assert {path: path.read_bytes() for path in (clone / "models").rglob("*.safetensors")} == before
    run(clone, "dvc", "repro")
    assert run(clone, "git", "status", "--porcelain") == ""


def test_an_experiment_reruns_only_what_depends_on_its_parameter(clone):
    """Must fail if lr is declared by a stage that does not need it, or -S rewrites params.yaml."""
    shown = run(clone, "dvc", "exp", "run", "-S", "lr=1e-5")
    assert stages_run(shown) == {
        "check_request", "adversarial_train", "observe", "evaluate_retain", "evaluate_forget",
        "audit", "report",
    }  # fmt: skip
    # Original, control and retrained models are the same: only the unlearned one is run again.
    assert re.findall(r"^observe: (.*)$", shown, re.MULTILINE) == ["unlearned"]
    changed = run(clone, "git", "diff", "--unified=0", "params.yaml")
    lines = [line for line in changed.splitlines() if re.match(r"[+-](?![+-])", line)]
    assert [line[0] for line in lines] == ["-", "+"], lines
    assert re.fullmatch(r"\+lr: 1e-05", lines[1])
    assert "evaluate_forget.json" in run(clone, "dvc", "metrics", "diff", "--all")
    assert "lr" in run(clone, "dvc", "params", "diff")
    run(clone, "dvc", "plots", "diff", "--json")
