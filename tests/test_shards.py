"""Images in shards against one array: the same images by the same rows, and files that change alone."""

import errno
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from unlearning.base import shards
from unlearning.base.errors import UserError
from unlearning.base.shards import Shards

SIDE = 8
BYTES = 3 * SIDE**2


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shard have 5 to 80 images, 20 on average."""
    monkeypatch.setattr(shards, "MEAN_BYTES", 20 * BYTES)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def write(folder: Path, images: np.ndarray) -> Path:
    with shards.writer(folder, SIDE) as out:
        for image in images:
            out.add(image.tobytes(), hashlib.sha256(image.tobytes()).hexdigest())
    return folder


def digests(folder: Path) -> set[str]:
    return {hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.npy")}


def lengths(folder: Path) -> list[int]:
    return [len(np.load(file)) for file in sorted(folder.glob("*.npy"))]


def test_rows_are_those_of_one_array(tmp_path):
    """Must fail if a row at the edge of a shard is its neighbour's, or the order is not as asked."""
    images = pictures(300)
    packed = Shards(write(tmp_path / "images", images))
    assert len(lengths(tmp_path / "images")) > 5
    assert packed.shape == images.shape and len(packed) == 300
    rows = np.random.default_rng(1).integers(0, 300, 1000)
    assert (packed[rows] == images[rows]).all()
    assert all((packed[row] == images[row]).all() for row in range(300))
    assert packed[np.array([], dtype=int)].shape == (0, SIDE, SIDE, 3)
    packed[7][:] = 0
    assert (packed[7] == images[7]).all()  # what is handed out is a copy


@pytest.mark.parametrize("row", [-1, 300])
def test_a_row_beyond_the_images_is_no_image(tmp_path, row):
    """Must fail if row -1 is read as the last of some shard."""
    packed = Shards(write(tmp_path / "images", pictures(300)))
    with pytest.raises(IndexError, match="there are 300 images"):
        packed[np.array([5, row])]


def test_shards_are_neither_tiny_nor_huge(tmp_path):
    """Must fail if a bound is passed, or shards end where the number of images says."""
    found = lengths(write(tmp_path / "images", pictures(4000)))
    assert sum(found) == 4000
    assert all(5 <= length <= 80 for length in found[:-1])
    assert 15 < np.mean(found) < 25 and len(set(found)) > 10
    for digest, length in (("0" * 64, 5), ("1" * 64, 80)):  # each says so, none does
        with shards.writer(tmp_path / "same", SIDE) as out:
            for _ in range(200):
                out.add(bytes(BYTES), digest)
        assert set(lengths(tmp_path / "same")[:-1]) == {length}


@pytest.mark.parametrize("place", [0, 1000, 2000])
def test_images_added_together_change_few_shards(tmp_path, place):
    """Must fail if a shard's end depends on how many images lie before it."""
    images = pictures(2000)
    before = digests(write(tmp_path / "before", images))
    more = np.concatenate([images[:place], pictures(30, seed=1), images[place:]])
    after = digests(write(tmp_path / "after", more))
    assert len(before - after) <= 3
    assert len(after - before) <= 3 + 30 / 5


def test_blanked_rows_are_zeros_and_links_stay_whole(tmp_path):
    """Must fail if another row is changed, or a file that the cache holds under the same inode."""
    images = pictures(200)
    packed = Shards(write(tmp_path / "images", images))
    cache = tmp_path / "cache"
    cache.mkdir()
    for file in (tmp_path / "images").iterdir():
        (cache / file.name).hardlink_to(file)
    rows = np.array([0, 3, 77, 199])
    packed.blank(rows)
    left, expected = packed[np.arange(200)], images.copy()
    expected[rows] = 0
    assert (left == expected).all()
    assert (Shards(cache)[np.arange(200)] == images).all()
    assert not list((tmp_path / "images").glob(".*"))


def test_a_failure_leaves_the_images_of_before(tmp_path):
    """Must fail if the folder is written in place."""
    images = pictures(50)
    folder = write(tmp_path / "images", images)
    with pytest.raises(RuntimeError), shards.writer(folder, SIDE) as out:
        out.add(bytes(BYTES), "0" * 64)
        raise RuntimeError
    assert (Shards(folder)[np.arange(50)] == images).all()
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_a_disk_that_is_full_at_the_end_of_a_shard_is_said_once(tmp_path, monkeypatch):
    """Must fail if the shard that could not be ended is ended again: "I/O operation on closed file"."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shards, "MEAN_BYTES", 12)
    monkeypatch.setattr("os.fsync", full)
    with (
        pytest.raises(UserError, match="No space left"),
        shards.writer(tmp_path / "x", 2) as images,
    ):
        images.add(bytes(12), "0" * 64)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "00001.npy").unlink(), "does not hold all images"),
        (lambda folder: [file.unlink() for file in folder.iterdir()], "does not hold all images"),
        (
            lambda folder: np.save(folder / "00001.npy", np.zeros((2, 4, 4, 3), np.uint8)),
            "another size",
        ),
        (lambda folder: np.save(folder / "00000.npy", np.zeros((0, 8, 8, 3), np.uint8)), "holds"),
    ],
    ids=["one missing", "none", "another size", "an empty one"],
)
def test_shards_that_are_not_whole_are_refused(tmp_path, harm, said):
    """Must fail if rows behind a missing shard are read from the next."""
    folder = write(tmp_path / "images", pictures(200))
    harm(folder)
    with pytest.raises(UserError, match=said):
        Shards(folder)


def test_more_shards_than_files_that_may_be_open(tmp_path, monkeypatch):
    """Must fail if each shard that was read stays open: a process may have some thousand files."""
    images = pictures(600)
    write(tmp_path / "images", images)
    monkeypatch.setattr(shards, "OPEN_AT_ONCE", 4)
    packed = Shards(tmp_path / "images")
    assert (packed[np.arange(600)] == images).all()
    held = re.findall(r"images/\d+\.npy", Path("/proc/self/maps").read_text())
    assert len(set(held)) <= 4 < len(lengths(tmp_path / "images"))
