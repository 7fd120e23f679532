"""Work on all cores of the machine: how many there are, and many small jobs in processes of their own."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def available() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def each(
    work: Callable[[Job], Result], jobs: Sequence[Job], chunk: int
) -> Generator[Result, None, None]:
    """Yield `work(job)` for each job, in order; two chunks per core are under way at most.

    What fits in one chunk, or has one core, is done here. Workers are forked from a server that has only
    imported the module of `work`, not from this process: a fork copies the locks that other threads hold.
    """
    starts = range(0, len(jobs), chunk)
    workers = min(available(), len(starts))
    if workers < 2:
        yield from map(work, jobs)
        return
    server = multiprocessing.get_context("forkserver")
    function = work.func if isinstance(work, partial) else work
    server.set_forkserver_preload([function.__module__])
    under_way: deque[Future[list[Result]]] = deque()
    with ProcessPoolExecutor(workers, server, initializer=_live_with_the_parent) as pool:
        try:
            for start in starts:
                under_way.append(pool.submit(_done, work, jobs[start : start + chunk]))
                if len(under_way) == 2 * workers:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


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
