"""Threads spin on an idle machine and sleep beside others; a person's own setting wins."""

import os
import shutil
import subprocess
import sys

import pytest
from tiny_project import ENVIRONMENT, ROOT

from unlearning.base import waiting
from unlearning.base.waiting import settle, taken, ticks

STATISTICS = """cpu  300 0 100 600 0 0 0 0 0 0
cpu0 {busy0} 0 20 {idle0} 30 1 2 3 0 0
cpu1 200 5 20 500 0 0 0 0 0 0
cpu2 {busy2} 0 0 0 0 0 0 0 0 0
intr 12 3
"""


def readings(busy: int, idle: int) -> list[str]:
    """Return two readings; between them core 0 was busy and idle for so many ticks, core 2 always busy."""
    start = {"busy0": 100, "idle0": 50, "busy2": 0}
    end = {"busy0": 100 + busy, "idle0": 50 + idle, "busy2": 1000}
    return [STATISTICS.format(**each) for each in (start, end)]


def used(monkeypatch: pytest.MonkeyPatch, busy: int, cores: tuple[int, ...] = (0, 1)) -> None:
    """Let others be seen to use so many tenths of core 0, and all of core 2."""

    class Statistics:
        texts = readings(busy, 10 - busy)

        def read_text(self, encoding: str) -> str:
            return self.texts.pop(0)

    monkeypatch.setattr(waiting, "STATISTICS", Statistics())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores), raising=False)


def test_ticks_match_hand_values():
    """Must fail if waiting for a disk is busy, the sum of all cores a core, or a foreign core ours."""
    assert ticks(readings(0, 0)[0], {0, 1}) == {0: (126, 80), 1: (225, 500)}
    before, after = (ticks(text, {0, 1}) for text in readings(6, 4))
    assert taken(before, after) == pytest.approx({0: 0.6, 1: 0.0})


@pytest.mark.parametrize(
    ("busy", "flags", "environment", "policy"),
    [
        (9, "avx512f", {}, "passive"),
        (9, "amx_bf16", {}, None),
        (4, "avx512f", {}, None),
        (9, "avx512f", {"OMP_WAIT_POLICY": "active"}, "active"),
        (9, "avx512f", {"GOMP_SPINCOUNT": "7"}, None),
    ],
    ids=["beside others", "short operations", "idle", "own policy", "own spin count"],
)
def test_the_policy_follows_the_machine_unless_a_person_has_chosen(
    monkeypatch, tmp_path, busy, flags, environment, policy
):
    """Must fail if threads sleep on an idle machine or where bf16 is native, spin beside others otherwise, or
    a choice is overwritten.
    """
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    monkeypatch.setattr(waiting, "CPU", tmp_path / "cpuinfo")

    used(monkeypatch, busy)
    settle(environment)
    assert environment.get("OMP_WAIT_POLICY") == policy


@pytest.mark.parametrize(
    ("busy", "cores", "said", "advised"),
    [
        (4, (0, 1), None, None),
        (9, (0, 1), "0.9 of 2 cores", "--cpu-list 1 "),
        (4, (0, 1, 2), "1.4 of 3 cores", "--cpu-list 0,1 "),
        (9, (0, 1, 2), "1.9 of 3 cores", "--cpu-list 1 "),
        (9, (0, 2), "1.9 of 2 cores", None),
    ],
)
def test_a_person_hears_which_cores_others_leave(monkeypatch, busy, cores, said, advised):
    """Must fail if an idle machine is warned of, or cores are advised that others use, or none."""
    used(monkeypatch, busy, cores)
    remark = waiting.remark()
    if said is None:
        assert remark is None
        return
    assert remark is not None and said in remark
    assert advised in remark if advised else "taskset" not in remark


def test_without_statistics_nothing_is_set(monkeypatch, tmp_path):
    """Must fail if another system than Linux ends in a traceback."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(waiting, "STATISTICS", tmp_path / "nothing")
    monkeypatch.setattr(waiting, "CPU", tmp_path / "nothing")
    environment: dict[str, str] = {}
    settle(environment)
    assert environment == {}
    assert waiting.remark() is None


def test_it_is_settled_before_torch_is_loaded_and_for_stages_alone():
    """Must fail if a stage loads torch first, where the setting comes too late; or importing a stage waits."""
    program = (
        "import sys; from unlearning.base import waiting;"
        "waiting.settle = lambda: print('settled', 'torch' in sys.modules); sys.argv[0] = {name!r};"
        "import stages.train_original"
    )
    for name, said in (("-m", "settled False"), ("pytest", "")):
        done = subprocess.run(
            [sys.executable, "-c", program.format(name=name)],
            cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == said


def test_a_stage_and_what_it_starts_run_the_library_of_their_own_folder(tmp_path):
    """Must fail if it is the installed one's, which in a worktree or an experiment's copy is another folder's.

    Without sys.path or without PYTHONPATH one of both is.
    """
    shutil.copytree(ROOT / "src", tmp_path / "own/src")
    (tmp_path / "own/stages").mkdir()
    shutil.copy(ROOT / "stages/__init__.py", tmp_path / "own/stages")
    (tmp_path / "own/stages/told.py").write_text(
        "import os, unlearning\nprint(unlearning.__file__, flush=True)\n"
        "os.system('python -c \"import unlearning; print(unlearning.__file__)\"')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "stages.told"], cwd=tmp_path / "own",
        env=ENVIRONMENT | {"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(tmp_path / "own/src/unlearning/__init__.py")] * 2


def test_garbage_is_not_looked_for_in_what_a_stage_imports(tmp_path):
    """Must fail if a stage's start looks through its imports, leaves its own garbage, or at the end theirs."""
    program = (
        "import gc, sys; sys.argv[0] = '-m'; import stages; from unlearning.base import stage;"
        "tell = lambda: print(gc.isenabled(), gc.get_freeze_count() > 0);"
        "tell(); stage.run('any', tell); tell()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["False", "False", "True", "True", "True", "False"]
