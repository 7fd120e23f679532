"""The pipeline survives being killed; `make torture N=100` tries it for longer."""

import shutil
import signal
import subprocess
import sys

from tiny_project import ROOT
from torture import torture


def test_killed_runs_end_with_the_bytes_of_an_undisturbed_one(tmp_path, finished_clone):
    """Must fail if outputs are not written whole, a state is taken up wrongly, or an orphan goes unnoticed."""
    clone = shutil.copytree(finished_clone, tmp_path / "clone", symlinks=True)
    tally = torture(clone, kills=2, seed=0)
    assert sum(tally.kills.values()) == 2
    assert (tally.differing, tally.corrupt, tally.complaints) == ([], [], [])


def test_ctrl_c_during_imports_is_one_line():
    """Must fail without the hook in stages/__init__.py."""
    stage = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "stages.train_original"],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert stage.stderr
    # PyTorch's first module is read: seconds before `main` is reached.
    for line in stage.stderr:
        if "torch" in line:
            break
    stage.send_signal(signal.SIGINT)
    said = [line for line in stage.communicate()[1].splitlines() if "import time:" not in line]
    assert said == ["interrupted"]
