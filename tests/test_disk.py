"""A full disk costs the run and nothing else: every stage says so in one line and leaves what was there."""

import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_pipeline import STAGES
from tiny_project import ENVIRONMENT

# Bytes that one file may have: room for the lock file with its process number, for nothing else.
ROOM = 16
# The limit also holds for shared memory, where joblib tries a semaphore at its import and warns if it cannot.
WITHOUT_SEMAPHORES = {"JOBLIB_MULTIPROCESSING": "0"}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, finished_clone: Path) -> Path:
    """Return a copy of a finished run."""
    return shutil.copytree(finished_clone, tmp_path_factory.mktemp("disk") / "full", symlinks=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file but DVC's and Git's own, the locks, and the drawings, which DVC removes first."""
    apart = (".dvc", ".git", "scratch", "data/animals")
    names = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if not name.startswith(tuple(f"{each}/" for each in apart))
    }


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_one_line_and_harms_nothing(full, stage):
    """Must fail if a stage writes in place, leaves half a file, or ends in a traceback."""
    before = contents(full)
    done = subprocess.run(
        [sys.executable, "-B", "-m", f"stages.{stage}"],
        cwd=full,
        env=ENVIRONMENT | WITHOUT_SEMAPHORES,
        text=True,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM)),
    )
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(r"error: .*File too large.*\n", done.stderr)
    assert contents(full) == before
    assert not list((full / "scratch").rglob("*.part*"))
