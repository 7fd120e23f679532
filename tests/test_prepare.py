"""Images are packed whole, in order and in little memory, or not at all; drawn ones are seeded."""

import errno
import hashlib
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import resnet
from PIL import Image
from test_settings import write_params
from test_tree import data_params

from stages import prepare_data
from unlearning.base import cores
from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics, read_table, write_table
from unlearning.base.shards import Shards
from unlearning.data import dataset, request
from unlearning.data.request import Request
from unlearning.models import weights
from unlearning.settings.data import DataParams
from unlearning.sources import pack as packing
from unlearning.sources.decode import decode
from unlearning.sources.depth import Depth
from unlearning.sources.folder import DRAWING, list_images


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def photos(root: Path, per_class: int = 4, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            picture(1000 * k + i).save(root / name / f"{i:04d}.png")
    return root


def pack(root: Path, out: Path, **changes: object) -> dict:
    params = data_params(**changes)
    return packing.pack(list_images(params, root), root, params, out).metrics()


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "available", lambda: 1)


def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "available", lambda: 2)


def test_rows_are_the_decoded_files_in_listed_order(tmp_path):
    """Must fail if a row is shifted against its line, or a digest is of something else."""
    root = photos(tmp_path / "photos")
    counts = pack(root, tmp_path / "data")
    images = Shards(tmp_path / "data/images")
    samples = read_table(tmp_path / "data/samples.csv")
    assert (images.shape, images[0].dtype) == ((8, 32, 32, 3), np.uint8)
    assert samples["id"].tolist() == list(range(8))
    assert samples["class"].tolist() == ["cat"] * 4 + ["dog"] * 4
    for row in samples.itertuples():
        np.testing.assert_array_equal(images[row.id], decode(root / row.path, 32))
        assert row.sha256 == hashlib.sha256((root / row.path).read_bytes()).hexdigest()
        assert row.pixels == hashlib.sha256(images[row.id].tobytes()).hexdigest()
    assert counts == {
        "image_size": 32,
        "images": 8,
        "skipped": 0,
        "duplicates": 0,
        "conflicting_duplicates": 0,
    }


def test_bad_files_are_named_counted_and_leave_no_gap(tmp_path):
    """Must fail if a bad file leaves an empty row, or the array keeps the length of the list."""
    root = photos(tmp_path / "photos")
    (root / "cat/0001.png").write_bytes(b"")
    (root / "dog/0003.png").write_text("no picture")
    counts = pack(root, tmp_path / "data")
    images = Shards(tmp_path / "data/images")
    samples = read_table(tmp_path / "data/samples.csv")
    skipped = read_table(tmp_path / "data/skipped.csv")
    assert len(images) == len(samples) == counts["images"] == 6
    assert samples["class"].value_counts().to_dict() == {"cat": 3, "dog": 3}
    for row in samples.itertuples():
        np.testing.assert_array_equal(images[row.id], decode(root / row.path, 32))
    assert counts["skipped"] == 2
    assert skipped["path"].tolist() == ["cat/0001.png", "dog/0003.png"]
    assert skipped["reason"][0] == "empty file"
    assert skipped["reason"][1].startswith("no image in a known format")
    bare = 128 + 6 * 32 * 32 * 3
    assert (tmp_path / "data/images/00000.npy").stat().st_size == bare


@pytest.mark.parametrize(
    ("broken", "changes", "said"),
    [
        (["dog/0002.png"], {"on_bad_image": "fail"}, "'dog/0002.png' cannot be used: empty file"),
        ([f"dog/{i:04d}.png" for i in range(4)], {}, "no file of class 'dog' can be read"),
        (
            [f"{name}/{i:04d}.png" for name in ("cat", "dog") for i in range(4)],
            {},
            "the first is 'cat/0000.png': empty file",
        ),
    ],
)
def test_a_refusal_leaves_the_last_good_files(tmp_path, broken, changes, said):
    """Must fail if a file is replaced before all are complete, or a half-written one stays."""
    root = photos(tmp_path / "photos")
    pack(root, tmp_path / "data")
    before = contents(tmp_path / "data")
    for path in broken:
        (root / path).write_bytes(b"")
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        pack(root, tmp_path / "data", **changes)
    assert contents(tmp_path / "data") == before


