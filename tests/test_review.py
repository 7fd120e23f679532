"""A review of a branch says what changed, against what, and whether limits and lock hold."""

import json
import math
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fuzzing import HOSTILE_TEXT, LEAVES, TEXT, fuzzed
from hypothesis import given
from PIL import Image
from test_gate import METRICS
from tiny_project import ENVIRONMENT, ROOT, run
from typer.testing import CliRunner

from unlearning import cli
from unlearning.base.errors import UserError
from unlearning.base.files import write_metrics, write_rows
from unlearning.review import changes, gate, pictures, text
from unlearning.review.changes import Changes, Gate
from unlearning.settings.whole import load_params

DVC_YAML = """
stages:
  game:
    cmd: echo made by hand
    params:
    - lr
    metrics:
    - metrics/adversarial_train.json:
        cache: false
    - metrics/audit.json:
        cache: false
    - metrics/evaluate_forget.json:
        cache: false
    - metrics/evaluate_retain.json:
        cache: false
    plots:
    - plots/adversarial_train.csv:
        cache: false
    - plots/audit_figures.csv:
        cache: false
    - plots/destinations.csv:
        cache: false
"""
TABLE = [
    {
        "figure": "js_to_retrained", "decisive": "yes", "reading": "inside",
        "unlearned": 0.13, "original": 0.6, "retrained": 0.08,
    },
    {
        "figure": "few_shot_recall", "decisive": "yes", "reading": "inside",
        "unlearned": 0.45, "original": 0.9, "retrained": 0.3,
    },
    {
        "figure": "zrf", "decisive": "no", "reading": "outside",
        "unlearned": 0.9, "original": 0.7, "retrained": "no reference",
    },
]  # fmt: skip


def build_repository(folder: Path) -> Path:
    """Return a Git repository with a finished run on `main`, all of its figures exactly at their limits."""
    params = (ROOT / "params.yaml").read_text()
    (folder / "params.yaml").write_text(
        params.replace("  retain_loss: 0.02", "  retain_loss: 0.03")
    )
    (folder / "dvc.yaml").write_text(DVC_YAML)
    run(folder, "git", "init", "--quiet", "--initial-branch=main")
    run(folder, "dvc", "init", "--quiet")
    commit(folder, "a run")
    return folder


def commit(folder: Path, message: str, **figures: float | str) -> None:
    """Write the metrics, some figures of the audit and forget accuracies replaced, and commit the run."""
    metrics = json.loads(json.dumps(METRICS))
    for name, value in figures.items():
        owner = "evaluate_forget" if name in METRICS["evaluate_forget"] else "audit"
        metrics[owner][name] = value
    for name, values in metrics.items():
        write_metrics(folder / f"metrics/{name}.json", values)
    (folder / "plots").mkdir(exist_ok=True)
    write_rows(folder / "plots/audit_figures.csv", TABLE)
    shares = [("cat", 0.75, 1.0), ("elephant", 0.25, 0.0)]
    rows_of = [
        {"class": name, "unlearned": mine, "retrained": theirs} for name, mine, theirs in shares
    ]
    write_rows(folder / "plots/destinations.csv", rows_of)
    losses = figures.get("js_to_retrained", 0.13)
    (folder / "plots/adversarial_train.csv").write_text(f"epoch,loss\n1,{losses}\n2,0.1\n")
    run(folder, "dvc", "commit", "--force", "--quiet")
    run(folder, "git", "add", ".")
    run(folder, "git", "commit", "--quiet", "--message", message)


