"""`unlearning review` runs nothing that a stranger's branch brings along, and connects to nobody."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_review import commit
from tiny_project import ENVIRONMENT, run

from unlearning.base.errors import UserError
from unlearning.review import git as git_module
from unlearning.review.git import GUARDED_DVC, dvc, git

MODULES = (
    "dvc/__init__.py", "dvc/__main__.py", "dvc/cli/__init__.py", "json.py", "yaml/__init__.py",
    "unlearning/__init__.py", "sitecustomize.py", "usercustomize.py", "matplotlib/__init__.py", "pandas.py",
    "evil_backend.py", "encodings/__init__.py",
)  # fmt: skip
PROGRAMS = ("git", "dvc", "python", "latex", "ssh", "less")


@pytest.fixture
def visits() -> Iterator[list[str]]:
    """Return who connected to a listener on the loopback device; its port stands in the environment."""
    seen: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            seen.append("a connection")
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    os.environ["LISTENER"] = f"http://127.0.0.1:{server.getsockname()[1]}"
    yield seen
    del os.environ["LISTENER"]
    server.close()


def plant(folder: Path, marks: Path) -> None:
    """Plant all that an interpreter or a program looks for in the folder where it is started."""
    listener = os.environ["LISTENER"]
    script = f"#!/bin/sh\necho $0 $* >> {marks}\ncat\n"
    for name in MODULES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"open({str(marks)!r}, 'a').write({name!r} + chr(10))\n")
    for name in PROGRAMS:
        path = folder / (name if not (folder / name).is_dir() else f"bin/{name}")
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
    (folder / "matplotlibrc").write_text("text.usetex: True\nbackend: module://evil_backend\n")
    (folder / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    (folder / ".dvc/config").write_text(
        f"[core]\nremote = evil\nsite_cache_dir = {folder}/site\n"
        f"[cache]\ndir = {folder}/elsewhere\n['remote \"evil\"']\nurl = {listener}/store\n"
    )
    run(folder, "git", "add", "--force", ".")
    run(folder, "git", "commit", "--quiet", "--message", "planted")
    evil = folder / "evil.sh"
    evil.write_text(script)
    evil.chmod(0o755)
    for key in (
        "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.evil.textconv", "diff.external",
        "core.fsmonitor", "core.sshCommand", "core.pager", "credential.helper", "gpg.program", "alias.ls-tree",
    ):  # fmt: skip
        run(folder, "git", "config", key, str(evil))
    run(folder, "git", "config", "log.showSignature", "true")
    run(folder, "git", "config", "remote.origin.url", f"{listener}/repository.git")
    run(folder, "git", "config", "remote.origin.promisor", "true")
    hooks = folder / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "reference-transaction", "pre-commit", "post-checkout"):
        (hooks / name).write_text(script)
        (hooks / name).chmod(0o755)
    run(folder, "git", "config", "core.hooksPath", str(hooks))
    os.utime(folder / "params.yaml")  # Git would look again, through the filter
    marks.unlink(missing_ok=True)  # Git's own `config` runs none, but `commit` may have


@pytest.fixture
def stranger(tmp_path, visits, reviewed) -> Path:
    """Return a branch that is in sync, with everything planted, and an empty list of what ran."""
    folder = shutil.copytree(reviewed, tmp_path / "branch")
    run(folder, "git", "switch", "--quiet", "--create", "theirs")
    plant(folder, tmp_path / "marks")
    return folder


def review(folder: Path, *, path: str = "") -> str:
    """Return what the real command prints there, whatever its exit code."""
    environment = ENVIRONMENT | {"PATH": f"{path}{ENVIRONMENT['PATH']}"}
    program = Path(ENVIRONMENT["PATH"].split(os.pathsep)[0]) / "unlearning"
    done = subprocess.run(
        [program, "review", "--base", "main", "--out", folder.parent / "out"],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("path", ["", f".{os.pathsep}"], ids=["usual", "a PATH with ."])
def test_nothing_that_a_branch_brings_along_is_run(stranger, visits, path):
    """Must fail if DVC is started in the branch, or without -I; or Git is asked for its status, or by name."""
    words = review(stranger, path=path)
    assert "in sync" in words, words
    assert not (stranger.parent / "marks").exists(), (stranger.parent / "marks").read_text()
    assert (stranger.parent / "out/curves.png").stat().st_size > 1000
    assert visits == []
    assert not (stranger / "elsewhere").exists()
    assert not (stranger / "site").exists()


@pytest.mark.parametrize(
    "words",
    [
        "    deps:\n    - {listener}/photographs.zip\n",
        "    deps:\n    - s3://127.0.0.1/photographs.zip\n",
        "    deps:\n    - remote://evil/photographs.zip\n",
        "    deps:\n    - ${{data.path}}\n",
        "    deps:\n    - ssh://127.0.0.1/photographs.zip\n",
    ],
)
def test_a_dependency_on_another_machine_is_not_asked_for(stranger, visits, words):
    """Must fail if DVC may connect: it asks such a dependency whether it has changed."""
    listener = os.environ["LISTENER"]
    with (stranger / "dvc.yaml").open("a") as file:
        file.write(words.format(listener=listener))
    params = stranger / "params.yaml"
    params.write_text(
        params.read_text().replace("path: src/unlearning/sources/drawn", f"path: {listener}/x")
    )
    shown = review(stranger)
    assert "dvc repro: " in shown
    assert "in sync" not in shown
    assert visits == []
    assert not (stranger.parent / "marks").exists()


@pytest.mark.parametrize("content", ["lr: secret\n", "token: [secret\n"])
@pytest.mark.parametrize("name", ["params.yaml", "metrics/audit.json", "dvc.yaml", "dvc.lock"])
def test_a_link_is_not_followed_out_of_the_branch(stranger, tmp_path, name, content):
    """Must fail if a link in the branch makes the review show what only the reviewer may read, by a value or by
    the error that quotes it.
    """
    (tmp_path / "secret").write_text(content)
    (stranger / name).unlink()
    (stranger / name).symlink_to(tmp_path / "secret")
    shown = review(stranger)
    assert "in sync" not in shown
    assert "secret" not in shown


def test_a_folder_that_is_a_link_is_not_followed(stranger, tmp_path):
    """Must fail if only the last part of a path is looked at."""
    (tmp_path / "elsewhere").mkdir()
    (stranger / "metrics").rename(tmp_path / "kept")
    (tmp_path / "elsewhere/config.json").write_text('{"auth": "secret"}')
    (stranger / "metrics").symlink_to(tmp_path / "elsewhere")
    shown = review(stranger)
    assert shown.startswith("error: metrics is a link, or behind one"), shown


def test_dvc_opens_no_file_outside_the_branch(stranger, tmp_path):
    """Must fail if `only` is left out: DVC reads whatever file a stranger's dvc.yaml names, and quotes it."""
    (tmp_path / "list.yaml").write_text("tokens: [secret]\n")
    words = (stranger / "dvc.yaml").read_text()
    leak = "  leak:\n    foreach: ${tokens}\n    do:\n      cmd: echo ${item}\n"
    (stranger / "dvc.yaml").write_text(f"vars: [{tmp_path}/list.yaml]\n{words}{leak}")
    shown = review(stranger)
    assert "it asks for open" in shown
    assert "secret" not in shown


