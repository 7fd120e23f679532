"""One script per stage of dvc.yaml.

Ctrl-C ends a stage in one line also before `unlearning.stage.run` is reached: importing PyTorch takes seconds.
Nothing is imported here but sys, so that this holds from the first milliseconds on.
"""

import sys


def _one_line(kind, error, traceback):  # type: ignore[no-untyped-def]
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _one_line