@pytest.mark.parametrize("files", [0, 1, 2])
def test_a_disk_that_is_full_at_the_end_leaves_the_last_good_files(tmp_path, monkeypatch, files):
    """Must fail if a table takes its place before the last shard, or another table, is on the disk."""
    root = photos(tmp_path / "photos")
    pack(root, tmp_path / "out")
    before = contents(tmp_path / "out")
    photos(root, per_class=6)

    fitting, fsync = iter(range(files)), os.fsync

    def full(file: int) -> None:
        if next(fitting, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="images cannot be written: No space left"):
        pack(root, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_each_pass_over_all_files_tells_how_far_it_is(tmp_path, monkeypatch):
    """Must fail if headers are looked at in silence, for minutes where files are many or far away."""
    told = []
    bar = packing.bar
    monkeypatch.setattr(packing, "bar", lambda *given: told.append(given[1:]) or bar(*given))
    pack(photos(tmp_path / "photos"), tmp_path / "out")
    assert told == [(8, "files looked at for deep greyscale"), (8, "images decoded")]


def test_any_file_name_comes_back(tmp_path):
    """Must fail if a name with a line break, comma, quote or accent breaks the table."""
    root = photos(tmp_path / "photos", per_class=1, classes=("NA", "007"))
    names = ["a\nb.png", "a\rb.png", "a\r\nb.png", "a,b.png", 'a"b.png', "éa\u2028.png", " x .png"]
    for i, name in enumerate(names):
        picture(i).save(root / "NA" / name, "PNG")
        (root / "007" / name).touch()
    pack(root, tmp_path / "data")
    samples = read_table(tmp_path / "data/samples.csv")
    assert samples["class"].value_counts().to_dict() == {"NA": 8, "007": 1}
    assert set(samples["path"]) >= {f"NA/{name}" for name in names}
    skipped = read_table(tmp_path / "data/skipped.csv")
    assert set(skipped["path"]) == {f"007/{name}" for name in names}


def test_a_name_that_is_no_text_is_skipped_with_its_bytes_shown(tmp_path):
    """Must fail if such a name ends the run, or makes a table that cannot be read."""
    root = photos(tmp_path / "photos")
    (root / "cat/0000.png").rename(root / "cat" / os.fsdecode(b"\xff.png"))
    assert pack(root, tmp_path / "data")["skipped"] == 1
    skipped = read_table(tmp_path / "data/skipped.csv")
    assert skipped.values.tolist() == [["cat/\\udcff.png", "its name is not valid UTF-8"]]


def test_duplicates_are_counted_by_their_pixels(tmp_path):
    """Must fail if files, not pixels, are compared, or a first occurrence counts."""
    root = photos(tmp_path / "photos")
    first = Image.open(root / "cat/0000.png")
    first.save(root / "cat/again.bmp")
    first.save(root / "dog/again.png")
    first.save(root / "dog/more.tif")
    counts = pack(root, tmp_path / "data")
    assert (counts["duplicates"], counts["conflicting_duplicates"]) == (3, 2)


def test_the_number_of_processes_does_not_show(tmp_path, monkeypatch):
    """Must fail if results arrive in the order in which workers finish."""
    root = photos(tmp_path / "photos", per_class=12)
    (root / "cat/0005.png").write_bytes(b"")
    monkeypatch.setattr(packing, "CHUNK_BYTES", 2 * 32 * 32 * 3)
    one_core(monkeypatch)
    pack(root, tmp_path / "one")
    two_cores(monkeypatch)
    pack(root, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("count", [1, 2])
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch, count):
    """Must fail if the pixels of all images are held at once."""
    monkeypatch.setattr(cores, "available", lambda: count)
    monkeypatch.setattr(packing, "CHUNK_BYTES", 2 * 64 * 64 * 3)

    def peak(per_class: int) -> int:
        root = photos(tmp_path / f"photos{per_class}", per_class)
        tracemalloc.start()
        try:
            pack(root, tmp_path / "data", image_size=64)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # imports and caches
    growth = peak(130) - peak(30)
    pixels = 2 * 100 * 64 * 64 * 3
    assert growth < pixels / 4


def noise(species: str, rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))


@pytest.fixture
def quick_drawing(monkeypatch):
    """Noise instead of animals, drawn in this process: quick, and all that the seeds decide."""
    one_core(monkeypatch)
    monkeypatch.setattr(packing, "draw", noise)


def drawn_params(**changes: object) -> DataParams:
    changes = {"classes": {"cat": "cat", "cow": "cow"}, "images_per_class": 10} | changes
    return data_params(source="synthetic", path=DRAWING, **changes)


def test_more_images_per_class_keep_the_earlier_ones(tmp_path, quick_drawing):
    """Must fail if pictures share a generator: one more would change all that follow."""
    packing.draw_tree(drawn_params(), tmp_path / "few")
    packing.draw_tree(drawn_params(images_per_class=11), tmp_path / "more")
    few, more = contents(tmp_path / "few"), contents(tmp_path / "more")
    assert set(more) - set(few) == {"cat/cat_0010.jpg", "cow/cow_0010.jpg"}
    assert all(more[path] == picture for path, picture in few.items())
    assert len(set(more.values())) == 22


def test_a_species_is_drawn_the_same_whichever_others_are(tmp_path, quick_drawing):
    """Must fail if the seed counts the chosen classes instead of all species."""
    packing.draw_tree(drawn_params(), tmp_path / "a")
    packing.draw_tree(drawn_params(classes={"cow": "x", "dog": "y"}), tmp_path / "b")
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert {path.split("/")[0] for path in b} == {"cow", "dog"}
    assert all(b[path] == a[path] for path in a if path.startswith("cow"))


