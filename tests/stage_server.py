"""Stages as `python -m stages.<name>` runs them, each in a fork of one process that has imported them all.

A stage that is started anew spends most of a small test's time on its imports. Reads lines of stage and bytes
that a file may take at most, and answers each with a line of JSON: exit code, and what stderr was told.
"""

import importlib
import json
import os
import resource
import runpy
import sys


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(f"stages.{name}")
    for line in sys.stdin:
        name, limit = line.split()
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(theirs, 2)
            os.closerange(3, max(ours, theirs) + 1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
            del sys.modules[f"stages.{name}"]  # what it imported stays; it is run as a script
            code = 0
            try:
                runpy.run_module(f"stages.{name}", run_name="__main__")
            except SystemExit as ended:
                code = int(ended.code or 0)
            sys.stderr.flush()
            os._exit(code)  # taking PyTorch down takes two seconds
        os.close(theirs)
        with os.fdopen(ours, errors="replace") as said:
            text = said.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([code, text]), flush=True)


if __name__ == "__main__":
    main()
