"""Where the seconds of a run go: `python -m benchmark.stages`, in a workspace that may be remade.

Every stage of dvc.yaml runs in a process of its own, as under `dvc repro`, in order. It prints
a Markdown table: seconds to start and import, in data, forward, backward, optimiser and the rest; the
networks' arithmetic in these against the machine's peak. Retrained models come one after the other, since the
clocks stand in the stage's own process: their last bits are others than after `dvc repro`.
"""

import importlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from unlearning.base.stage import SCRATCH

KINDS = ("imports", "data", "forward", "backward", "optimiser", "rest")


def main() -> None:
    """Run all stages and print the table."""
    shutil.rmtree(SCRATCH, ignore_errors=True)  # kept states and observations would save the work
    stages = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
    print(f"| stage | seconds | {' | '.join(KINDS)} | of the peak |")
    print("|---" * (len(KINDS) + 3) + "|")
    rows, total = {}, dict.fromkeys(("all", *KINDS), 0.0)
    for name in stages:
        began = time.time()
        done = subprocess.run(
            [sys.executable, "-m", "benchmark.stages", name, str(began)],
            check=True, text=True, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."},
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        found["all"] = time.time() - began - found.pop("of clock")
        for kind in total:
            total[kind] += found.get(kind, 0.0)
        rows[name] = found
    best = max(found.get("peak", 0.0) for found in rows.values())
    for name, found in [*rows.items(), ("together", total)]:
        print(_row(name, found, best))


def one(name: str, began: float) -> None:
    """Run a stage under the clock, and print its seconds."""
    module = importlib.import_module(f"stages.{name}")
    imported = time.time()
    found: dict[str, float] = {"imports": imported - began, "of clock": 0.0}
    if "torch" not in sys.modules:
        module.main()
        found["rest"] = time.time() - imported
    else:
        from benchmark.timing import clocked, peak
        from unlearning.models import references
        from unlearning.running import hardware
        from unlearning.settings.load import load
        from unlearning.settings.machine import MachineParams

        references.WORTH = math.inf
        machine = load(MachineParams)
        best = peak(hardware.choose(machine.device, machine.precision))
        clock = clocked()
        found["of clock"] = time.time() - imported
        clock.enter("rest")
        module.main()
        clock.leave()
        found |= clock.seconds
        found |= {"flops": clock.flops, "peak": best}
    print(json.dumps(found))


def _row(name: str, found: dict[str, float], best: float) -> str:
    worked = sum(found.get(kind, 0.0) for kind in KINDS[1:5])
    share = f"{found['flops'] / worked / best:.0%}" if found.get("flops") else ""
    seconds = " | ".join(f"{found.get(kind, 0.0):.1f}" for kind in ("all", *KINDS))
    return f"| {name} | {seconds} | {share} |"


if __name__ == "__main__":
    one(sys.argv[1], float(sys.argv[2])) if len(sys.argv) > 1 else main()