@pytest.fixture
def repository(tmp_path, monkeypatch, reviewed) -> Path:
    """Return `main` with a branch checked out."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(reviewed, tmp_path, dirs_exist_ok=True)
    run(tmp_path, "git", "switch", "--quiet", "--create", "slower")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_param(folder: Path, key: str, value: str) -> None:
    path = folder / "params.yaml"
    replaced, count = re.subn(
        rf"^( *{key}): .*$", rf"\1: {value}", path.read_text(), count=1, flags=re.MULTILINE
    )
    assert count == 1
    path.write_text(replaced)


def rows(markdown: str) -> dict[str, list[str]]:
    """Return the cells of every table row by its first cell."""
    lines = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line[:2] == "| "]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_a_branch_is_shown_against_where_it_left_the_base(repository):
    """Must fail if the base's tip is taken, or a changed parameter or figure is left out."""
    set_param(repository, "lr", "0.0005")
    commit(repository, "slower", js_to_retrained=0.1, verdict="not told apart")
    run(repository, "git", "switch", "--quiet", "main")
    commit(repository, "main goes on", js_to_retrained=0.2)
    run(repository, "git", "switch", "--quiet", "slower")

    found = changes.find(repository, "main")
    assert found.params == {"lr": (0.001, 0.0005)}
    assert found.metrics["metrics/audit.json"]["js_to_retrained"] == (0.13, 0.1)
    assert found.passed
    cells = rows(text.markdown(found))
    assert cells["`lr`"] == ["0.001", "0.0005"]
    assert cells["Divergence from retrained"] == ["0.13", "0.1", "-0.03", "0.6", "0.08"]
    assert cells["Few-shot recall"] == ["0.45", "0.45", "", "0.9", "0.3"]
    assert cells["`audit.json: js_to_retrained`"] == ["0.13", "0.1", "-0.03"]
    assert "`audit.json: js_floor`" not in cells
    assert "`not told apart` (base: `told apart`)" in text.markdown(found)


def test_decisive_figures_outside_are_named_beside_each_verdict():
    """Must fail if a key stands there, the other side's figures, one that decides nothing, or figures as the
    reason of a failure, which accuracy decides.
    """
    found = review_of("x", 0, 1)
    found.metrics["metrics/audit.json"]["verdict"] = ("not told apart", "told apart")
    before, after = found.figures
    before.clear()
    after.clear()
    for table, word in ((before, "inside"), (after, "outside")):
        table["auditor_auc.outputs"] = {"reading": word, "decisive": "yes"}
        table["zrf"] = {"reading": "outside", "decisive": "no"}
    assert (
        "- **Audit**: `told apart`, by Auditor's AUC (outputs) (base: `not told apart`)\n"
    ) in text.markdown(found)
    found.metrics["metrics/audit.json"]["verdict"] = ("told apart", "failed: others damaged")
    assert "- **Audit**: `failed: others damaged` (base: `told apart`)\n" in text.markdown(found)


def test_single_images_are_shown_in_their_own_words():
    """Must fail if a low accuracy is called the goal of theirs, which is that of retrained models.

    Or if the base's figures of original and retrained models stand beside the branch's.
    """
    found = review_of("x", 0, 1)
    found.metrics["metrics/audit.json"]["request"] = ("classes", "images")
    found.metrics["metrics/evaluate_forget.json"] = {
        "train_accuracy": (0.5, 0.75),
        "original.train_accuracy": (1.0, 0.9),
        "retrained.train_accuracy": (0.6, 0.7),
    }
    cells = rows(text.markdown(found))
    assert cells["accuracy on forget images"] == ["0.5", "0.75", "+0.25", "0.9", "0.7"]
    assert cells["accuracy on unseen images like them"] == ["–", "–", "", "–", "–"]
    assert not [name for name in cells if name.startswith("forget accuracy")]


def test_figures_that_no_audit_has_are_not_named(repository):
    """Must fail if a branch's own names come from its table into the text, or end it in a traceback."""
    odd = [
        TABLE[0] | {"figure": name, "reading": "outside"}
        for name in ("@team", "membership_auc.@team", "zrf")
    ]
    write_rows(repository / "plots/audit_figures.csv", odd)
    metrics = METRICS["audit"] | {"verdict": "contradicted"}
    write_metrics(repository / "metrics/audit.json", metrics)
    shown = text.markdown(changes.find(repository, "main"))
    assert "`contradicted`, by Zero-retrain score (ZRF)" in shown
    assert_harmless(shown)
    assert "@team" not in shown


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "lacks the column 'decisive'"),
        (b"\xff", "is no table"),
        (b"figure,reading\nx", "lacks the column 'decisive'"),
        (b'"', "lacks the column 'decisive'"),
        (None, "does not exist"),
    ],
)
def test_a_review_without_the_audits_table_says_why(repository, content, fault):
    """Must fail if a stranger's table ends in a traceback, or what it held vanishes without a word."""
    table = repository / "plots/audit_figures.csv"
    table.unlink() if content is None else table.write_bytes(content)
    shown = text.markdown(changes.find(repository, "main"))
    assert f"; its figures are not shown: `plots/audit_figures.csv {fault}" in shown
    assert rows(shown)["Few-shot recall"] == ["0.45", "0.45", "", "–", "–"]


