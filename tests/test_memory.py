"""Memory that is freed is there for the next step."""

import platform
import subprocess
import sys

import pytest

# Page faults while an array of 8 MB is made, filled and freed, over and over.
SCRIPT = """
import resource, sys
import numpy as np
from unlearning.running import memory
if sys.argv[1] == "kept":
    memory.keep()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    arrays = [np.ones(1 << 20) for _ in range(8)]
    del arrays
before = faults()
for _ in range(10):
    arrays = [np.ones(1 << 20) for _ in range(8)]
    del arrays
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries stay as they are")
def test_what_is_freed_does_not_go_back_to_the_system():
    """Must fail if either threshold is not set, or glibc refuses one."""
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", SCRIPT, how], text=True))
        for how in ("kept", "given back")
    }
    assert faults["kept"] < 100 < 1000 < faults["given back"], faults
