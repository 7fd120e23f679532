"""Reference models that are trained at once: as one after the other on as many threads, stopped and resumed."""

import dataclasses
import math
import os
import shutil
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from test_any_model import split_photographs
from test_copies import write_params

from stages import retrain, train_original
from unlearning.base import cores
from unlearning.base.errors import UserError
from unlearning.base.stage import TOLD
from unlearning.models import references
from unlearning.models.references import Reference
from unlearning.running.hardware import Hardware


def test_a_control_is_trained_on_what_no_earlier_request_took_out(data):
    """Must fail if images of an earlier request enter a training, or those of this one are left out."""
    roles = data.roles.astype("U9")
    roles[:4] = ["earlier", "withdrawn", "forget", "retain"]
    subsets = np.full(len(roles), "train")
    changed = dataclasses.replace(data, roles=roles, subsets=subsets)
    assert Reference(1, is_control=True).images(changed)[:3].tolist() == [1, 2, 3]
    assert Reference(1).images(changed)[0] == 3
    assert len(changed.trainable) == len(roles) - 1


@pytest.fixture(scope="module", autouse=True)
def own_server() -> None:
    """Fork processes from one that has imported what they need, as a stage does, not from earlier tests'."""
    forkserver._forkserver._stop()


KNOBS = {"model__name": "timm/test_vit", "original__epochs": 2, "retrain__seeds": [1, 2, 5]}
MADE = ("models/retrained", "models/controls", "metrics/retrain.json", "plots/retrain.csv")


@pytest.fixture
def prepared(tmp_path, monkeypatch, restored_torch) -> Path:
    """Return a project whose images are split, as the current folder; one core counts as two."""
    split_photographs(tmp_path, monkeypatch, **KNOBS)
    core = min(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: [core, core])
    return tmp_path


def made() -> dict[str, bytes]:
    """Return the bytes of every file that the stage wrote."""
    files = [
        file for place in MADE for file in (Path(place), *Path(place).glob("*")) if file.is_file()
    ]
    return {str(file): file.read_bytes() for file in files}


def forget_made() -> None:
    shutil.rmtree("scratch")
    for place in MADE:
        shutil.rmtree(place) if Path(place).is_dir() else Path(place).unlink()


@pytest.mark.parametrize(
    "knobs",
    [
        {"retrain__seeds": [4, 3]},
        {"retrain__seeds": [3], "model__weights": "models/original.safetensors"},
    ],
)
def test_at_once_the_same_models_come_out_as_one_after_the_other(
    knobs, prepared, monkeypatch, capsys
):
    """Must fail if seeds, images, losses or accuracies are mixed up; the control is one of two, too."""
    if "model__weights" in knobs:
        train_original.main()
    write_params(prepared, **KNOBS | knobs)
    monkeypatch.setattr(references, "WORTH", 0)
    capsys.readouterr()
    retrain.main()
    said, at_once = capsys.readouterr().out, made()
    assert sum(name.endswith(".safetensors") for name in at_once) == 2
    assert said.count("retrain: seed 3 epoch 2 loss") == 1

    forget_made()
    monkeypatch.setattr(cores, "available", lambda: 1)
    monkeypatch.setattr(cores, "at_once", None)
    retrain.main()
    assert made() == at_once


@pytest.mark.parametrize("worth", [0, math.inf])
def test_one_more_seed_trains_one_more_model(worth, prepared, monkeypatch):
    """Must fail if finished ones are trained again, for another original too, or other bytes come out.

    At once, on two cores, the third is alone, with two threads.
    """
    monkeypatch.setattr(references, "WORTH", worth)
    monkeypatch.delenv(cores.THREADS, raising=False)
    write_params(prepared, **KNOBS | {"retrain__seeds": [1, 2]})
    retrain.main()
    models = {name: each for name, each in made().items() if "retrained/" in name}
    ends = {file: file.stat().st_mtime_ns for file in Path("scratch").glob("finished-*/*")}
    assert len(ends) == 2

    write_params(prepared, **KNOBS | {"original__seed": 7})
    retrain.main()
    assert len(list(Path("scratch").glob("finished-*/*"))) == 3
    assert {file: file.stat().st_mtime_ns for file in ends} == ends
    taken_up = made()
    assert models.items() <= taken_up.items()

    forget_made()
    write_params(prepared, **KNOBS)
    retrain.main()
    assert made() == taken_up