def test_the_seed_decides_the_pictures(tmp_path, quick_drawing):
    """Must fail if the seed is ignored, or the same seed draws otherwise."""
    packing.draw_tree(drawn_params(), tmp_path / "a")
    packing.draw_tree(drawn_params(), tmp_path / "b")
    packing.draw_tree(drawn_params(seed=1), tmp_path / "c")
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert not set(a.values()) & set(c.values())


def test_a_tree_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, quick_drawing):
    """Must fail if pictures of an earlier run stay, or a failed run costs them."""
    root = tmp_path / "animals"
    packing.draw_tree(drawn_params(images_per_class=12), root)
    packing.draw_tree(drawn_params(), root)
    before = contents(root)
    assert len(before) == 20

    def broken(*_):
        raise RuntimeError("cannot draw")

    monkeypatch.setattr(packing, "draw", broken)
    with pytest.raises(RuntimeError):
        packing.draw_tree(drawn_params(), root)
    assert contents(root) == before
    assert list(tmp_path.iterdir()) == [root]


def run_stage(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    monkeypatch.chdir(folder)
    write_params(folder, **changes)
    prepare_data.main()


def test_the_stage_packs_a_folder_and_leaves_no_drawn_animals(tmp_path, monkeypatch):
    """Must fail if animals that an earlier run drew stay beside a folder's images."""
    photos(tmp_path / "photos")
    (tmp_path / "data/animals/cat").mkdir(parents=True)
    run_stage(tmp_path, monkeypatch)
    names = sorted(path.relative_to("data").as_posix() for path in Path("data").rglob("*"))
    assert names == [
        "animals",
        "animals/README",
        "images",
        "images/00000.npy",
        "samples.csv",
        "skipped.csv",
    ]
    assert read_metrics("metrics/prepare_data.json")["images"] == 8


def test_the_stage_draws_and_packs_the_same_bytes_each_time(tmp_path, monkeypatch):
    """Must fail if two runs of the same request differ in a byte."""
    request = {
        "data__source": "synthetic",
        "data__path": DRAWING,
        "data__classes": {"elephant": "elephant", "cow": "cow"},
    }
    two_cores(monkeypatch)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        run_stage(tmp_path / name, monkeypatch, **request)
    first, second = contents(tmp_path / "first"), contents(tmp_path / "second")
    assert first == second
    metrics = json.loads(first["metrics/prepare_data.json"])
    assert first["plots/images_per_class.csv"] == b"class,images\ncow,10\nelephant,10\n"
    assert (metrics["skipped"], metrics["duplicates"]) == (0, 0)
    paths = pd.read_csv(tmp_path / "first/data/samples.csv")["path"]
    assert paths[0] == "cow/cow_0000.jpg"


@pytest.mark.parametrize(
    ("folder", "images", "size"), [("animals10_mixed", 320, 128), ("tiny_animals10", 5500, 64)]
)
def test_real_photographs_are_prepared_without_complaint(tmp_path, folder, images, size):
    """Must fail if a real photograph is refused."""
    if "UNLEARNING_REAL_DATA" not in os.environ:
        pytest.skip(
            "real photographs are in no package: UNLEARNING_REAL_DATA names no folder of them"
        )
    root = Path(os.environ["UNLEARNING_REAL_DATA"]) / folder
    params = data_params(image_size=size)
    tally = packing.pack(list_images(params, root), root, params, tmp_path)
    assert (tally.images, tally.skipped, len(tally.classes)) == (images, 0, 10)


def test_deep_greyscale_is_shown_by_one_rule_from_the_pictures_to_the_weights(tmp_path):
    """Must fail if the rule is lost on its way: `predict` would show a picture as no model was trained on."""
    for number, name in enumerate(("a", "b")):
        (tmp_path / "tree" / name).mkdir(parents=True)
        for count in range(3):
            values = np.full((40, 40), 1000 * number + count, np.uint16)
            values[0, 0] = 4095 if number else 0
            Image.fromarray(values).save(tmp_path / "tree" / name / f"{count}.png")
    counts = pack(tmp_path / "tree", tmp_path, image_size=32)
    assert counts["deep_integers"] == {"black": 0.0, "white": 4095.0}
    samples = read_table(tmp_path / "samples.csv", ["id", "depth"])
    write_table(tmp_path / "split.csv", samples[["id"]].assign(subset="train", role="retain"))
    request.write(Request(("b",)), tmp_path / "request.json")
    images = dataset.load(tmp_path)
    shown = images.images[np.arange(3, 6)]
    assert shown[:, 20, 20, 0].tolist() == [62] * 3  # 1000 to 1002 of 4095
    weights.save(resnet(2, 0), images.labelling, tmp_path / "m.safetensors")
    assert weights.load_classifier(tmp_path / "m.safetensors")[1] == images.labelling
    assert Depth.loads(images.labelling.depth) == Depth((0.0, 4095.0))
