"""Jobs on all cores: in order, few at once, their faults raised here, no worker left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pipe
from pathlib import Path

import pytest

from unlearning.base import cores
from unlearning.base.errors import UserError

AVAILABLE = cores.available


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.delenv(cores.THREADS, raising=False)
    monkeypatch.setattr(cores, "available", lambda: 2)


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("400000 100000\n", 4),
        ("350000 100000\n", 4),
        ("20000 100000\n", 1),
        ("900000 100000\n", 8),
        ("max 100000\n", 8),
        (None, 8),
    ],
)
def test_a_container_s_quota_counts(quota, count, tmp_path, monkeypatch):
    """Must fail if four cores' worth of a large machine is shared by a thread on each of its cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)))
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    if quota is not None:
        cores.QUOTA.write_text(quota)
    assert AVAILABLE() == count


def test_a_system_that_binds_no_process_to_cores_uses_all(monkeypatch):
    """Must fail if macOS, whose Python lacks both functions, ends in a traceback."""
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(cores, "available", AVAILABLE)
    assert cores.usable() == list(range(os.cpu_count() or 1))
    assert 1 <= cores.available() <= len(cores.usable())
    assert "taskset" in cores._one_at_a_time(1)
    monkeypatch.setattr(cores, "_live_with_the_parent", lambda: None)
    monkeypatch.setenv(cores.THREADS, "1")
    here, there = Pipe(duplex=False)
    cores._work(lambda job, _tell: 2 * job, 21, {0}, 1, there)
    assert here.recv() == (cores.DONE, 42)


@pytest.mark.parametrize(
    ("asked", "alone", "of_four"),
    [(None, 8, 2), ("3", 3, 2), ("1", 1, 1), ("16", 16, 2), ("0", 8, 2), ("4,2", 8, 2)],
)
def test_threads_are_the_cores_share_or_what_a_person_asks(asked, alone, of_four, monkeypatch):
    """Must fail if a person's number is overruled, or lets several processes take more than all cores.

    Or if of more processes than cores each has no thread at all.
    """
    monkeypatch.setattr(cores, "available", lambda: 8)
    if asked:
        monkeypatch.setenv(cores.THREADS, asked)
    assert (cores.threads(), cores.threads(4), cores.threads(9)) == (alone, of_four, 1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "torchrun sets it to 1")
    assert (cores.threads(), cores.threads(4)) == (8, 2)


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


def killed_at_seven(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_is_killed_is_one_line():
    """Must fail if a machine short of memory ends the stage in a traceback."""
    with pytest.raises(UserError, match="killed, for want of memory perhaps"):
        list(cores.each(killed_at_seven, range(20), chunk=2))


@pytest.fixture
def whole_machine() -> Iterator[set[int]]:
    """Give this process all cores, which tests at once have not."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    yield os.sched_getaffinity(0)
    os.sched_setaffinity(0, own)


def own_cores(name: str, tell: cores.Tell) -> tuple[str, set[int], int]:
    tell(name)
    if name == "job 0":
        time.sleep(0.5)
    return name, os.sched_getaffinity(0), cores.threads()


def test_long_jobs_share_the_cores_and_what_they_tell_is_heard(whole_machine, monkeypatch):
    """Must fail if two take the same core, one is left idle, a job is lost, or results lose their order."""
    machine, heard = whole_machine, []
    monkeypatch.setattr(cores, "available", lambda: len(machine))
    most = min(len(machine), cores.MOST_AT_ONCE)
    jobs = [f"job {number}" for number in range(most + 1)]
    found = cores.at_once(own_cores, jobs, heard.append)
    assert [name for name, _, _ in found] == jobs
    assert sorted(heard) == sorted(jobs)
    assert sorted(core for _, own, _ in found[:-1] for core in own) == sorted(machine)
    assert {threads for _, _, threads in found[:-1]} == {len(machine) // most}
    assert found[-1][1:] == (machine, len(machine))  # alone in the end
    assert os.sched_getaffinity(0) == machine


def test_under_a_quota_fewer_long_jobs_share_all_cores(monkeypatch):
    """Must fail if there is a job on each core that it may not use whole, or more threads than the quota."""
    core = min(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: [core] * 8)
    under_way: list[str] = []
    monkeypatch.setattr(
        cores,
        "_together",
        lambda work, jobs, own, hear: under_way.append((len(jobs), len(own))) or jobs,
    )
    assert cores.at_once(own_cores, list("abc"), print) == list("abc")
    assert under_way == [(2, 8), (1, 8)]
    assert cores.threads(2) == 1


def fail_or_wait(job: str, tell: cores.Tell) -> None:
    tell(os.getpid())
    if job == "fails":
        time.sleep(0.5)
        raise UserError("it cannot be")
    if job == "dies":
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ("fails", "it cannot be"),
        ("dies", r"2 of 2 ended .*exit code -9.* OMP_NUM_THREADS=1 taskset --cpu-list {core} dvc"),
    ],
)
def test_one_long_job_that_ends_early_ends_all(job, words, monkeypatch):
    """Must fail if the others are waited for, live on, a kill goes unnoticed, or the advised core is no own."""
    core = max(os.sched_getaffinity(0))  # not always the machine's first
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: [core, core])
    workers, began = [], time.monotonic()
    with pytest.raises(UserError, match=words.replace("{core}", str(core))):
        cores.at_once(fail_or_wait, ["waits", job], workers.append)
    assert time.monotonic() - began < 30
    assert len(workers) == 2 and not any(map(is_running, workers))


def has_a_bug(job: int, tell: cores.Tell) -> None:
    raise RuntimeError("seven")


def test_a_bug_in_a_long_job_is_raised_here_and_says_where_it_was():
    """Must fail if the place of a bug is lost on the way."""
    with pytest.raises(RuntimeError, match=r"in has_a_bug\n(.*\n)*RuntimeError: seven"):
        cores.at_once(has_a_bug, [1], print)


INTERRUPTED = """
import multiprocessing, os, time
from unlearning.base import cores

def wait(job, tell):
    tell(os.getpid())
    time.sleep(60)

if __name__ == "__main__":
    cores.at_once(wait, [1], lambda pid: print(pid, flush=True))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_long_jobs_end_with_the_run(how, tmp_path):
    """Must fail if Ctrl-C waits for a training to end, or a killed run leaves it at work."""
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.send_signal(how)
        parent.wait(timeout=20)
    deadline = time.monotonic() + 5
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


STARTING = """
import sys, time
from unlearning.base import cores, errors

def never(job, tell):
    pass

if __name__ == "__main__":
    print("begun", flush=True)
    errors.run(lambda: cores.at_once(never, [1], print))
else:
    time.sleep(3)  # where work is found, which takes as long as PyTorch takes to load
"""


def test_ctrl_c_before_a_job_has_begun_is_one_line(tmp_path):
    """Must fail if what has not started is ended, or the server of processes says something of its own."""
    script = tmp_path / "starting.py"
    script.write_text(STARTING)
    run = subprocess.Popen(
        [sys.executable, str(script)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert run.stdout is not None and run.stdout.readline() == "begun\n"
    time.sleep(1.5)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    assert run.communicate(timeout=20)[1] == "interrupted\n"
    assert run.returncode == 130


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