def test_of_several_processes_the_first_writes_given_references(prepared, monkeypatch):
    """Must fail if each writes the same files under one temporary name."""
    train_original.main()
    given = ["models/original.safetensors"]
    write_params(prepared, **KNOBS | {"retrain__seeds": [], "retrain__weights": given})
    with monkeypatch.context() as by_torchrun:
        for name in TOLD:
            by_torchrun.setenv(name, "2")
        retrain.main()
        assert not Path("models/retrained").exists() and not Path("metrics/retrain.json").exists()
    retrain.main()
    assert Path("models/retrained/1.safetensors").exists()


def test_three_are_trained_on_two_cores_and_told_in_order(prepared, monkeypatch):
    """Must fail if the third is forgotten, or the series follows who is first."""
    monkeypatch.setattr(references, "WORTH", 0)
    retrain.main()
    rows = Path("plots/retrain.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [[s, e] for s in "125" for e in "12"]
    assert {file.stem for file in Path("models/retrained").glob("*.safetensors")} == set("125")


def test_one_that_is_killed_ends_all_and_all_go_on(prepared, monkeypatch, capsys):
    """Must fail if it goes unnoticed, another lives on, or the end is another than undisturbed.

    Or if the advice for short memory, one core, begins anew.
    """
    write_params(prepared, **KNOBS | {"original__epochs": 40, "retrain__seeds": [1, 2]})
    monkeypatch.setattr(references, "WORTH", 0)
    retrain.main()
    undisturbed = made()
    forget_made()
    workers: list[psutil.Process] = []

    def hear(said: str) -> None:
        if " epoch 2 " in said and not workers:
            # Children of the server that they are forked from.
            for child in psutil.Process().children():
                workers.extend(child.children())
            workers[-1].kill()

    monkeypatch.setattr(references, "say", hear)
    with pytest.raises(UserError, match=r"process \d of 2 ended .*OMP_NUM_THREADS=1 taskset"):
        retrain.main()
    assert not psutil.wait_procs(workers, timeout=10)[1]

    monkeypatch.setattr(references, "say", print)
    shutil.copytree("scratch", "kept")
    capsys.readouterr()
    retrain.main()
    assert "going on after epoch" in capsys.readouterr().out
    assert made() == undisturbed

    forget_made()
    shutil.copytree("kept", "scratch", dirs_exist_ok=True)
    core = min(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: [core])
    monkeypatch.setenv(cores.THREADS, "1")
    retrain.main()
    assert "going on after epoch" in capsys.readouterr().out
    assert made() == undisturbed


@pytest.mark.parametrize(
    ("change", "faster"),
    [
        ({}, True),
        ({"processes": "auto"}, True),
        ({"trainings": 1}, False),
        ({"passes": 100}, False),
        ({"processes": 2}, False),
    ],
)
def test_when_trainings_take_a_process_each(change, faster, cpu, monkeypatch):
    """Must fail if one training, a short one, or one that several processes share is given a process."""
    monkeypatch.setattr(cores, "available", lambda: 2)
    asked = {"trainings": 2, "passes": 10_000, "image_size": 64, "device": cpu, "processes": 1}
    assert references.is_faster_at_once(**asked | change) == faster
    with monkeypatch.context() as by_torchrun:
        for name in TOLD:
            by_torchrun.setenv(name, "2")
        assert not references.is_faster_at_once(**asked | change)
    monkeypatch.setattr(cores, "available", lambda: 1)
    assert not references.is_faster_at_once(**asked | change)


def test_on_a_gpu_trainings_come_one_after_the_other(monkeypatch):
    """Must fail if two share a GPU: one keeps it busy, and both must fit."""
    monkeypatch.setattr(cores, "available", lambda: 2)
    gpu = Hardware(torch.device("cuda"), bf16=True)
    assert not references.is_faster_at_once(2, 10_000, 64, gpu, 1)
