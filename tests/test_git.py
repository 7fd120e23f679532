"""What Git keeps is read whole: every file that there was, also in a project in a subfolder."""

import json
import os
from pathlib import Path

import pytest
from tiny_project import ROOT, run

from unlearning.base.errors import UserError
from unlearning.review.git import blobs, committed, contents, dvc, ever, git, tracked


@pytest.fixture
def subfolder(tmp_path) -> Path:
    """Return a folder of a Git repository that holds another one beside it."""
    for name in ("project/a.txt", "other/a.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    run(tmp_path, "git", "init", "--quiet", "--initial-branch=main")
    commit(tmp_path, "first")
    return tmp_path / "project"


def commit(root: Path, message: str) -> None:
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", f"--message={message}")


def test_a_project_in_a_subfolder_is_read_by_its_own_names(subfolder):
    """Must fail if names count from Git's top, or files beside the project are its own."""
    assert committed(subfolder, "HEAD", "a.txt") == b"project/a.txt"
    assert list(tracked(subfolder, "HEAD")) == ["a.txt"]
    assert list(tracked(subfolder, "HEAD", "a.txt")) == ["a.txt"]


def test_every_file_there_was_has_each_of_its_names(subfolder):
    """Must fail if a file that moved is known by its last name alone, or what only a merge has is left out."""
    file = subfolder / "a.txt"
    run(subfolder, "git", "switch", "--quiet", "--create", "side")
    file.write_text("side")
    commit(subfolder, "side")
    run(subfolder, "git", "switch", "--quiet", "main")
    file.write_text("main")
    commit(subfolder, "main")
    run(subfolder, "git", "merge", "--quiet", "side", fails=True)
    file.write_text("merged")
    commit(subfolder, "merged")
    file.rename(subfolder / "ö :b.txt")
    file.write_text("last")
    commit(subfolder, "moved")
    run(subfolder, "git", "reset", "--quiet", "--hard", "HEAD~2")
    found = ever(subfolder)
    texts = dict(contents(subfolder, [blob for blob, _ in found]))
    assert sorted((texts[blob].decode(), path) for blob, path in found) == [
        ("last", "project/a.txt"),
        ("main", "project/a.txt"),
        ("merged", "project/a.txt"),
        ("merged", "project/ö :b.txt"),
        ("other/a.txt", "other/a.txt"),
        ("project/a.txt", "project/a.txt"),
        ("side", "project/a.txt"),
    ]


def test_what_was_only_staged_is_there_too(subfolder):
    """Must fail if a file counts only once it is in a commit, or as long as it is in the index."""
    (subfolder / "staged.txt").write_text("staged")
    run(subfolder, "git", "add", "staged.txt")
    run(subfolder, "git", "reset", "--quiet")
    texts = {text for _, text in contents(subfolder, blobs(subfolder))}
    assert texts == {b"staged", b"project/a.txt", b"other/a.txt"}


def test_a_file_that_git_lacks_is_no_empty_one(subfolder):
    """Must fail if an object that is not there is passed over."""
    (blob,) = tracked(subfolder, "HEAD").values()
    top = Path(git(subfolder, "rev-parse", "--show-toplevel"))
    (top / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(UserError, match=f"git lacks {blob}"):
        list(contents(subfolder, [blob]))


def test_what_git_advises_below_its_complaint_is_told(tmp_path, monkeypatch):
    """Must fail if only its first line is: of a repository of another user the way out stands in the third."""
    program = tmp_path / "git"
    told = r"fatal: dubious ownership\nTo add an exception, call:\n\n\tgit config"
    program.write_text(f"#!/bin/sh\nprintf '{told}' >&2\nexit 128\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = "git rev-parse: fatal: dubious ownership To add an exception, call: git config"
    with pytest.raises(UserError, match=f"^{said}$"):
        git(tmp_path, "rev-parse")


def test_an_environment_that_a_worktree_links_to_is_no_new_file(tmp_path):
    """Must fail if .gitignore names a folder alone: one worktree alone holds the environment itself."""
    run(tmp_path, "git", "init", "--quiet")
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".venv").symlink_to("elsewhere")
    assert git(tmp_path, "ls-files", "--others", "--exclude-standard") == ".gitignore"


@pytest.fixture
def pipeline(tmp_path) -> Path:
    """Return a DVC repository with one stage that reads a file."""
    run(tmp_path, "dvc", "init", "--no-scm", "--quiet")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "dvc.yaml").write_text("stages:\n  look:\n    cmd: echo\n    deps: [a.txt]\n")
    return tmp_path


def test_dvc_in_use_is_said_with_who_uses_it(pipeline):
    """Must fail if of DVC's complaint only its last line is told: that one says to delete a lock."""
    user = {"pid": os.getpid(), "cmd": "dvc repro"}
    lock = {"write": {str(pipeline / "a.txt"): user}, "read": {}}
    (pipeline / ".dvc/tmp").mkdir(exist_ok=True)
    (pipeline / ".dvc/tmp/rwlock").write_text(json.dumps(lock))
    with pytest.raises(UserError, match=rf"is busy.*PID {os.getpid()}.*dvc repro") as caught:
        dvc(pipeline, "status")
    assert "\n" not in str(caught.value)


def test_what_dvc_says_before_its_complaint_is_left_out(pipeline):
    """Must fail if warnings stand before the mistake, or a complaint of another form is lost."""
    (pipeline / "dvc.yaml").write_text("stages:\n  look: [\n")
    with pytest.raises(UserError, match=r"^dvc status: './dvc\.yaml' is invalid"):
        dvc(pipeline, "status")
    (pipeline / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(UserError, match=r"^dvc status: ERROR: "):
        dvc(pipeline, "status", "nothere")


@pytest.mark.parametrize("name", ["dvc.yaml", "dvc.lock"])
def test_a_merge_conflict_is_named_before_dvc_stumbles_over_it(pipeline, name):
    """Must fail if `certificate` and `next` show a piece of DVC's excerpt of the file instead."""
    (pipeline / name).write_text("schema: '2.0'\n<<<<<<< HEAD\n=======\n>>>>>>> other\n")
    with pytest.raises(UserError, match=f"^{name}:2: a merge conflict is left here"):
        dvc(pipeline, "status")
