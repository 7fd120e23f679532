"""One script per stage of dvc.yaml.

Ctrl-C ends a stage in one line also before `unlearning.base.stage.run` is reached: importing PyTorch takes
seconds. Nothing is imported before that but sys, so that it holds from the first milliseconds on.
"""

import sys


def _one_line(kind, error, traceback):  # type: ignore[no-untyped-def]
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _one_line

import gc  # noqa: E402
import os  # noqa: E402

IS_STARTED = sys.argv[0] == "-m"  # a stage, which has not yet loaded torch
if IS_STARTED:
    # This folder's library, by whose hashes DVC goes. The installed one may be another folder's: in a worktree
    # that shares an environment, in the copy that `dvc exp run --temp` runs in.
    library = __path__[0].removesuffix("stages") + "src"
    sys.path.insert(0, library)
    # The processes that multiprocessing starts know no sys.path while they import.
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{library}{os.pathsep}{others}" if others else library

from unlearning.base import waiting  # noqa: E402

if IS_STARTED:
    waiting.settle()
    # What is imported lives to the end: looking through it for garbage takes a tenth of a stage's start. From
    # `stage.run` on garbage is looked for again.
    gc.disable()
