"""How a stage is run: alone in its workspace, a person's mistake as one line.

DVC has a lock of its own, but when `dvc` is killed its stage lives on, and the next `dvc repro` would
start a second one that writes the same files.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from zc.lockfile import LockError, LockFile

from unlearning.base import errors

SCRATCH = Path("scratch")  # known to .gitignore and .dvcignore
RANK = "RANK"  # in the environment of several processes that run one stage: whose turn it is


def run(name: str, main: Callable[[], None]) -> None:
    """Run the stage in the current folder; see `errors.run` for how mistakes end.

    Refused, with a line that names the process, while the same stage runs here already.
    """

    def guarded() -> None:
        with alone(name, SCRATCH / f"{name}.lock"):
            main()

    errors.run(guarded if is_first() else main)


def is_first() -> bool:
    """Return whether this process is the first, or the only one, of those that run a stage together."""
    return os.environ.get(RANK, "0") == "0"


@contextmanager
def alone(name: str, path: Path) -> Iterator[None]:
    """Hold the lock file while the block runs; the system releases it when the process dies, however it dies.

    Raises: UserError if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = LockFile(str(path))
    except LockError:
        holder = path.read_text(encoding="ascii", errors="replace").strip() or "unknown"
        raise errors.UserError(
            f"{name} is already running in this folder, as process {holder}: wait until it ends, or "
            f"stop it with `kill {holder}`; what it finished so far is kept"
        ) from None
    with closing(lock):
        yield
