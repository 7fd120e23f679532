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

from unlearning.base import waiting  # noqa: E402

if sys.argv[0] == "-m":  # a stage is being started, and has not yet loaded torch
    waiting.settle()
    # What is imported lives to the end: looking through it for garbage takes a tenth of a stage's start. From
    # `stage.run` on garbage is looked for again.
    gc.disable()
