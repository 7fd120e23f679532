"""A folder of photographs through DVC: what changes in it is seen, and a refusal costs nothing."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_project import TINY, make_clone, run, stages_run

from unlearning.base.errors import UserError
from unlearning.base.files import read_table
from unlearning.certificate import workspace

CLASSES = ("cat", "cow", "elephant")


def draw(folder: Path, numbers: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng([*os.fsencode(folder.name), number]).integers(
            0, 255, (40, 40, 3)
        )
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone beside `photos`, whose class folders are links into `store`, split once."""
    top = tmp_path_factory.mktemp("folder")
    for name in CLASSES:
        draw(top / "store" / name, range(4))
        (top / "photos").mkdir(exist_ok=True)
        (top / "photos" / name).symlink_to(top / "store" / name)
    (top / "clone").mkdir()
    clone = make_clone(
        top / "clone",
        {key: TINY[key] for key in ("image_size: .*",)}
        | {"source: .*": "source: folder", "  path: .*": "  path: ../photos"},
    )
    # What follows is not asked for.
    graph = (clone / "dvc.yaml").read_text()
    (clone / "dvc.yaml").write_text(graph[: graph.index("  train_original:")])
    assert stages_run(split(clone)) == {"check_request", "prepare_data", "split_dataset"}
    return clone


def split(clone: Path, fails: bool = False) -> str:
    return run(clone, "dvc", "repro", fails=fails)


def kept(clone: Path) -> dict[str, str]:
    """Return the hash of every output and of dvc.lock."""
    files = [clone / "dvc.lock", *(clone / "data").rglob("*"), *(clone / "metrics").rglob("*")]
    return {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()
    }


def only(folder: Path, count: int) -> None:
    for file in sorted(folder.iterdir())[count:]:
        file.unlink()


Break = tuple[Callable[[Path, Path], object], str]
BREAKS: dict[str, Break] = {
    "deleted": (lambda photos, store: (photos / "elephant").unlink(), "forget.classes names 'elephant'"),
    "renamed": (
        lambda photos, store: (photos / "elephant").rename(photos / "elefant"), "did you mean 'elefant'"
    ),
    "shrunk": (lambda photos, store: only(store / "elephant", 2), "class 'elephant' has 2"),
    "emptied": (lambda photos, store: only(store / "elephant", 0), "'elephant' holds no file"),
    "all emptied": (lambda photos, store: [(photos / name).unlink() for name in CLASSES], "it holds no folder"),
    "a class name that is no UTF-8": (
        lambda photos, store: draw(photos / os.fsdecode(b"\xff"), range(4)), "a byte that is no UTF-8"
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", BREAKS)
def test_a_refusal_leaves_every_output_as_it_was(clone, change):
    """Must fail if the guard does not run when the folder alone has changed, or loses its own output."""
    photos, store, backup = (clone.parent / name for name in ("photos", "store", "backup"))
    for folder in (photos, store):
        shutil.copytree(folder, backup / folder.name, symlinks=True)
    before = kept(clone)
    break_it, said = BREAKS[change]
    try:
        break_it(photos, store)
        shown = split(clone, fails=True)
    finally:
        for folder in (photos, store):
            shutil.rmtree(folder)
            (backup / folder.name).rename(folder)
    assert said in shown
    assert "Traceback" not in shown
    assert stages_run(shown) == {"check_request"}
    assert kept(clone) == before


def test_what_changes_behind_a_link_is_seen_once(clone):
    """Must fail if pictures that were taken away stay in training, or an unchanged folder is packed again."""
    elephants = clone.parent / "store/elephant"
    (elephants / "3.png").unlink()
    with pytest.raises(UserError, match="are not those of the last run"):
        workspace.require_in_step(clone)
    assert "prepare_data" in stages_run(split(clone))
    assert "elephant/3.png" not in set(read_table(clone / "data/samples.csv")["path"])
    workspace.require_in_step(clone)
    assert stages_run(split(clone)) == {"check_request"}


def test_a_pipe_and_a_name_that_is_no_utf_8_are_skipped_and_named(clone):
    """Must fail if DVC hashes the folder: it waits at the pipe and fails at the name."""
    cats = clone.parent / "store/cat"
    os.mkfifo(cats / "pipe.png")
    shutil.copy(cats / "0.png", cats / os.fsdecode(b"\xff.png"))
    split(clone)
    skipped = read_table(clone / "data/skipped.csv")
    assert dict(zip(skipped["path"], skipped["reason"], strict=True)) == {
        "cat/pipe.png": "no file, but a folder, pipe, socket or device",
        "cat/\\udcff.png": "its name is not valid UTF-8",
    }
    assert json.loads((clone / "metrics/prepare_data.json").read_text())["skipped"] == 2
