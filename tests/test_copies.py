"""Images to be forgotten that stand under a class to keep as well are found, named, and leave training."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance
from test_settings import forgetting, write_params

from stages import (
    adversarial_train,
    check_request,
    init_models,
    prepare_data,
    retrain,
    split_dataset,
    train_original,
)
from unlearning.base import cores, progress, shards
from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics, read_table
from unlearning.base.shards import Shards
from unlearning.data import copies, dataset
from unlearning.data.dataset import Dataset
from unlearning.settings.forget import ForgetParams
from unlearning.sources import drawn

ROOT = Path(__file__).parents[1]
SIDE = 64


def pictures_of(count: int, seed: int = 0) -> list[Image.Image]:
    """Return so many different pictures, of all species in turn."""
    return [
        drawn.draw(drawn.SPECIES[i % len(drawn.SPECIES)], np.random.default_rng([seed, i]))
        for i in range(count)
    ]


def packed(pictures: list[Image.Image]) -> np.ndarray:
    """Return the pictures as prepare_data packs them."""
    sized = [picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR) for picture in pictures]
    return np.stack([np.asarray(picture) for picture in sized])


def encoded(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def scaled(picture: Image.Image, by: float) -> Image.Image:
    return picture.resize((round(picture.width * by), round(picture.height * by)))


def cropped(picture: Image.Image, share: float) -> Image.Image:
    x, y = (round(side * share / 2) for side in picture.size)
    return picture.crop((x, y, picture.width - x, picture.height - y))


def mirrored(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def table(images: np.ndarray, *classes: str) -> pd.DataFrame:
    """Return samples.csv's columns that matter, an image per class."""
    pixels = [image.tobytes().hex() for image in images]
    ids = range(len(classes))
    paths = [f"{name}/{i}.png" for i, name in enumerate(classes)]
    return pd.DataFrame({"id": ids, "path": paths, "pixels": pixels, "class": classes})


FORGET = forgetting(classes=["elephant"])


def find(samples: pd.DataFrame, images: np.ndarray, forget: ForgetParams) -> pd.DataFrame:
    """Return the copies of a request for whole classes."""
    return copies.find(samples, images, samples["class"].isin(forget.classes).to_numpy(), forget)


@pytest.mark.parametrize(
    ("alter", "kind"),
    [
        (lambda picture: encoded(picture, 50), "near copy"),
        (lambda picture: encoded(picture, 95), "near copy"),
        (lambda picture: scaled(picture, 1 / 2), "near copy"),
        (lambda picture: scaled(picture, 1 / 3), "near copy"),
        (lambda picture: scaled(picture, 2), "near copy"),
        (lambda picture: ImageEnhance.Brightness(picture).enhance(1.1), "near copy"),
        (lambda picture: ImageEnhance.Brightness(picture).enhance(0.9), "near copy"),
        (lambda picture: cropped(picture, 0.05), "near copy"),
        (lambda picture: mirrored(picture), "near copy, mirrored"),
        (lambda picture: scaled(encoded(mirrored(picture), 75), 1 / 2), "near copy, mirrored"),
    ],
    ids=[
        "JPEG 50", "JPEG 95", "half", "third", "double", "brighter", "darker", "cropped", "mirrored",
        "mirrored, JPEG 75, half",
    ],
)  # fmt: skip
def test_an_altered_copy_under_a_kept_class_is_found(
    alter: Callable[[Image.Image], Image.Image], kind: str
):
    """Must fail if MOST_BITS falls to 15, no mirror image is hashed, or another image is said to be shown."""
    pictures = pictures_of(10)
    altered = [alter(picture) for picture in pictures]
    images = packed([*pictures, *altered])
    samples = table(images, *["elephant"] * 10, *["cat", "dog"] * 5)

    found = find(samples, images, FORGET).set_index("id")

    assert sorted(found.index) == list(range(10, 20))
    assert found["shows"].to_dict() == {number: number - 10 for number in range(10, 20)}
    assert set(found["kind"]) == {kind}
    assert set(found["treatment"]) == {"kept"}
    assert found.loc[11, "path"] == "dog/11.png"
    assert found.loc[11, "shows_path"] == "elephant/1.png"
    assert copies.count(found.reset_index()) == {
        "equal_pixels": 0, "near_copies": 10,
    }  # fmt: skip


def test_different_pictures_are_no_copies():
    """Must fail if MOST_BITS is raised to 90: drawings of one kind look alike by construction."""
    images = packed(pictures_of(120, seed=1))
    names = [drawn.SPECIES[i % len(drawn.SPECIES)] for i in range(120)]
    assert find(table(images, *names), images, FORGET).empty


