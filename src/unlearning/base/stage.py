"""How a stage is run: alone in its workspace, a person's mistake as one line.

DVC has a lock of its own, but when `dvc` is killed its stage lives on, and the next `dvc repro` would
start a second one that writes the same files.
"""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

from zc.lockfile import LockError, LockFile

from unlearning.base import errors

SCRATCH = Path("scratch")  # known to .gitignore and .dvcignore
# What torchrun tells, by the environment, each of several processes that run one stage together.
SIZE, RANK, LOCAL_SIZE, LOCAL = "WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK"
TOLD = (SIZE, RANK, LOCAL_SIZE, LOCAL, "MASTER_ADDR", "MASTER_PORT")


def run(name: str, main: Callable[[], None]) -> None:
    """Run the stage in the current folder; see `errors.run` for how mistakes end.

    Refused, with a line that names the process, while the same stage runs here already.
    """

    def guarded() -> None:
        with alone(name, SCRATCH / f"{name}.lock") if is_first() else nullcontext():
            main()

    gc.freeze()  # what was imported, which stages/__init__.py left unlooked at
    gc.enable()
    try:
        errors.run(guarded)
    finally:
        gc.unfreeze()  # else the libraries' own check for leaks speaks up when the process ends


def is_first() -> bool:
    """Return whether this process is the first, or the only one, of those that run a stage together.

    Raises: as `is_one_of_several`.
    """
    return not is_one_of_several() or os.environ[RANK] == "0"


def is_one_of_several() -> bool:
    """Return whether this process was started as one of several that run a stage together, as by torchrun.

    Job systems set some of its variables for a process that is alone: WORLD_SIZE=1, or a RANK without it.
    Raises: UserError if there are several, and a variable is missing.
    """
    size = os.environ.get(SIZE, "")
    if not size.isdecimal() or int(size) < 2:
        return False
    for name in TOLD:
        if name not in os.environ:
            raise errors.UserError(
                f"the environment has {SIZE}={size} but no {name}: start the stage's processes by torchrun, or "
                f"run `unset {SIZE}` where it is to run alone"
            )
    return True


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