@pytest.mark.parametrize("column", changes.COLUMNS)
def test_a_table_that_lacks_a_column_that_is_read_is_refused(column):
    """Must fail if one of them is not asked for: KeyError, or figures that vanish without a word."""
    header = ",".join(name for name in changes.COLUMNS if name != column)
    with pytest.raises(UserError, match=f"lacks the column '{column}'"):
        changes._table(lambda _: f"{header}\n".encode())


def test_a_row_that_ends_early_is_passed_over(repository):
    """Must fail if a row without a figure's name, or with one that nobody knows, ends in a traceback."""
    lines = ["decisive,reading,original,retrained,figure", "yes,outside,1,1", "yes,outside,1,1,x"]
    (repository / "plots/audit_figures.csv").write_text("\n".join(lines))
    found = changes.find(repository, "main")
    assert found.figures[1] == {}
    assert "**Audit**: `told apart`\n" in text.markdown(found)


def test_nothing_changed_is_said(repository):
    """Must fail if an unchanged branch shows changes, or does not pass."""
    found = changes.find(repository, "main")
    words = text.markdown(found)
    assert found.passed
    assert "None changed." in words
    assert "No figure changed." in words
    assert "in sync" in words
    assert "all kept" in words


def test_uncommitted_changes_count_and_are_named(repository):
    """Must fail if only commits are compared, or a reader takes them for what HEAD has."""
    assert "uncommitted" not in changes.find(repository, "main").head
    write_metrics(repository / "metrics/adversarial_train.json", {"cost_ratio": 0.4})
    found = changes.find(repository, "main")
    assert found.metrics["metrics/adversarial_train.json"]["cost_ratio"] == (0.5, 0.4)
    assert found.head.endswith("with uncommitted changes")


@pytest.mark.parametrize(
    "file", ["params.yaml", "metrics/audit.json", "plots/adversarial_train.csv"]
)
def test_a_lock_out_of_step_is_found_without_data(repository, file):
    """Must fail if edited parameters, metrics or series pass with the lock of another run."""
    path = repository / file
    edited = {
        "params.yaml": ("\nlr: 0.001\n", "\nlr: 0.0009\n"),
        "metrics/audit.json": ("0.13", "0.09"),
    }
    path.write_text(path.read_text().replace(*edited.get(file, ("0.13", "0.09"))))
    run(repository, "git", "commit", "--quiet", "--all", "--message", "by hand")
    found = changes.find(repository, "main")
    assert found.stages_to_run == ["game"]
    assert not found.passed
    assert "out of step: `game` would run again" in text.markdown(found)


def test_a_stage_whose_data_are_not_in_git_is_found_out_of_step(repository):
    """Must fail if the words of DVC, which looks for the data, stand in place of the stage's name."""
    run(repository, "git", "switch", "--quiet", "main")
    (repository / "code.py").write_text("1\n")
    (repository / "dvc.yaml").write_text(
        DVC_YAML
        + "  data:\n    cmd: echo x > data.bin\n    outs:\n    - data.bin\n"
        + "  judge:\n    cmd: echo y > out.bin\n    deps: [code.py, data.bin]\n    outs: [out.bin]\n"
    )
    run(repository, "dvc", "repro", "--quiet", "data", "judge")
    commit(repository, "with data")
    for name in ("data.bin", "out.bin"):
        (repository / name).unlink()
    assert changes.find(repository, "main").stages_to_run == []
    (repository / "code.py").write_text("2\n")
    run(repository, "git", "commit", "--quiet", "--all", "--message", "by hand")
    found = changes.find(repository, "main")
    assert found.stages_to_run == ["judge"]
    assert "out of step: `judge` would run again" in text.markdown(found)


@pytest.mark.parametrize("added", [False, True])
def test_a_new_module_is_found_before_it_is_committed(repository, added):
    """Must fail if files are taken from the commit alone; or a folder of photographs counts."""
    run(repository, "git", "switch", "--quiet", "main")
    (repository / "room").mkdir()
    (repository / "room/old.py").write_text("1\n")
    (repository / "dvc.yaml").write_text(DVC_YAML + "  judge:\n    cmd: echo y\n    deps: [room]\n")
    run(repository, "dvc", "repro", "--quiet", "judge")
    commit(repository, "with a room")
    (repository / "photographs").mkdir()
    (repository / "photographs/one.jpg").write_text("x")
    found = changes.find(repository, "main")
    assert found.stages_to_run == [] and "uncommitted" not in found.head
    (repository / "room/new.py").write_text("2\n")
    if added:
        run(repository, "git", "add", "room")
    found = changes.find(repository, "main")
    assert found.stages_to_run == ["judge"]
    assert found.head.endswith("with uncommitted changes")


