"""Work on all cores of the machine: how many there are, many small jobs, and a few long ones at once."""

import math
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from unlearning.base.errors import UserError

# What a process that does a long job sends.
TOLD, DONE, RAISED = "told", "done", "raised"
THREADS = "OMP_NUM_THREADS"
# Of a container: microseconds of work, and the period they are for.
QUOTA = Path("/sys/fs/cgroup/cpu.max")
# Of long jobs: with more, each one's share, and so its result's last bits, would change with every one added.
MOST_AT_ONCE = 4
Tell = Callable[[Any], object]
Job = TypeVar("Job")
Result = TypeVar("Result")


def usable() -> list[int]:
    """Return the numbers of the cores that this process may run on; all where the system binds none (macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def available() -> int:
    """Return the number of cores that this process may use: at most what its container may take."""
    bound = len(usable())
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
        return max(1, min(bound, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max"
        return bound


def threads(processes: int = 1) -> int:
    """Return how many threads each of so many processes takes: its share of the cores, at least one.

    Where a person set OMP_NUM_THREADS so many, of several processes at most so many. What torchrun set there is
    nobody's wish.
    """
    share = max(1, available() // processes)
    asked = os.environ.get(THREADS, "")
    if not asked.isdecimal() or int(asked) == 0 or "TORCHELASTIC_RUN_ID" in os.environ:
        return share
    return int(asked) if processes == 1 else min(share, int(asked))


def each(
    work: Callable[[Job], Result], jobs: Sequence[Job], chunk: int
) -> Generator[Result, None, None]:
    """Yield `work(job)` for each job, in order; two chunks per core are under way at most.

    What fits in one chunk, or has one core, is done here. Workers are forked from a server that has only
    imported the module of `work`, not from this process: a fork copies the locks that other threads hold.
    Raises: a job's exception; UserError if a worker is killed.
    """
    starts = range(0, len(jobs), chunk)
    workers = min(available(), len(starts))
    if workers < 2:
        yield from map(work, jobs)
        return
    server = _server(work)
    under_way: deque[Future[list[Result]]] = deque()
    with ProcessPoolExecutor(workers, server, initializer=_live_with_the_parent) as pool:
        try:
            for start in starts:
                under_way.append(pool.submit(_done, work, jobs[start : start + chunk]))
                if len(under_way) == 2 * workers:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                "a process of this stage was killed, for want of memory perhaps: run the same command again, "
                "on fewer cores by `taskset -c 0`"
            ) from None
        finally:
            for future in under_way:
                future.cancel()


def at_once(work: Callable[[Job, Tell], Result], jobs: Sequence[Job], hear: Tell) -> list[Result]:
    """Return `work(job, tell)` of each long job, in order; one on each core, four at most, at a time.

    Each has a process of its own, bound to its share of the cores: there `threads` says how many it takes.
    What it tells is heard here. Where one ends before its work is done, or Ctrl-C comes, all are ended.
    Raises: a job's UserError or OSError; RuntimeError with the traceback of another; UserError if it is killed.
    """
    cores = usable()
    results: list[Result] = []
    most = min(available(), MOST_AT_ONCE)
    for start in range(0, len(jobs), most):
        results += _together(work, jobs[start : start + most], cores, hear)
    return results


def _together(
    work: Callable[[Job, Tell], Result], jobs: Sequence[Job], cores: Sequence[int], hear: Tell
) -> list[Result]:
    server = _server(work)
    each_takes = threads(len(jobs))
    ends = [len(cores) * number // len(jobs) for number in range(len(jobs) + 1)]
    pipes: dict[Connection, int] = {}
    workers = []
    results: dict[int, Result] = {}
    try:
        for number, job in enumerate(jobs):
            here, there = server.Pipe(duplex=False)
            own = set(cores[ends[number] : ends[number + 1]])
            given = (work, job, own, each_takes, there)
            workers.append(server.Process(target=_work, args=given, daemon=True))
            workers[number].start()
            there.close()
            pipes[here] = number
        while pipes:
            for pipe in wait(list(pipes)):
                assert isinstance(pipe, Connection)
                number = pipes[pipe]
                try:
                    kind, said = pipe.recv()
                except (EOFError, OSError):
                    workers[number].join()
                    exit_code = workers[number].exitcode
                    hint = _one_at_a_time(each_takes) if exit_code == -signal.SIGKILL else ""
                    raise UserError(ended(number, len(jobs), exit_code) + hint) from None
                if kind == RAISED:
                    raise said
                if kind == DONE:
                    results[number] = said
                    del pipes[pipe]
                else:
                    hear(said)
    finally:
        for worker in workers:
            # Not one that Ctrl-C kept from starting, nor one whose number is another's by now.
            if worker.is_alive():
                worker.kill()
                worker.join()
    return [results[number] for number in range(len(jobs))]


def ended(number: int, count: int, exit_code: int | None) -> str:
    """Return one line about a process, counted from 0, of so many that train and is gone."""
    return (
        f"process {number + 1} of {count} ended before its work was done (exit code {exit_code}): run the same "
        "command again, it goes on after the last epoch kept"
    )


def _one_at_a_time(threads: int) -> str:
    """Return how to go on with one job of so many threads at a time: with as many its states fit."""
    return (
        f". If memory was short: {THREADS}={threads} taskset --cpu-list {usable()[0]} dvc repro goes on "
        "there too, with one at a time"
    )


def _work(
    work: Callable[[Job, Tell], Result],
    job: Job,
    cores: set[int],
    threads: int,
    there: Connection,
) -> None:
    _live_with_the_parent()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    os.environ[THREADS] = str(threads)
    try:
        there.send((DONE, work(job, lambda said: there.send((TOLD, said)))))
    except (UserError, OSError) as error:
        there.send((RAISED, error))
    except Exception:
        # Not the exception itself, which may not survive the journey.
        there.send((RAISED, RuntimeError(f"in a process of its own:\n{traceback.format_exc()}")))


def _server(work: Callable[..., Any]) -> multiprocessing.context.ForkServerContext:
    """Return what forks processes that have only imported the module of `work`."""
    server = multiprocessing.get_context("forkserver")
    function = work.func if isinstance(work, partial) else work
    server.set_forkserver_preload([function.__module__])
    # Ctrl-C on a terminal reaches it as well: what is ignored here at its start is ignored there.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
    return server


def _done(work: Callable[[Job], Result], jobs: Sequence[Job]) -> list[Result]:
    return [work(job) for job in jobs]


def _live_with_the_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it ends: else a killed run leaves idle workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
