"""Jobs on all cores: in order, few at once, their faults raised here, no worker left behind."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from unlearning.base import cores


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(cores, "available", lambda: 2)


def touch_and_return(number: int, folder: Path) -> int:
    time.sleep(0.02 * (number % 3))
    (folder / str(number)).touch()
    return number


def test_few_jobs_are_under_way_and_results_keep_their_order(tmp_path):
    """Must fail if all jobs are handed over at once: a slow disk would fill the memory."""
    results = cores.each(partial(touch_and_return, folder=tmp_path), range(60), chunk=3)
    assert next(results) == 0
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) <= 4 * 3
    assert list(results) == list(range(1, 60))


def fail_at_seven(number: int) -> int:
    if number == 7:
        raise RuntimeError("seven")
    return number


def test_a_bug_in_a_worker_is_raised_here():
    """Must fail if a worker's exception is swallowed."""
    with pytest.raises(RuntimeError, match="seven"):
        list(cores.each(fail_at_seven, range(20), chunk=2))


ENDLESS = """
import multiprocessing, os, sys, time
from unlearning.base import cores

if __name__ == "__main__":
    cores.available = lambda: 2
    results = cores.each(abs, range(10_000), chunk=1)
    next(results)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_run_leaves_no_workers(tmp_path):
    """Must fail if workers wait for ever for a parent that is gone."""
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert len(workers) == 2
    deadline = time.monotonic() + 5
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))