def test_equal_pixels_are_found_under_every_kept_class_and_no_class_to_forget():
    """Must fail if one of several kept classes is passed over, or copies between classes to forget are named.

    Or if an image's row is taken for its id.
    """
    first, second, other, more = packed(pictures_of(4))
    images = np.stack([more, second, first, first, second, second, other, first])
    names = ("horse", "cat", "dog", "elephant", "elephant", "elephant", "cat", "ant")
    samples = table(images, *names).assign(id=range(100, 108))
    forget = forgetting(classes=["elephant", "ant"])

    found = find(samples, images, forget)

    assert found["id"].tolist() == [101, 102]
    assert found["shows"].tolist() == [104, 103]
    assert set(found["kind"]) == {"equal pixels"}
    assert copies.withdrawn(found) == {101: 104, 102: 103}
    assert copies.count(found) == {"equal_pixels": 2, "near_copies": 0}


@pytest.mark.parametrize("equal_pixels", ["withdraw", "keep"])
@pytest.mark.parametrize("near_copies", ["list", "withdraw"])
def test_the_parameters_choose_what_is_withdrawn(equal_pixels, near_copies):
    """Must fail if a parameter is ignored, or the one for equal pixels decides on near copies too."""
    picture, other = pictures_of(2)
    images = packed([picture, picture, encoded(picture, 60), other, encoded(picture, 60)])
    samples = table(images, "elephant", "cat", "dog", "dog", "cow")
    forget = forgetting(classes=["elephant"], equal_pixels=equal_pixels, near_copies=near_copies)
    found = find(samples, images, forget)
    assert found["id"].tolist() == [1, 2, 4]
    expected = {1} if equal_pixels == "withdraw" else set()
    expected |= {2, 4} if near_copies == "withdraw" else set()
    assert set(copies.withdrawn(found)) == expected


def test_the_nearest_of_many_is_found_whatever_is_compared_at_once(monkeypatch):
    """Must fail if a chunk's places are off, a word of the hash is left out, or not the first one is taken."""
    random = np.random.default_rng(0)
    originals, others = (
        random.integers(0, 2**64, (n, copies.HASH_WORDS), dtype=np.uint64) for n in (13, 50)
    )
    originals[5] = originals[2]
    others[7] = originals[5] ^ np.uint64(1)
    bits = [[sum(int(a ^ b).bit_count() for a, b in zip(mine, each, strict=True)) for each in originals]
            for mine in others]  # fmt: skip
    for at_once in (1, 40, 2**20):
        monkeypatch.setattr(copies, "PAIRS_AT_ONCE", at_once)
        places, distances = copies.nearest(originals, others)
        assert places.tolist() == [row.index(min(row)) for row in bits]
        assert distances.tolist() == [min(row) for row in bits]
    assert places[7] == 2
    assert distances[7] == copies.HASH_WORDS
    assert [len(each) for each in copies.nearest(originals, others[:0])] == [0, 0]


def test_pairs_are_compared_by_several_processes_as_by_one_and_told(monkeypatch):
    """Must fail if the order of parts is lost, one core does it all, or nobody hears how far it is."""
    random = np.random.default_rng(0)
    originals, others = (
        random.integers(0, 2**64, (n, copies.HASH_WORDS), dtype=np.uint64) for n in (13, 50)
    )
    alone = copies.nearest(originals, others)
    monkeypatch.setattr(cores, "available", lambda: 2)
    monkeypatch.setattr(copies, "PAIRS_AT_ONCE", 13 * 4)
    monkeypatch.setattr(copies, "PARTS_AT_ONCE", 2)
    servers, server = [], cores._server
    monkeypatch.setattr(cores, "_server", lambda work: servers.append(work) or server(work))
    told: list[progress.Done] = []
    monkeypatch.setattr(progress, "_listener", told.append)
    assert np.array_equal(copies.nearest(originals, others), alone)
    assert len(servers) == 1
    assert [done.more for done in told] == [4] * 12 + [2]


def test_a_request_for_no_image_has_no_copies():
    """Must fail if it ends in a division by the images to forget before `roles` says that there are none."""
    images = packed(pictures_of(2))
    found = find(table(images, "cat", "dog"), images, FORGET)
    assert found.empty and tuple(found.columns) == copies.COLUMNS


def test_samples_and_images_of_different_runs_are_refused():
    """Must fail if a missing image ends in a traceback."""
    images = packed(pictures_of(2))
    with pytest.raises(UserError, match="do not belong together"):
        find(table(images, "elephant", "cat"), images[:1], FORGET)


def shared_folder(root: Path, other: str, shared: int) -> Path:
    """Write three classes of twelve pictures; of the elephants so many stand under `other` as well."""
    for k, name in enumerate(("cat", "cow", "elephant")):
        (root / name).mkdir(parents=True)
        for i in range(12):
            noise = np.random.default_rng([k, i]).integers(0, 120, (40, 40, 3), np.uint8)
            noise[..., k] += 120
            Image.fromarray(noise).save(root / name / f"{i}.png")
    (root / other).mkdir(exist_ok=True)
    for i in range(shared):
        shutil.copy(root / "elephant" / f"{i}.png", root / other / f"from_elephant_{i}.png")
    return root


