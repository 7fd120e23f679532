"""How threads wait for one another: by spinning where the machine is idle, asleep where others use it.

PyTorch's threads meet at the end of every operation. OpenMP lets the first to arrive spin for a while, which
is fastest on an idle machine; beside another busy program it spins away the time that the last one needs.
Where the CPU multiplies bf16 an operation is so short that waking a sleeper costs more: there it always spins.
The number of threads stays the same: with another one sums are added in another order, and bytes differ. What a
person can do about others (`remark`) is said once, before the first stage.
Measured in docs/experiments.md. Imports no torch: OpenMP reads its environment once, when torch is loaded.
"""

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from unlearning.base.cores import usable

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
STATISTICS = Path("/proc/stat")
CPU = Path("/proc/cpuinfo")
LOOKED_AT = 0.1  # seconds: ten of the kernel's ticks per core
BUSY = 0.5  # of one core, taken by others

Ticks = Mapping[int, tuple[int, int]]


def settle(environment: dict[str, str] | os._Environ[str] = os.environ) -> None:
    """Set OpenMP's wait policy for this process and those it starts, unless the environment has one."""
    if any(name in environment for name in SETTINGS) or cpu_multiplies_bf16():
        return
    if sum(look().values()) >= BUSY:
        environment["OMP_WAIT_POLICY"] = "passive"


def remark() -> str | None:
    """Return what a person can do where others use half a core or more, else None."""
    shares = look()
    others = sum(shares.values())
    if others < BUSY:
        return None
    said = (
        f"warning: other programs use {others:.1f} of {len(shares)} cores, and threads on all cores wait for "
        "the busiest: training can take several times as long. End them"
    )
    if free := len(shares) - max(1, round(others)):
        idle = sorted(sorted(shares, key=shares.__getitem__)[:free])
        said += (
            f", or leave them theirs: taskset --cpu-list {','.join(map(str, idle))} dvc repro "
            "(with another number of threads the weights' last bits differ)"
        )
    return said


def look() -> dict[int, float]:
    """Return of each core that this process may use the share that others take of it; {} without /proc."""
    try:
        before = ticks(STATISTICS.read_text(encoding="ascii"), usable())
        time.sleep(LOOKED_AT)
        after = ticks(STATISTICS.read_text(encoding="ascii"), usable())
    except OSError:
        return {}
    return taken(before, after)


def cpu_multiplies_bf16() -> bool:
    """Return whether the CPU multiplies bf16 matrices in hardware; False without /proc."""
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


def taken(before: Ticks, after: Ticks) -> dict[int, float]:
    """Return of each core the share of the time between two readings in which it was busy."""
    shares = {}
    for core, (busy, idle) in after.items():
        busy, idle = busy - before[core][0], idle - before[core][1]
        shares[core] = busy / max(busy + idle, 1)
    return shares
