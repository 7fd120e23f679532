"""A killed training goes on where it was, and only where it belongs."""

import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from conftest import COLOURS, play, tiny_network
from test_methods import NAMES

from unlearning.base import cores, progress, tensors
from unlearning.base.errors import UserError
from unlearning.base.fingerprint import sha256
from unlearning.base.progress import Done, silent
from unlearning.base.stage import alone
from unlearning.methods.shared.game import Players
from unlearning.models import train as training
from unlearning.models.classifier import Classifier
from unlearning.models.discriminator import new_discriminator
from unlearning.models.train import train
from unlearning.running import resume
from unlearning.running.hardware import Hardware
from unlearning.running.resume import Checkpoint, scratch_folder
from unlearning.running.world import World


class KilledError(Exception):
    """Stands for SIGKILL: nothing catches it and nothing is cleaned up."""


class KilledAt:
    """A report that ends the run at the nth row."""

    def __init__(self, row: int):
        self.left = row

    def __call__(self, **values: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise KilledError


def same_tensors(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


@pytest.mark.parametrize("dropout", [None, 0.5])
def test_a_killed_training_ends_with_the_same_weights_and_curve(
    dropout, data, make_original, cpu, rows, tmp_path
):
    """Must fail if weights, moments, learning rate, batch statistics or random numbers are not taken up.

    What dropout draws follows from the seed, not from what this process drew before.
    """

    def begun() -> Classifier:
        torch.rand(1)
        return tiny_network(0, dropout=dropout)

    images, params = data.select(subset="train"), make_original(epochs=4)
    whole = train(begun(), data, images, params, 3, cpu, rows)
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    for killed_at in (
        2,
        4,
    ):  # in its second epoch; then in its fourth, having gone on from the first
        with pytest.raises(KilledError):
            train(begun(), data, images, params, 3, cpu, KilledAt(killed_at), checkpoint)
    report = type(rows)()
    resumed = train(begun(), data, images, params, 3, cpu, report, checkpoint)
    assert same_tensors(resumed, whole)
    assert report.rows == rows.rows


class Apart(World):
    """One of two processes whose gradients nobody averages; it notes what dropout draws from, step by step."""

    seen: ClassVar[list[list[torch.Tensor]]] = []

    def network(self, model):
        self.seen.append([])
        model.register_forward_pre_hook(lambda *_: self.seen[-1].append(torch.get_rng_state()))
        return model

    def mean(self, value):
        return value


def test_each_process_has_draws_of_its_own_and_goes_on_with_them(
    data, make_original, cpu, tmp_path
):
    """Must fail if all processes draw the same, or take up what the first one would have drawn."""
    images, params = data.select(subset="train"), make_original(epochs=2)
    path = tmp_path / "state.safetensors"
    Apart.seen.clear()
    for rank, report in ((1, silent), (0, KilledAt(2)), (1, silent)):
        with nullcontext() if rank else pytest.raises(KilledError):
            model = tiny_network(0, dropout=0.5)
            train(model, data, images, params, 3, cpu, report, Checkpoint(path), Apart(rank, 2))
    whole, first, resumed = Apart.seen
    assert len(resumed) < len(whole)
    assert all(map(torch.equal, whole[-len(resumed) :], resumed))
    assert not any(map(torch.equal, whole, first))


def test_going_on_runs_only_what_is_missing(data, make_original, cpu, rows, tmp_path, monkeypatch):
    """Must fail if finished epochs are run again: the whole point of a checkpoint."""
    images, params = data.select(subset="train"), make_original(epochs=3)
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    train(tiny_network(0), data, images, params, 0, cpu, rows, checkpoint)
    monkeypatch.setattr(training, "shuffled_batches", lambda *_: pytest.fail("an epoch was run"))
    train(tiny_network(0), data, images, params, 0, cpu, rows, checkpoint)
    assert [row["epoch"] for row in rows.rows] == [1, 2, 3, 1, 2, 3]


def test_of_short_epochs_not_each_is_kept(tmp_path, monkeypatch):
    """Must fail if keeping takes more than its share, the first epoch is not kept, or a long one is not."""
    times = iter([0, 1, 10, 20.5, 21.5, 22.5, 40, 42.6, 43.6])  # keeping takes a second
    monkeypatch.setattr(resume, "time", SimpleNamespace(monotonic=lambda: next(times)))
    checkpoint = Checkpoint(tmp_path / "state.safetensors", share=0.05)
    kept = []
    for epoch in range(1, 7):
        checkpoint.save(epoch, [], {})
        kept.append(checkpoint.restore({})[0])
    assert kept == [1, 1, 1, 4, 4, 6]


@pytest.mark.parametrize("recipe", NAMES)
@pytest.mark.parametrize("dropout", [None, 0.5])
def test_a_killed_game_ends_with_the_same_networks_and_curve(
    recipe, dropout, make_data, make_game, make_network, cpu, rows, tmp_path, monkeypatch
):
    """Must fail if a player, its moments, its rate, the drawn mixtures or dropout's draws are not taken up.

    Or if what the auditor of members knows is not, who is silent where fewer than four images are held out.

    Or if rounds, which the curve gives in parts of an epoch, are called epochs, or those before are not told.
    """
    data = make_data(dict.fromkeys(COLOURS, 8), held_out=4)
    params = make_game(epochs=3, batch_size=4, lr=0.001)
    generator, original = (make_network(seed, dropout=dropout) for seed in (1, 0))
    players = Players(generator, original, new_discriminator(4, seed=2))
    whole = play(recipe, players, data, params, cpu, rows)
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    in_the_last_epoch = len(rows.rows)
    with pytest.raises(KilledError):
        play(recipe, players, data, params, cpu, KilledAt(in_the_last_epoch), checkpoint)
    report = type(rows)()
    heard: list[str | Done] = []
    monkeypatch.setattr(progress, "_listener", heard.append)
    resumed = play(recipe, players, data, params, cpu, report, checkpoint)
    assert same_tensors(resumed.generator, whole.generator)
    assert same_tensors(resumed.discriminator, whole.discriminator)
    assert report.rows == rows.rows
    assert resumed.epochs == whole.epochs
    unit, kept = "epoch" if recipe == "article" else "round", in_the_last_epoch - 1
    assert heard[0] == f"going on after {unit} {kept}, which an earlier run finished"
    assert heard[1:] == [Done(kept, earlier=True), Done(1, earlier=False)]
    assert resumed.image_passes == whole.image_passes
    assert resumed.flops == whole.flops


def test_a_large_state_is_taken_up(tmp_path, monkeypatch):
    """Must fail if what may be kept is larger than what is read: the run could not even begin anew."""
    monkeypatch.setattr(tensors, "MOST_BYTES", 10)
    Checkpoint(tmp_path / "state.safetensors").save(2, [], {})
    assert Checkpoint(tmp_path / "state.safetensors").restore({}) == (2, [])


@pytest.mark.parametrize("damage", ["empty", "cut", "another file"])
def test_a_checkpoint_that_cannot_be_read_is_left_aside(
    damage, data, make_original, cpu, rows, tmp_path, capsys
):
    """Must fail if a damaged checkpoint ends the run, or is used as far as it goes."""
    images, params = data.select(subset="train")[:8], make_original(epochs=2)
    path = tmp_path / "state.safetensors"
    whole = train(tiny_network(0), data, images, params, 0, cpu, rows, Checkpoint(path))
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": content[:-9], "another file": b"{}"}[damage])
    again = train(tiny_network(0), data, images, params, 0, cpu, rows, Checkpoint(path))
    assert same_tensors(again, whole)
    assert "starting from the first epoch" in capsys.readouterr().out


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the inputs of one stage, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(
        "stages:\n  train:\n    cmd: python\n    deps: [images, src/room]\n    params: [lr, model]\n"
    )
    Path("params.yaml").write_text("lr: 0.1\nmodel: {depth: 18}\nother: 1\n")
    Path("src/room").mkdir(parents=True)
    Path("src/room/code.py").write_text("1\n")
    Path("images").mkdir()
    Path("images/a").write_text("a")
    return tmp_path


def test_checkpoints_stay_until_the_stage_has_ended_well(project, cpu):
    """Must fail if an error throws the checkpoints away, or a finished stage leaves them lying."""
    with pytest.raises(KilledError), resume.session("train", cpu) as session:
        session.checkpoint("1").save(1, [], {})
        raise KilledError
    with resume.session("train", cpu) as session:
        assert session.checkpoint("1").restore({}) == (1, [])
        assert session.checkpoint("2").restore({}) == (0, [])
    assert [file.name for file in session.folder.iterdir()] == [resume.LOCK]


@pytest.mark.parametrize(
    ("file", "content", "goes_on", "same_inputs"),
    [
        ("images/a", "b", False, False),
        ("images/b", "a", False, False),
        ("src/room/code.py", "2\n", False, True),
        ("src/room/__pycache__/code.pyc", "2\n", True, True),
        ("params.yaml", "lr: 0.2\nmodel: {depth: 18}\nother: 1\n", False, False),
        ("params.yaml", "lr: 0.1\nmodel: {depth: 50}\nother: 1\n", False, False),
        ("params.yaml", "other: 2\nmodel: {depth: 18}\nlr: 0.1\n", True, True),
        ("notes.md", "not an input", True, True),
    ],
)
def test_a_checkpoint_belongs_to_data_parameters_and_code_and_weights_to_the_first_two(
    project, cpu, file, content, goes_on, same_inputs
):
    """Must fail if an input is left out, what is no input counts, or weights change with every edit of code."""
    with resume.session("train", cpu) as before:
        pass
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text(content)
    with resume.session("train", cpu) as after:
        pass
    assert (after.folder == before.folder) == goes_on
    assert (after.fingerprint == before.fingerprint) == same_inputs


@pytest.mark.parametrize(
    ("change", "is_taken_up"),
    [
        ("lr: 0.1\nmodel: {depth: 18}\nother: 1\n", True),
        ("lr: 0.1\nmodel: {depth: 50}\nother: 1\n", True),
        ("lr: 0.2\nmodel: {depth: 18}\nother: 1\n", False),
        ("lr: 0.1\nmodel: {depth: 18, width: 2}\nother: 1\n", False),
    ],
)
def test_what_is_finished_belongs_to_its_own_inputs(change, is_taken_up, project, cpu, monkeypatch):
    """Must fail if what is left out counts, others do not, or threads, processes or names are mixed up."""
    with resume.session("train", cpu, leave_out=("model.depth",)) as before:
        before.finished("1", 1).save(3, [], {})
    Path("params.yaml").write_text(change)
    with resume.session("train", cpu, leave_out=("model.depth",)) as session:
        assert session.finished("1", 1).restore({}) == ((3, []) if is_taken_up else (0, []))
        assert (
            session.finished("2", 1).restore({})[0] == session.finished("1", 2).restore({})[0] == 0
        )
        monkeypatch.setattr(cores, "threads", lambda: 99)
        assert session.finished("1", 1).restore({})[0] == 0
    assert (session.fingerprint == before.fingerprint) == is_taken_up


def test_what_another_process_is_writing_stays_its_own(tmp_path):
    """Must fail if two that finish the same training write under one temporary name."""
    theirs = tmp_path / ".end.part.safetensors"
    theirs.touch()
    Checkpoint(tmp_path / "end.safetensors").save(1, [], {})
    assert sorted(tmp_path.iterdir()) == [theirs, tmp_path / "end.safetensors"]


def test_a_checkpoint_belongs_to_its_hardware_but_the_fingerprint_does_not(project, cpu):
    """Must fail if bf16 goes on from fp32, or a model's file names the machine it was made on."""
    with resume.session("train", cpu) as before:
        pass
    with resume.session("train", Hardware(torch.device("cpu"), bf16=True)) as after:
        pass
    assert after.folder != before.folder
    assert after.fingerprint == before.fingerprint


def test_a_session_reads_each_input_once(project, cpu, monkeypatch):
    """Must fail if each of the fingerprints hashes all images anew: minutes of a large set."""
    read: list[str] = []
    monkeypatch.setattr(resume, "sha256", lambda path: read.append(str(path)) or sha256(path))
    with resume.session("train", cpu):
        pass
    assert sorted(read) == ["images/a", "src/room/code.py"]


def test_what_nobody_took_up_for_a_week_is_removed(project, cpu):
    """Must fail if checkpoints pile up, those of yesterday are lost, or an old folder of a person's goes."""
    week = resume.KEPT_DAYS * 24 * 3600
    old, new = (f"train-{resume._key(name)}" for name in ("old", "new"))
    yours = {"my-photos", "run-2024"}
    for name, age in ((old, week + 60), (new, week - 60), *((name, week + 60) for name in yours)):
        folder = project / "scratch" / name
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age,) * 2)
    with resume.session("train", cpu) as session:
        pass
    left = {folder.name for folder in (project / "scratch").iterdir()}
    assert left == {new, session.folder.name} | yours


