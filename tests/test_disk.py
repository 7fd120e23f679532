"""A full disk costs the run and nothing else: every stage says so in one line and leaves what was there.

The limit stands for the disk: what any one file may take. Trainings meet it at their first checkpoint.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from test_pipeline import STAGES
from tiny_project import ENVIRONMENT

# Room for the lock file with its process number, and for a semaphore: the limit holds for shared memory too.
NEXT_TO_NOTHING = 32
TRAININGS = ("train_original", "retrain", "adversarial_train")
# The stage's largest output lacks one byte: smaller ones are written first.
ALL_BUT_THE_LARGEST = sys.maxsize


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, finished_clone: Path) -> Path:
    """Return a copy of a finished run."""
    return shutil.copytree(finished_clone, tmp_path_factory.mktemp("disk") / "full", symlinks=True)


@pytest.fixture(scope="module")
def run_stage(full: Path) -> Iterator[Callable[[str, int], tuple[int, str]]]:
    """Return what runs a stage there with so many bytes for a file at most: its exit code, what it said."""
    with subprocess.Popen(
        [sys.executable, "-B", "-m", "tests.stage_server", *STAGES],
        cwd=full, env=ENVIRONMENT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as server:  # fmt: skip
        asked, answers = server.stdin, server.stdout
        assert asked and answers

        def answer(stage: str, limit: int) -> tuple[int, str]:
            asked.write(f"{stage} {limit}\n")
            asked.flush()
            return tuple(json.loads(answers.readline()))

        yield answer


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file but DVC's and Git's own and the locks."""
    apart = (".dvc", ".git", "scratch")
    names = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if not name.startswith(tuple(f"{each}/" for each in apart))
    }


def largest_output(clone: Path, stage: str) -> int:
    """Return the bytes of the largest file that a stage writes."""
    lock = yaml.safe_load((clone / "dvc.lock").read_text())["stages"][stage]
    outputs = [clone / out["path"] for out in lock["outs"]]
    files = [file for path in outputs for file in (path.rglob("*") if path.is_dir() else [path])]
    return max(file.stat().st_size for file in files)


@pytest.mark.parametrize(
    ("stage", "room"),
    [
        *((stage, ALL_BUT_THE_LARGEST) for stage in STAGES),
        # A training meets either limit at its first checkpoint.
        *((stage, NEXT_TO_NOTHING) for stage in STAGES if stage not in TRAININGS),
    ],
)
def test_a_full_disk_is_one_line_and_harms_nothing(full, run_stage, stage, room):
    """Must fail if a stage writes in place, leaves half a file, or ends in a traceback."""
    limit = min(room, largest_output(full, stage) - 1)
    before = contents(full)
    code, said = run_stage(stage, limit)
    assert code == 2, said
    assert re.fullmatch(r"error: .*File too large.*\n", said)
    assert contents(full) == before
    assert not list((full / "scratch").rglob("*.part*"))
