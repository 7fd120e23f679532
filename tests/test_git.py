"""What Git keeps is read whole: every file that there was, also in a project in a subfolder."""

from pathlib import Path

import pytest
from tiny_project import run

from unlearning.base.errors import UserError
from unlearning.review.git import blobs, committed, contents, ever, git, tracked


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