def test_what_another_process_removes_first_is_passed_over(project, cpu, monkeypatch):
    """Must fail if an old folder that is gone by then ends the stage: "No such file"."""
    monkeypatch.setattr(Path, "glob", lambda folder, _pattern: iter([folder / "train-gone"]))
    with resume.session("train", cpu):
        pass


EXPERIMENT = """
import sys, torch
from unlearning.base import cores
from unlearning.running import resume
from unlearning.running.hardware import Hardware
with resume.session("train", Hardware(torch.device("cpu"), bf16=False)) as session:
    print("begun", session.checkpoint("1").restore({})[0], flush=True)
    session.checkpoint("1").save(1, [], {})
    sys.stdin.readline()
    session.checkpoint("1").save(2, [], {})
"""


def test_two_experiments_with_the_same_inputs_both_end_well(project):
    """Must fail if both train in one folder at the same time: each would lose what the other removes."""
    both = []
    for name in ("first", "second"):
        copy = project / ".dvc/tmp/exps" / name
        for part in ("dvc.yaml", "params.yaml", "src/room/code.py", "images/a"):
            (copy / part).parent.mkdir(parents=True, exist_ok=True)
            (copy / part).write_bytes((project / part).read_bytes())
        both.append(
            subprocess.Popen(
                [sys.executable, "-c", EXPERIMENT], cwd=copy, text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
        )  # fmt: skip
        if name == "first":
            assert both[0].stdout is not None and both[0].stdout.readline() == "begun 0\n"
    first, second = both
    assert second.stdout is not None
    said = second.stdout.readline()
    assert said.startswith("train: waiting for another experiment"), said
    assert f"process {first.pid}:" in said
    for each, lines in ((first, ""), (second, "begun 0\n")):
        assert each.communicate("go on\n", timeout=60) == (lines, "")
        assert each.returncode == 0


def test_a_temporary_experiment_keeps_its_checkpoints_in_the_project(tmp_path):
    """Must fail if they lie in the copy, which DVC throws away with its run."""
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmpabc"
    assert scratch_folder(copy) == tmp_path / "scratch"
    assert scratch_folder(tmp_path) == tmp_path / "scratch"


HOLD = """
import sys, time
from pathlib import Path
from unlearning.base.stage import alone
from unlearning.running.world import World
with alone("train", Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_an_orphan_is_named_and_its_death_frees_the_lock(tmp_path):
    """Must fail if two processes run one stage in one folder, or a killed one bars it for ever."""
    path = tmp_path / "scratch" / "train.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as orphan:
        assert orphan.stdout is not None and orphan.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError, match=rf"train is already running .* process {orphan.pid}:"),
            alone("train", path),
        ):
            pass
        orphan.kill()
    with alone("train", path):
        pass