def project(folder: Path, **params: object) -> None:
    """Make the folder look like the project's root to a stage that notes what it was made from."""
    for name in ("src", "stages", "dvc.yaml"):
        (folder / name).symlink_to(ROOT / name)
    write_params(folder, **params)


def test_no_stage_but_the_originals_training_reads_an_image_that_was_withdrawn(
    tmp_path, monkeypatch, restored_torch
):
    """Must fail if copies keep the role retain, or retraining or the game reads withdrawn ones.

    Or if the original is no longer trained on what it is to forget.
    """
    monkeypatch.chdir(tmp_path)
    shared_folder(tmp_path / "photos", "cat", 8)
    project(tmp_path, retrain__seeds=[1], original__epochs=1, epochs=1)
    check_request.main()
    prepare_data.main()
    split_dataset.main()
    images = dataset.load("data")
    chosen = set(images.select(role="withdrawn").tolist())
    named = [images.paths[index] for index in chosen]
    assert sorted(named) == [f"cat/from_elephant_{i}.png" for i in range(8)]
    assert images.forget_labels == [images.classes.index("elephant")]

    read: set[int] = set()
    pixels = Dataset.pixels

    def noting(self, indices):
        read.update(indices.tolist())
        return pixels(self, indices)

    monkeypatch.setattr(Dataset, "pixels", noting)
    train_original.main()
    assert set(images.select(subset="train").tolist()) <= read
    assert chosen & read
    for stage in (retrain, init_models, adversarial_train):
        read.clear()
        stage.main()
        assert not chosen & read, stage.__name__
        assert read or stage is init_models

    counts = read_metrics("metrics/split_dataset.json")
    assert counts["withdrawn"] == 8
    assert counts["copies"]["equal_pixels"] == 8
    assert counts["forget_images_also_retained"] == 0
    listed = read_table("data/copies.csv")
    assert sorted(listed["path"]) == sorted(named)
    assert set(listed["shows_class"]) == {"elephant"}


def test_keep_leaves_the_copies_in_training(tmp_path, monkeypatch):
    """Must fail if the parameter does not reach the split, or kept copies are not counted and listed."""
    monkeypatch.chdir(tmp_path)
    shared_folder(tmp_path / "photos", "cat", 6)
    write_params(tmp_path, forget__equal_pixels="keep")
    check_request.main()
    prepare_data.main()
    split_dataset.main()
    counts = read_metrics("metrics/split_dataset.json")
    assert counts["withdrawn"] == 0
    assert counts["forget_images_also_retained"] == 6
    assert counts["copies"]["equal_pixels"] == 6
    assert set(read_table("data/copies.csv")["treatment"]) == {"kept"}


@pytest.mark.parametrize("other", ["animals", "grey_animals"])
def test_a_class_that_holds_nothing_but_images_to_forget_is_refused(tmp_path, monkeypatch, other):
    """Must fail if it is left without images, or the line does not say why, or the class's name decides."""
    monkeypatch.chdir(tmp_path)
    shared_folder(tmp_path / "photos", other, 12)
    write_params(tmp_path)
    check_request.main()
    prepare_data.main()
    with pytest.raises(UserError) as caught:
        split_dataset.main()
    said = str(caught.value)
    # Of two classes of one size the first has the images that both show.
    without = max(other, "elephant")
    assert f"class {without!r} has 0 distinct images" in said
    assert "12 more files show the same as these, or as another class" in said
    assert "\n" not in said
    assert not Path("data/split.csv").exists()


def test_the_hash_sees_both_directions():
    """Must fail if rows or columns are left out, or compared twice."""
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[:, None, None], (SIDE, SIDE, 3))
    images = np.stack([ramp, ramp.transpose(1, 0, 2)])
    bits = np.unpackbits(copies.hashes(images, [(0, False), (1, False)]).view(np.uint8), axis=1)
    neighbours = bits[:, copies.FREQUENCIES**2 :][:, : 2 * copies.NEIGHBOURS**2]
    along, across = np.split(neighbours, 2, axis=1)
    assert along.mean(axis=1).tolist() == [0, 1]
    assert across.mean(axis=1).tolist() == [1, 0]


def test_many_are_hashed_by_several_processes_as_by_one(tmp_path, monkeypatch):
    """Must fail if the order is lost between processes, or which of them are mirrored."""
    images = np.random.default_rng(0).integers(0, 256, (10, SIDE, SIDE, 3), dtype=np.uint8)
    with shards.writer(tmp_path / "images", SIDE) as out:
        for number, image in enumerate(images):
            out.add(image.tobytes(), f"{number:064x}")
    rows = [7, 0, 9, 3, 1, 1, 8]
    views = [(row, mirror) for row in rows for mirror in (False, True)]
    alone = copies.hashes(images, views)
    assert (alone[::2] != alone[1::2]).any()

    monkeypatch.setattr(cores, "available", lambda: 2)
    monkeypatch.setattr(copies, "HASHED_AT_ONCE", 2)
    together = copies.hashes(Shards(tmp_path / "images"), views)
    assert np.array_equal(alone, together)
