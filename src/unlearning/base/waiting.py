"""How threads wait for one another: by spinning where the machine is idle, asleep where others use it.

PyTorch's threads meet at the end of every operation. OpenMP lets the first to arrive spin for a while, which
is fastest on an idle machine; beside another busy program it spins away the time that the last one needs.
Where the CPU multiplies bf16 an operation is so short that waking a sleeper costs more: there it always spins.
The number of threads stays the same: with another one sums are added in another order, and bytes differ.
Measured in docs/experiments.md. Imports no torch: OpenMP reads its environment once, when torch is loaded.
"""

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
STATISTICS = Path("/proc/stat")
CPU = Path("/proc/cpuinfo")
LOOKED_AT = 0.1  # seconds: ten of the kernel's ticks per core
BUSY = 0.5  # of one core, taken by others

Ticks = Mapping[int, tuple[int, int]]


def settle(environment: dict[str, str] | os._Environ[str] = os.environ) -> None:
    """Set OpenMP's wait policy for this process and those it starts, unless the environment has one.

    Only Linux tells how busy its cores are; elsewhere nothing is set.
    """
    if any(name in environment for name in SETTINGS) or cpu_multiplies_bf16():
        return
    try:
        cores = os.sched_getaffinity(0)
        before = ticks(STATISTICS.read_text(encoding="ascii"), cores)
        time.sleep(LOOKED_AT)
        after = ticks(STATISTICS.read_text(encoding="ascii"), cores)
    except (OSError, AttributeError):
        return
    if taken(before, after) >= BUSY:
        environment["OMP_WAIT_POLICY"] = "passive"


def cpu_multiplies_bf16() -> bool:
    """Return whether the CPU multiplies bf16 matrices in hardware; False where the system does not tell."""
    # Flags of the kernel, not torch.cpu's private functions, which differ between versions.
    try:
        with CPU.open(encoding="ascii", errors="replace") as file:
            flags = next((line.split() for line in file if line.startswith("flags")), [])
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def ticks(statistics: str, cores: Collection[int]) -> dict[int, tuple[int, int]]:
    """Return the busy and idle ticks since the start of each of these cores, from the text of /proc/stat."""
    found = {}
    for line in statistics.splitlines():
        name, *values = line.split() or [""]
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cores:
            user, nice, system, idle, iowait, *others = map(int, values[:8])
            found[int(name[3:])] = (user + nice + system + sum(others), idle + iowait)
    return found


def taken(before: Ticks, after: Ticks) -> float:
    """Return how many cores were busy between two readings; 1.5: one all the time, one half of it."""
    shares = 0.0
    for core, (busy, idle) in after.items():
        busy, idle = busy - before[core][0], idle - before[core][1]
        shares += busy / max(busy + idle, 1)
    return shares