def test_a_person_s_settings_of_fsspec_are_not_read(stranger, monkeypatch, tmp_path):
    """Must fail if DVC, which may open no file outside the branch, asks for them: nothing would be checked."""
    (tmp_path / "conf.json").write_text("{}")
    monkeypatch.setenv("FSSPEC_CONFIG_DIR", str(tmp_path))
    assert "it asks for open" not in review(stranger)


def test_dvc_may_not_start_a_program_or_connect(tmp_path, monkeypatch):
    """Must fail if the guard is taken off: nothing else stops DVC's own daemon, or a plugin."""
    monkeypatch.setattr(
        git_module,
        "GUARDED_DVC",
        GUARDED_DVC.replace("from dvc.cli import main", PROBES),
    )
    for probe in range(3):
        with pytest.raises(UserError, match="not allowed here"):
            dvc(tmp_path, str(probe))


PROBES = """
import os, socket, subprocess
def main(arguments):
    [lambda: socket.create_connection(("127.0.0.1", 9)), lambda: subprocess.run(["true"]),
     lambda: os.system("true")][int(arguments[0])]()
"""


def test_git_fetches_nothing_that_a_partial_clone_lacks(stranger, visits):
    """Must fail if Git may ask the branch's own remote for an object that is missing here."""
    with pytest.raises(UserError):
        git(stranger, "cat-file", "blob", "0" * 39 + "1")
    assert visits == []


def test_the_base_is_not_read_through_the_branchs_filters(stranger):
    """Must fail if a figure of the base is what the branch's textconv makes of it."""
    commit(stranger, "other figures", js_to_retrained=0.1)
    (stranger.parent / "marks").unlink(missing_ok=True)
    assert "| 0.13 | 0.1 " in review(stranger)
    assert not (stranger.parent / "marks").exists()