def test_new_files_that_dvc_does_not_ask_for_are_not_read(repository, monkeypatch):
    """Must fail if a large file, or a private key, at the top or in a known folder, is read and copied.

    Or if one that lies where dvc.lock looks passes for nothing new.
    """
    present, read = changes.present, list[str]()
    monkeypatch.setattr(changes, "present", lambda *of: read.append(of[1]) or present(*of))
    names = ("own.mp4", "plots/key.pem")
    for name in names:
        with (repository / name).open("wb") as file:
            file.truncate(changes.MOST_BYTES + 1)
    assert changes.find(repository, "main").stages_to_run == []
    assert not set(names) & set(read)
    text = (repository / "dvc.lock").read_text()
    (repository / "dvc.lock").write_text(
        text.replace("path: plots/destinations.csv", "path: plots")
    )
    assert isinstance(changes.find(repository, "main").stages_to_run, UserError)


@pytest.mark.parametrize(
    "content", ["stages: 1\n", "stages: {game: {outs: [1]}}\n", "[]\n", "\xff\n"]
)
def test_a_lock_that_is_none_is_said_to_be_none(repository, content):
    """Must fail if whatever stands in its place ends in a traceback, or passes."""
    (repository / "dvc.lock").write_text(content, encoding="latin-1")
    found = changes.find(repository, "main")
    assert isinstance(found.stages_to_run, UserError) and not found.passed


def test_a_link_in_place_of_a_module_is_out_of_step(repository):
    """Must fail if a link is left out: DVC takes the module as missing, which is allowed."""
    run(repository, "git", "switch", "--quiet", "main")
    (repository / "code.py").write_text("1\n")
    (repository / "dvc.yaml").write_text(
        DVC_YAML + "  judge:\n    cmd: echo y\n    deps: [code.py]\n"
    )
    run(repository, "dvc", "repro", "--quiet", "judge")
    commit(repository, "with code")
    (repository / "other.py").write_text("2\n")
    (repository / "code.py").unlink()
    (repository / "code.py").symlink_to("other.py")
    run(repository, "git", "add", ".")
    run(repository, "git", "commit", "--quiet", "--message", "a link")
    assert changes.find(repository, "main").stages_to_run == ["judge"]


def test_a_broken_limit_fails_and_an_old_breach_is_told_from_a_new_one(repository):
    """Must fail if a limit broken on the base too is blamed on the branch, or passes."""
    run(repository, "git", "switch", "--quiet", "main")
    commit(repository, "broken before", js_to_retrained=0.2)
    run(repository, "git", "switch", "--quiet", "--create", "worse")
    commit(repository, "broken here", js_to_retrained=0.2, test_accuracy=0.3)
    found = changes.find(repository, "main")
    assert not found.passed
    words = text.markdown(found)
    assert "**broken by this branch: forget_accuracy**; broken, as on the base: js_excess" in words


def test_limits_are_held_where_nothing_is_asked_for_yet(repository):
    """Must fail if after `unlearning next`, which leaves the request to a person, no limit can be read."""
    asked = (repository / "params.yaml").read_text()
    asked = asked.replace("  classes:\n  - elephant\n", "  classes: []\n")
    (repository / "params.yaml").write_text(asked)
    with pytest.raises(UserError, match="asks for nothing"):
        load_params(repository / "params.yaml")
    found = changes.find(repository, "main").gate
    assert isinstance(found, Gate) and not gate.broken(found.checks)


def test_a_limit_loosened_by_the_branch_is_named(repository):
    """Must fail if a branch can pass by its own limits unseen; or one loosened in vain is named."""
    set_param(repository, "js_excess", "0.2")
    commit(repository, "looser")
    assert "kept only" not in text.markdown(changes.find(repository, "main"))
    commit(repository, "and worse", js_to_retrained=0.2)
    found = changes.find(repository, "main")
    assert found.passed
    assert "**kept only by limits this branch changed: js_excess**" in text.markdown(found)
    assert rows(text.markdown(found))["`gate.js_excess`"] == ["0.05", "0.2"]


