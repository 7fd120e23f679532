"""Kill the pipeline at random moments, again and again, and compare what it ends with.

`make torture N=100`, or `python tests/torture.py 100`. A tiny clone is run once undisturbed. Then its
trainings are run over and over; in each run dvc, its stage or both are killed (SIGKILL) or interrupted
(Ctrl-C) up to four times, and the same command is given again until it ends by itself. Every file that
lies there after a kill must be whole, and the last state must have the undisturbed run's bytes.
"""

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tiny_project import ENVIRONMENT, change_params, make_clone, run

EPOCHS = {"(original:(?:\n.*?)*?epochs): .*": r"\1: 3", "(?<=\n)epochs: .*": "epochs: 3"}
TRAININGS = ("train_original", "retrain", "adversarial_train")
COMMAND = ("dvc", "repro", *TRAININGS)
KILLS_PER_RUN = 4
SLOWEST = 300  # seconds that no run may take


@dataclass
class Tally:
    """What happened. `differing` and `corrupt` name files; both must stay empty.

    `torn` counts a fault of DVC itself: killed while it writes `.dvc/tmp/rwlock`, it leaves that file empty
    and refuses to work until a person removes it (treeverse/dvc#7615).
    """

    runs: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    resumes: int = 0
    refused: int = 0
    torn: int = 0
    differing: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{count} {name}" for name, count in sorted(self.kills.items()))
        return (
            f"{self.runs} runs, {sum(self.kills.values())} kills ({kills}), {self.resumes} times "
            f"gone on after an epoch, {self.refused} times refused beside an orphan, "
            f"{self.torn} torn lock files of DVC, "
            f"{len(self.differing)} differing files, {len(self.corrupt)} corrupt files, "
            f"{len(self.complaints)} complaints"
        )


def torture(clone: Path, kills: int, seed: int, command: tuple[str, ...] = COMMAND) -> Tally:
    """Return the tally of so many kills in a clone whose images are split."""
    chance = random.Random(seed)
    change_params(clone, EPOCHS)
    untrained = (clone / "dvc.lock").read_bytes()
    start = time.monotonic()
    run(clone, *command)
    usual = time.monotonic() - start
    whole = contents(clone)

    tally = Tally()
    while sum(tally.kills.values()) < kills and not tally.complaints:
        forget_trainings(clone, untrained)
        allowed = min(KILLS_PER_RUN, kills - sum(tally.kills.values()))
        for _ in range(allowed):
            if not killed(clone, command, chance, usual, tally):
                break
            tally.corrupt += [
                name
                for name, digest in contents(clone).items()
                if name != "dvc.lock" and digest != whole[name]
            ]
        finish(clone, command, tally)
        tally.runs += 1
        last = contents(clone)
        tally.differing += sorted(
            name for name in whole.keys() | last.keys() if whole.get(name) != last.get(name)
        )
    return tally


def contents(clone: Path) -> dict[str, str]:
    """Return the digest of every file that the trainings make."""
    files = [clone / "dvc.lock"]
    for place in ("models", "metrics", "plots"):
        files += [
            file
            for file in (clone / place).rglob("*")
            if file.is_file() and ".part" not in file.name
        ]
    return {
        file.relative_to(clone).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.name != ".gitignore"
    }


def forget_trainings(clone: Path, lock: bytes) -> None:
    """Leave the clone as it was before the first training; without DVC's memory of runs."""
    for stage in TRAININGS:
        (clone / "metrics" / f"{stage}.json").unlink(missing_ok=True)
        (clone / "plots" / f"{stage}.csv").unlink(missing_ok=True)
    for place in ("models", ".dvc/cache/runs"):
        shutil.rmtree(clone / place, ignore_errors=True)
    (clone / "dvc.lock").write_bytes(lock)


def start(clone: Path, command: tuple[str, ...]) -> subprocess.Popen:
    # A session of its own, as a terminal gives: Ctrl-C reaches dvc and its stage alike.
    with (clone.parent / "output.txt").open("w") as output:
        return subprocess.Popen(
            command, cwd=clone, env=ENVIRONMENT, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip


def stages_of(process: subprocess.Popen) -> list[psutil.Process]:
    """Return the stages that run under this dvc."""
    try:
        found = psutil.Process(process.pid).children(recursive=True)
        return [child for child in found if "stages." in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def killed(
    clone: Path, command: tuple[str, ...], chance: random.Random, usual: float, tally: Tally
) -> bool:
    """Run the command and kill it at a random moment; return False if it was over before."""
    process = start(clone, command)
    try:
        process.wait(timeout=chance.uniform(0, usual))
        note(clone, tally)
        return False
    except subprocess.TimeoutExpired:
        pass
    how = chance.choice(["stage", "dvc", "both", "ctrl-c"])
    stages = stages_of(process)
    if how == "ctrl-c":
        # As a terminal does: to the whole group.
        for member in [psutil.Process(process.pid), *stages]:
            if member.is_running():
                member.send_signal(signal.SIGINT)
    if how in ("dvc", "both"):
        process.kill()
    if how in ("stage", "both"):
        for stage in stages:
            stage.kill()
    process.wait(timeout=SLOWEST)
    note(clone, tally)
    tally.kills[how] = tally.kills.get(how, 0) + 1
    orphans = [stage for stage in stages if stage.is_running()]
    if how == "dvc" and orphans:
        beside_orphan(clone, command, orphans, chance, tally)
    return True


def beside_orphan(
    clone: Path,
    command: tuple[str, ...],
    orphans: list[psutil.Process],
    chance: random.Random,
    tally: Tally,
) -> None:
    """Give the command while the killed dvc's stage lives on, then let that one end, one way or the other."""
    process = start(clone, command)
    process.wait(timeout=SLOWEST)
    said = note(clone, tally)
    if "is already running" in said:
        tally.refused += 1
        if not any(f"as process {orphan.pid}:" in said for orphan in orphans):
            tally.complaints.append(f"the refusal names another process: {said}")
    for orphan in orphans:
        if chance.random() < 0.5 and orphan.is_running():
            orphan.kill()
    psutil.wait_procs(orphans, timeout=SLOWEST)


def finish(clone: Path, command: tuple[str, ...], tally: Tally) -> None:
    torn = tally.torn
    process = start(clone, command)
    process.wait(timeout=SLOWEST)
    said = note(clone, tally)
    if tally.torn > torn:
        finish(clone, command, tally)
    elif process.returncode != 0:
        tally.complaints.append(f"the last run ended with {process.returncode}: {said}")


def note(clone: Path, tally: Tally) -> str:
    """Return what the command printed, counting in it what the tally is about."""
    said = (clone.parent / "output.txt").read_text(errors="replace")
    if "Unable to read RWLock-file" in said:
        # What docs/guarantees.md tells a person to do, and `make repro` does.
        (clone / ".dvc" / "tmp" / "rwlock").unlink()
        tally.torn += 1
    tally.resumes += said.count("going on after ")
    # In its first milliseconds Python itself answers Ctrl-C with a traceback.
    if "Traceback" in said and "KeyboardInterrupt" not in said:
        tally.complaints.append(said)
    return said


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        clone.mkdir()
        run(make_clone(clone), "dvc", "repro", "split_dataset")
        tally = torture(clone, kills, seed)
    print(tally)
    for text in [*tally.differing, *tally.corrupt, *tally.complaints]:
        print(text)
    sys.exit(bool(tally.differing or tally.corrupt or tally.complaints))


if __name__ == "__main__":
    main()