def test_a_branch_that_cannot_be_checked_is_reviewed_and_does_not_pass(repository):
    """Must fail if a missing file ends the review, or lets it pass."""
    (repository / "metrics/audit.json").unlink()
    found = changes.find(repository, "main")
    assert not found.passed
    words = text.markdown(found)
    assert "metrics/audit.json does not exist" in words
    assert rows(words)["Divergence from retrained"][:2] == ["0.13", "–"]


def test_a_merge_conflict_in_the_figures_is_named(repository):
    """Must fail if its own lines are passed over, and of both sides the last one is shown."""
    path = repository / "plots/audit_figures.csv"
    header, first, *others = path.read_text().splitlines()
    sides = ["<<<<<<< HEAD", first, "=======", first.replace("0.13", "0.1"), ">>>>>>> other"]
    path.write_text("\n".join([header, *sides, *others]))
    _, figures = changes.find(repository, "main").figures
    assert str(figures).startswith("plots/audit_figures.csv:2: a merge conflict is left here")


def test_a_first_run_has_no_figures_to_compare_with(tmp_path, repository):
    """Must fail if a base without metrics ends the review."""
    run(repository, "git", "switch", "--quiet", "--orphan", "fresh")
    (repository / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (repository / "dvc.yaml").write_text(DVC_YAML)
    run(repository, "git", "add", ".")
    run(repository, "git", "commit", "--quiet", "--message", "no run yet")
    commit(repository, "the first run")
    found = changes.find(repository, "HEAD~1")
    assert found.metrics["metrics/audit.json"]["js_floor"] == (None, 0.08)
    assert "broken by this branch: retain_loss" in text.markdown(found)
    assert len(pictures.draw(repository, found, tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("base", "fault"),
    [
        ("nothere", "no such branch"),
        ("-x", "no such branch"),
        ("--exec=x", "no such branch"),
        ("apart", "no commit in common"),
        ("main:params.yaml", "no such branch"),
        ("", "no such branch"),
    ],
)
def test_a_wrong_base_is_refused_in_one_line(repository, base, fault):
    """Must fail if git's own words, or an option in place of a branch, get through."""
    run(repository, "git", "branch", "kept")
    run(repository, "git", "switch", "--quiet", "--orphan", "apart")
    run(repository, "git", "commit", "--quiet", "--allow-empty", "--message", "apart")
    run(repository, "git", "switch", "--quiet", "kept")
    with pytest.raises(UserError, match=fault):
        changes.find(repository, base)


def test_a_folder_below_the_project_is_not_reviewed(repository, monkeypatch):
    """Must fail if a review of nothing is written into a subfolder, and ends like one of broken limits."""
    monkeypatch.chdir(repository / "metrics")
    with pytest.raises(UserError, match=r"dvc\.yaml does not exist, here or on the base"):
        changes.find(Path(), "main")


def test_a_branch_that_deletes_the_graph_is_reviewed(repository):
    """Must fail if it is taken for a wrong folder, of which no text is written."""
    (repository / "dvc.yaml").unlink()
    assert not changes.find(repository, "main").passed


def review_of(name: str, old: Any, new: Any) -> Changes:
    """Return changes in which a branch's own words stand wherever they can."""
    return Changes(
        base="1",
        head="2",
        params={name: (old, new)},
        metrics={"metrics/audit.json": {f"per_class.{name}": (0, new), "verdict": (old, new)}},
        figures=(
            {name: {}},
            {name: {"reading": "outside", "decisive": "yes", "original": str(new)}},
        ),
        stages_to_run=[name],
        gate=Gate([gate.Check("js_excess", "meaning", str(new), 0.1)], set(), []),
    )


def assert_harmless(shown: str) -> None:
    """Fail if the text holds anything outside of code that Markdown or HTML would act on."""
    outside = re.sub(r"^```\n.*?\n```$", "", shown, flags=re.DOTALL | re.MULTILINE)
    assert "```" not in outside
    outside = re.sub(r"`[^`\n]*`", "", outside)
    assert not re.search(r"@|\]\(|://|\x1b", outside)
    assert re.findall(r"<.*?>", outside) == ["<details>", "<summary>", "</summary>", "</details>"]
    assert re.findall(r"^#.*", outside, flags=re.MULTILINE) == [
        "## Unlearning review", "### Parameters", "### Figures", "### Limits"
    ]  # fmt: skip
    for line in shown.splitlines():
        if line.startswith("| `audit.json"):
            assert len(re.split(r"(?<!\\)\|", line)) == 6


def test_words_of_a_branch_cannot_act_in_a_comment():
    """Must fail if a class name can end a table, mention a person, or open a tag."""
    words = "@team <b>\n# heading\n```\n| [x](http://y) \x1b"
    assert_harmless(text.markdown(review_of("a|b`@team`<img src=x>\n| c", "@team", words)))


@fuzzed
@given(name=TEXT | HOSTILE_TEXT, old=LEAVES, new=LEAVES.filter(bool))
def test_no_words_of_a_branch_act_in_a_comment(name, old, new):
    """Must fail if a kind of value, or a character, is shown as it is; or ends in a traceback."""
    with suppress(OverflowError):  # no such integer comes through `parse_json`
        float(new) if isinstance(new, int) else None
        float(old) if isinstance(old, int) else None
        assert_harmless(text.markdown(review_of(name, old, new)))


def test_a_comment_has_room_for_many_classes():
    """Must fail if a review of a thousand classes is longer than GitHub takes."""
    figures = {f"per_class.{'long' * 20}{n}": (0.1234, 0.4321) for n in range(2000)}
    found = Changes(
        "1", "2", {}, {"metrics/evaluate_retain.json": figures}, ({}, {}), [], Gate([], set(), [])
    )
    shown = text.markdown(found)
    assert 40_000 < len(shown) < 65_536
    (more,) = re.findall(r"and (\d+) more", shown)
    assert shown.count("per_class") + int(more) == 2000


def test_long_words_of_a_branch_are_cut():
    """Must fail if a reason is longer than GitHub takes, or "and 0 more" is said."""
    reason = UserError("long " * 20_000)
    metrics = {"metrics/audit.json": {"verdict": ("before" * 20_000, "after" * 20_000)}}
    shown = text.markdown(Changes("1", "2", {}, metrics, ({}, reason), reason, reason))
    assert len(shown) < 10_000 and "more: `" not in shown


def test_a_thousand_parameters_that_changed_leave_room_for_the_figures():
    """Must fail if a branch that names a thousand classes makes the text longer than GitHub takes."""
    params = {f"data.classes[{n}]": (None, "long" * 20) for n in range(1000)}
    figures = {f"per_class.{'long' * 20}{n}": (0.1234, 0.4321) for n in range(2000)}
    found = Changes(
        "1", "2", params, {"metrics/audit.json": figures}, ({}, {}), [], Gate([], set(), [])
    )
    shown = text.markdown(found)
    assert len(shown) < 65_536
    (more,) = re.findall(r"and (\d+) more: `dvc params diff`", shown)
    assert shown.count("data.classes[") + int(more) == 1000


def test_pictures_show_both_sides(repository, monkeypatch):
    """Must fail if the base's figures or its series are not drawn."""
    commit(repository, "other figures", js_to_retrained=0.1)
    seen = {}
    bars, panels = pictures.figures.bars, pictures.figures.panels
    monkeypatch.setattr(
        pictures.figures,
        "bars",
        lambda *given: seen.update(destinations=given) or bars(*given),
    )
    monkeypatch.setattr(
        pictures.figures,
        "panels",
        lambda lines, xlabel: seen.update(curves=lines) or panels(lines, xlabel),
    )
    pictures.draw(repository, changes.find(repository, "main"), repository)
    _, series, shown = seen["destinations"]
    assert series == {
        "base": {"cat": 0.75, "elephant": 0.25},
        "branch": {"cat": 0.75, "elephant": 0.25},
        "retrained": {"cat": 1.0, "elephant": 0.0},
    }
    assert shown == ["cat", "elephant"]
    assert seen["curves"] == {
        "loss": {"base": ([1, 2], [0.13, 0.1]), "branch": ([1, 2], [0.1, 0.1])}
    }


def test_damaged_classes_are_drawn_and_what_was_not_measured_is_not(repository, monkeypatch):
    """Must fail if the best of a hundred classes are drawn, or no figure stands for 0."""
    accuracies = {f"c{n}": str(n / 100) for n in range(100)} | {"c5": "not measured"}
    lines = ["class,unlearned", *(f"{name},{value}" for name, value in accuracies.items())]
    (repository / "plots/per_class.csv").write_text("\n".join(lines))
    seen = {}
    dots = pictures.figures.dots
    monkeypatch.setattr(
        pictures.figures, "dots", lambda *given: seen.update(given=given) or dots(*given)
    )
    pictures.draw(repository, changes.find(repository, "main"), repository)
    _, series, shown = seen["given"]
    assert shown == [f"c{n}" for n in range(31) if n != 5]
    assert math.isnan(series["branch"]["c5"])


def test_a_table_with_more_cells_than_columns_is_not_drawn(repository):
    """Must fail if the first cell becomes an index, and the original's figure is shown as the branch's."""
    rows = ["class,original,unlearned,retrained", *(f"{name},1,0.5,0.25,0" for name in "ab")]
    (repository / "plots/per_class.csv").write_text("\n".join(rows))
    drawn = pictures.draw(repository, changes.find(repository, "main"), repository)
    assert [path.stem for path in drawn] == ["destinations", "curves"]


@pytest.mark.parametrize(
    "content",
    [
        "class,unlearned\n,inf\ncat,1e400\n",
        "class,unlearned\ncat,0.5\ncat,nan\n",
        "class,unlearned,retrained\nNA,x,y\n",
        "class,unlearned\n" + "".join(f"c{n},0.1\n" for n in range(500)),
    ],
)
def test_odd_tables_of_a_branch_are_drawn_or_left_out(repository, tmp_path, content):
    """Must fail if a number that is none, or a name that is empty, ends a review in a traceback."""
    for name in ("destinations", "per_class"):
        (repository / f"plots/{name}.csv").write_text(content)
    columns = ",".join(f"q{n}" for n in range(300))
    row = ",".join(["inf", "1e300", *["0.1"] * 298])
    (repository / "plots/adversarial_train.csv").write_text(f"epoch,{columns}\n1,{row}\n2,{row}\n")
    for path in pictures.draw(repository, changes.find(repository, "main"), tmp_path / "out"):
        with Image.open(path) as picture:
            assert picture.width * picture.height < 20_000_000


def test_a_review_is_not_written_behind_a_link(repository, tmp_path):
    """Must fail if a branch may have its text put where a link of its own leads."""
    (tmp_path / "elsewhere").mkdir()
    (repository / "review").symlink_to(tmp_path / "elsewhere")
    done = CliRunner().invoke(cli.app, ["review", "--base", "main"])
    assert isinstance(done.exception, UserError) and "is a link" in str(done.exception)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_command_writes_text_and_pictures_even_where_it_fails(repository):
    """Must fail if a broken limit leaves no review, or ends with another exit code than 1."""
    commit(repository, "worse", js_to_retrained=0.3)
    done = CliRunner().invoke(cli.app, ["review", "--base", "main", "--out", "out"])
    assert done.exit_code == 1
    written = Path("out/review.md").read_text()
    assert written.strip() == done.stdout.strip()
    assert "broken by this branch: js_excess" in written
    for name in ("curves", "destinations"):
        with Image.open(f"out/{name}.png") as picture:
            assert picture.width > 400


def test_a_review_needs_no_pytorch():
    """Must fail if a module of the review imports it: it takes seconds and gigabytes."""
    modules = "unlearning.review.changes, unlearning.review.text, unlearning.review.pictures"
    run(ROOT, "python", "-c", f"import sys, {modules}; sys.exit('torch' in sys.modules)")


def test_keys_that_read_alike_are_all_shown_and_soon():
    """Must fail if one stands for another, or thousands take the cube of their number."""

    def cut(rest: int) -> dict[str, Any]:
        """Return every way to cut a key of so many dotted parts into nested ones."""
        if rest == 0:
            return {"end": 1}
        return {".".join("a" * taken): cut(rest - taken) for taken in range(1, rest + 1)}

    began = time.process_time()
    alike = changes._differences(cut(11), {})
    assert time.process_time() - began < 10
    name = ".".join(["a"] * 11 + ["end"])
    others = {f"{name} (another key, {number})" for number in range(1, 2**10)}
    assert alike == dict.fromkeys({name, *others}, (1, None))
    taken = changes._differences({"a.b": 1, "a": {"b": 2}, "a.b (another key, 1)": 3}, {})
    assert sorted(value for value, _ in taken.values()) == [1, 2, 3]
