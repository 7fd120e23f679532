"""Data in the forms that people have: a table, folders of a split, torchvision's sets as they are on disk."""

import gzip
import hashlib
import pickle
import re
import shutil
import struct
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest
import yaml
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat
from test_settings import write_params
from test_split import assign
from test_tree import data_params
from torchvision import datasets

from stages import check_request, prepare_data, split_dataset
from unlearning.base.errors import UserError
from unlearning.base.files import read_table
from unlearning.base.shards import Shards
from unlearning.base.written import FOLDERS, TABLES
from unlearning.data.request import Request
from unlearning.settings.data import DataParams
from unlearning.settings.split import SplitParams
from unlearning.sources import contents, library, listing, pack
from unlearning.sources import table as reading
from unlearning.sources.listed import Listed
from unlearning.sources.words import SUBSET_OF

RANDOM = np.random.default_rng(0)
SHARES = SplitParams(validation=0.2, test=0.2, seed=0)


def picture(path: Path, *, colour: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = RANDOM.integers(0, 256, (32, 32, 3), dtype=np.uint8) if colour is None else colour
    Image.fromarray(np.broadcast_to(np.uint8(noise), (32, 32, 3)).copy()).save(path)
    return path


def table(folder: Path, rows: list[tuple[str, ...]], name: str = "images.csv") -> DataParams:
    columns = ("path", "label", "split")[: len(rows[0]) if rows else 2]
    frame = pd.DataFrame(rows, columns=list(columns))
    for path in frame["path"]:
        if not (folder / path).exists():
            picture(folder / path)
    file = folder / name
    frame.to_parquet(file) if name.endswith("parquet") else frame.to_csv(file, index=False)
    return data_params(source="table", path=str(file))


def refusal(params: DataParams) -> str:
    with pytest.raises(UserError) as caught:
        listing.counts(listing.list_images(params))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def packed(params: DataParams, out: Path) -> pd.DataFrame:
    """Return samples.csv of what a source packs, with its pixels checked to be as many."""
    out.mkdir(exist_ok=True)
    pack.pack(listing.list_images(params), listing.root_of(params), params, out)
    samples = read_table(out / "samples.csv", ["id", "path", "class"])
    assert len(Shards(out / "images")) == len(samples)
    return samples


ROWS = [
    (f"p/{kind}{i}.png", kind, word)
    for kind in "ab"
    for i, word in enumerate(("train", " Val ", "test"))
]


@pytest.mark.parametrize("name", ["images.csv", "images.parquet"])
def test_a_table_is_taken_with_its_split(name, tmp_path):
    """Must fail if paths do not start at the table, a word of the split is not known, or rows are mixed up."""
    params = table(tmp_path, ROWS, name)
    assert listing.list_images(params)[:3] == [
        Listed("p/a0.png", "a", "train"), Listed("p/a1.png", "a", "validation"), Listed("p/a2.png", "a", "test")
    ]  # fmt: skip
    assert listing.counts(listing.list_images(params)) == {
        kind: {"train": 1, "validation": 1, "test": 1} for kind in "ab"
    }
    assert list(packed(params, tmp_path / "out")["subset"]) == ["train", "validation", "test"] * 2


def test_labels_of_a_table_are_names_and_can_be_renamed(tmp_path):
    """Must fail if 007 becomes 7, NA a gap, or `data.classes` is not applied."""
    rows = [(f"{label}{i}.png", label) for label in ("007", "NA", "x") for i in range(3)]
    params = table(tmp_path, rows)
    assert listing.counts(listing.list_images(params)) == {
        label: {"": 3} for label in ("007", "NA", "x")
    }
    chosen = params.model_copy(update={"classes": {"007": "bond", "NA": "none"}})
    assert listing.counts(listing.list_images(chosen)) == {"bond": {"": 3}, "none": {"": 3}}
    assert "subset" not in packed(params, tmp_path / "out")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, ("p/a0.png", "a", "test")], "'p/a0.png' stands in two splits"),
        ([*ROWS, ("p/a0.png", "b", "train")], "'p/a0.png' stands in two rows"),
        ([*ROWS, ("p/c.png", "a", "dev")], "its split holds 'dev': the words are train"),
        ([*ROWS, ("p/c.png", "", "test")], "row 7 has an empty cell"),
        ([*ROWS, ("", "a", "test")], "row 7 has an empty cell"),
        ([*ROWS, ("p/c.png", "a", "")], "row 7 has an empty cell"),
        ([("p/a.png", "a"), ("p/b.png", "a")], "leave one class, 'a'"),
        ([], "it has no row"),
    ],
)
def test_an_odd_table_is_refused_in_one_line(rows, message, tmp_path):
    """Must fail if a row is dropped or taken in silence."""
    assert message in refusal(table(tmp_path, rows))


def test_a_label_with_a_blank_at_its_end_is_the_same_class(tmp_path):
    """Must fail if half of a class that is to be forgotten stays in training under its name and a blank."""
    params = table(
        tmp_path, [(f"{label}{i}.png", f"{label}{' ' * i}") for label in "ab" for i in (0, 1)]
    )
    assert listing.counts(listing.list_images(params)) == {"a": {"": 2}, "b": {"": 2}}


def test_names_that_differ_by_case_are_said_of_a_table_too(tmp_path):
    """Must fail if nobody hears that `Elephant` is not forgotten with `elephant`."""
    params = table(tmp_path, [("1.png", "a"), ("2.png", "A"), ("3.png", "b")])
    (said,) = listing.remarks(params, listing.list_images(params))
    assert said == "classes A, a differ in upper and lower case alone: they are kept apart"
    images = [Listed(f"{name}/1.jpg", name) for name in ("cat", "Cat", "dog")]
    (tmp_path / "cat").mkdir()
    tree = data_params(path=str(tmp_path))
    assert listing.remarks(tree, images)[-1].startswith("classes Cat, cat differ")


def test_one_image_under_two_spellings_of_its_path_is_refused(tmp_path):
    """Must fail if it is listed twice, once under each label."""
    rows = [*ROWS, ("p/x/../a0.png", "b", "train")]
    assert "stands in two rows" in refusal(table(tmp_path, rows))


@pytest.mark.parametrize("output", ["data/images", "data/observed", "models", "report"])
def test_images_that_a_run_would_delete_are_refused(output, tmp_path, monkeypatch):
    """Must fail if a person's only copy may lie in a folder that DVC empties before a stage runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    rows = [(f"../{output}/{label}{i}.png", label) for label in "ab" for i in range(2)]
    assert "lies in a folder that runs empty" in refusal(table(tmp_path / "data", rows))
    (tmp_path / "link").symlink_to(tmp_path)
    linked = [(f"{output}/{label}.png", label) for label in "ab"]
    table(tmp_path, linked)
    assert "lies in a folder that runs empty" in refusal(
        data_params(source="table", path=str(tmp_path / "link/images.csv"))
    )
    absolute = [(str(tmp_path / output / f"{label}.png"), label) for label in "ab"]
    assert "lies in a folder that runs empty" in refusal(table(tmp_path / "data", absolute))


def test_a_table_that_runs_write_is_refused(tmp_path, monkeypatch):
    """Must fail if a run's own list of images may be its source: it is deleted before it is read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    table(tmp_path / "data", [("1.png", "a"), ("2.png", "b")], "samples.csv")
    params = data_params(source="table", path="data/samples.csv")
    assert "that is written by runs" in refusal(params)


def test_folders_that_runs_empty_are_those_of_the_graph():
    """Must fail if a stage writes a folder or a table of images that is not guarded."""
    graph = yaml.safe_load(Path("dvc.yaml").read_text())["stages"].values()
    outs = {
        Path(next(iter(out)) if isinstance(out, dict) else out)
        for stage in graph
        for out in stage.get("outs", [])
    }
    folders = {out for out in outs if not out.suffix and out.parts[0] == "data"}
    assert folders <= set(FOLDERS)
    assert {out for out in outs if out.suffix == ".csv"} == set(TABLES)


def test_a_whole_number_of_a_parquet_stays_one_beside_an_empty_cell(tmp_path):
    """Must fail if 7 is read as 7.0: a request for the images of owner 7 would find none."""
    # Not by pandas, which notes its own types in the file.
    rows = {"path": ["a.png", "b.png", "c.png"], "label": [1] * 3, "owner": [7, None, 2**60 + 1]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "x.parquet")
    params = data_params(source="table", path=str(tmp_path / "x.parquet"))
    assert reading.matching(params, {"owner": "7", "label": "1"}) == ["a.png"]
    assert reading.matching(params, {"owner": ""}) == ["b.png"]
    assert reading.matching(params, {"owner": str(2**60 + 1)}) == ["c.png"]


def test_a_table_that_is_none_is_refused_in_one_line(tmp_path):
    """Must fail if pandas' own exception escapes, or a path that leads nowhere waits for prepare_data."""
    params = table(tmp_path, ROWS)
    (tmp_path / "p/a0.png").unlink()
    assert "its path 'p/a0.png' leads nowhere" in refusal(params)
    for content, message in (
        (b"\xff\xfe\x00", "no table"),
        (b"file,label\na,b\n", "its columns are file, label"),
    ):
        (tmp_path / "images.csv").write_bytes(content)
        assert message in refusal(params)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    assert "no table that can be read" in refusal(
        data_params(source="table", path=str(tmp_path / "x.parquet"))
    )
    assert "no such file" in refusal(
        data_params(source="table", path=str(tmp_path / "nowhere.csv"))
    )


def test_another_split_of_the_same_pictures_makes_the_pipeline_run_again(tmp_path):
    """Must fail if the pictures alone are hashed: what a table says of them may change where none does."""
    params = table(tmp_path, ROWS)
    before = contents.of(params)
    assert contents.of(params) == before
    text = Path(params.path).read_text()
    Path(params.path).write_text(text.replace("a0.png,a,train", "a0.png,a,test"))
    assert contents.of(params) != before


def split_tree(root: Path, words: tuple[str, ...] = ("train", "valid", "test")) -> DataParams:
    for word in words:
        for kind in "abc":
            for number in range(4):
                picture(root / word / kind / f"{number}.png")
    return data_params(path=str(root))


def test_folders_of_a_split_are_not_split_again(tmp_path):
    """Must fail if train and test are taken for classes, or an image changes its subset."""
    params = split_tree(tmp_path / "photos")
    expected = dict.fromkeys(("test", "train", "validation"), 4)
    assert listing.counts(listing.list_images(params)) == dict.fromkeys("abc", expected)
    samples = packed(params, tmp_path / "out")
    assigned = assign(samples, SHARES, Request(("a",)))
    words = {"train": "train", "valid": "validation", "test": "test"}
    assert list(assigned["subset"]) == [words[path.split("/")[0]] for path in samples["path"]]


@pytest.mark.parametrize("words", [("Training", "Test"), ("train", "VAL", "test")])
def test_folders_of_a_split_are_known_by_every_word_for_a_subset(words, tmp_path):
    """Must fail if one that says `training` becomes a class, or one that `data.classes` names does not."""
    for word, label in product(words, "ab"):
        (tmp_path / word / label).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / word / label / "1.png")
    found = listing.list_images(data_params(source="folder", path=str(tmp_path)))
    assert {image.class_name for image in found} == {"a", "b"}
    assert {image.subset for image in found} == {SUBSET_OF[word.lower()] for word in words}
    named = data_params(source="folder", path=str(tmp_path), classes={word: word for word in words})
    assert {image.class_name for image in listing.list_images(named)} == set(words)


def test_a_subset_that_is_not_given_is_cut_from_training_images(tmp_path):
    """Must fail if test images validate, or the share is taken of all images."""
    params = split_tree(tmp_path / "photos", ("train", "test"))
    samples = packed(params, tmp_path / "out")
    assigned = assign(samples, SHARES, Request(("a",)))
    assert assigned["subset"].value_counts().to_dict() == {"test": 12, "train": 9, "validation": 3}
    assert set(assigned["subset"][samples["subset"] == "test"]) == {"test"}


def test_classes_that_are_called_train_and_test_stay_classes(tmp_path):
    """Must fail if naming them in `data.classes` does not say so, or a folder beside them is passed over."""
    params = split_tree(tmp_path / "photos", ("train", "test"))
    chosen = params.model_copy(update={"classes": {"train": "train", "test": "exam"}})
    assert listing.counts(listing.list_images(chosen)) == {"train": {"": 12}, "exam": {"": 12}}
    picture(tmp_path / "photos/bus/1.png")
    assert set(listing.counts(listing.list_images(params))) == {"bus", "test", "train"}


def test_one_file_in_two_splits_is_refused(tmp_path, monkeypatch):
    """Must fail if an image tests what it has trained; equal pixels in another file are trained on alone."""
    params = split_tree(tmp_path / "photos")
    photos = tmp_path / "photos"
    shutil.copy(photos / "train/a/0.png", photos / "test/a/copy.png")
    with pytest.raises(
        UserError,
        match=r"one file to two splits, as '.*copy\.png' to test and as '.*0\.png' to train",
    ):
        packed(params, tmp_path / "out")
    Image.open(photos / "train/a/0.png").save(photos / "test/a/copy.png", compress_level=1)
    samples = packed(params, tmp_path / "out")
    assigned = assign(samples, SHARES, Request(("a",)))
    assert set(assigned["subset"][samples["path"].str.contains("copy|train/a/0")]) == {"train"}


def test_a_class_without_a_test_image_is_refused(tmp_path):
    """Must fail if a class is judged by no image."""
    params = split_tree(tmp_path / "photos")
    shutil.rmtree(tmp_path / "photos/test/b")
    samples = packed(params, tmp_path / "out")
    with pytest.raises(UserError, match=r"gives class 'b' no test image"):
        assign(samples, SHARES, Request(("a",)))


# --- torchvision's sets, as small ones in the real format ----------------------------------------


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def cifar(root: Path, monkeypatch: pytest.MonkeyPatch, hundred: bool) -> np.ndarray:
    name = "CIFAR100" if hundred else "CIFAR10"
    kind = getattr(datasets, name)
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    pictures = RANDOM.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    key = "fine_labels" if hundred else "labels"
    for file, part in (("train", pictures[:8]), ("test", pictures[8:])):
        content = {"data": part.reshape(len(part), -1), key: [i % 2 for i in range(len(part))]}
        (folder / file).write_bytes(pickle.dumps(content))
    meta = kind.meta["key"]
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({meta: ["apple", "bear"]}))
    for part in ("train", "test"):
        monkeypatch.setattr(kind, f"{part}_list", [[part, md5(folder / part)]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(folder / kind.meta["filename"])})
    return pictures.transpose(0, 2, 3, 1)


def fashion_mnist(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    folder = root / "FashionMNIST/raw"
    folder.mkdir(parents=True)
    pictures = RANDOM.integers(0, 256, (12, 28, 28), dtype=np.uint8)
    labels = np.array([i % 2 for i in range(12)], dtype=np.uint8)
    published = []
    for word, part in (("train", slice(0, 8)), ("t10k", slice(8, 12))):
        count = len(labels[part])
        for file, head, values in (
            (
                f"{word}-images-idx3-ubyte",
                struct.pack(">IIII", 2051, count, 28, 28),
                pictures[part],
            ),
            (f"{word}-labels-idx1-ubyte", struct.pack(">II", 2049, count), labels[part]),
        ):
            (folder / file).write_bytes(head + values.tobytes())
            archive = folder / f"{file}.gz"
            archive.write_bytes(gzip.compress(head + values.tobytes()))
            published.append((archive.name, md5(archive)))
    monkeypatch.setattr(datasets.FashionMNIST, "resources", published)
    return np.repeat(pictures[..., None], 3, axis=3)


def svhn(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    root.mkdir(parents=True)
    pictures = RANDOM.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    found = {}
    for word, part in (("train", slice(0, 8)), ("test", slice(8, 12))):
        file = root / f"{word}_32x32.mat"
        labels = np.array([[i % 2 + 1] for i in range(len(pictures[part]))])
        savemat(file, {"X": pictures[part].transpose(1, 2, 3, 0), "y": labels})
        found[word] = ["", file.name, md5(file)]
    monkeypatch.setattr(datasets.SVHN, "split_list", found)
    return pictures


def stl10(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    pictures = RANDOM.integers(0, 256, (12, 96, 96, 3), dtype=np.uint8)
    for word, part in (("train", slice(0, 8)), ("test", slice(8, 12))):
        count = len(pictures[part])
        (folder / f"{word}_X.bin").write_bytes(pictures[part].transpose(0, 3, 2, 1).tobytes())
        (folder / f"{word}_y.bin").write_bytes(bytes(i % 2 + 1 for i in range(count)))
    (folder / "class_names.txt").write_text("apple\nbear\n")
    for word in ("train", "test"):
        files = [f"{word}_X.bin", f"{word}_y.bin"] + (
            ["class_names.txt"] if word == "train" else []
        )
        monkeypatch.setattr(
            datasets.STL10, f"{word}_list", [[file, md5(folder / file)] for file in files]
        )
    monkeypatch.setattr(
        datasets.STL10,
        "train_list",
        datasets.STL10.train_list + [["train_X.bin", md5(folder / "train_X.bin")]] * 0,
    )
    return pictures


MAKERS = {
    "cifar10": lambda root, patch: cifar(root, patch, hundred=False),
    "cifar100": lambda root, patch: cifar(root, patch, hundred=True),
    "fashion_mnist": fashion_mnist,
    "svhn": svhn,
    "stl10": stl10,
}


@pytest.mark.parametrize("source", MAKERS)
def test_a_set_is_read_in_its_own_format(source, tmp_path, monkeypatch):
    """Must fail if channels or axes are swapped, labels are shifted, or test images are trained on.

    Or if the digests of what is on the disk and of what is packed are swapped: by the latter images are split.
    """
    library._part.cache_clear()
    pictures = MAKERS[source](tmp_path / "root", monkeypatch)
    params = data_params(source=source, path=str(tmp_path / "root"))
    listed = listing.list_images(params)
    names = sorted({image.class_name for image in listed})
    assert len(names) == 2
    samples = packed(params, tmp_path / "out")
    images = np.load(tmp_path / "out/images/00000.npy")
    digests = [hashlib.sha256(row.tobytes()).hexdigest() for row in images]
    assert samples["pixels"].tolist() == digests
    for row, path, name in zip(images, samples["path"], samples["class"], strict=True):
        part, number = path.split("/")
        expected = pictures[int(number) + (8 if part == "test" else 0)]
        resized = np.asarray(Image.fromarray(expected).resize((32, 32), Image.Resampling.BILINEAR))
        assert np.array_equal(row, resized)
        assert (int(number) % 2 == 0) == (name == names_of(source)[0]), path
    assert dict(zip(samples["path"], samples["subset"], strict=True))["test/00003"] == "test"
    before = contents.of(params)
    assert before["files"] == 12 and contents.of(params) == before
    library._part.cache_clear()


SOME_FILE = {
    "cifar10": "cifar-10-batches-py/test",
    "cifar100": "cifar-100-python/test",
    "fashion_mnist": "FashionMNIST/raw/t10k-labels-idx1-ubyte",
    "svhn": "test_32x32.mat",
    "stl10": "stl10_binary/test_y.bin",
}


@pytest.mark.parametrize(
    "file", [*SOME_FILE.items(), ("fashion_mnist", "FashionMNIST/raw/t10k-labels-idx1-ubyte.gz")]
)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_set_that_is_not_as_published_is_refused(file, is_there, tmp_path, monkeypatch):
    """Must fail if a changed file is taken for the published one, by torchvision or where it checks nothing."""
    library._part.cache_clear()
    source, name = file
    MAKERS[source](tmp_path / "root", monkeypatch)
    place = tmp_path / "root" / name
    changed = place.read_bytes()[:-1] + b"\7"
    place.unlink()
    if is_there:
        place.write_bytes(changed)
    said = refusal(data_params(source=source, path=str(tmp_path / "root")))
    assert "are not there, or not as published" in said
    library._part.cache_clear()


def names_of(source: str) -> tuple[str, str]:
    """Return the names of the first two labels."""
    if source == "fashion_mnist":
        return "T-shirt/top", "Trouser"
    return ("1", "2") if source == "svhn" else ("apple", "bear")


def test_a_set_that_is_not_there_is_refused_with_the_way_to_fetch_it(tmp_path):
    """Must fail if torchvision's own exception escapes."""
    library._part.cache_clear()
    said = refusal(data_params(source="cifar10", path=str(tmp_path)))
    assert re.search(r"files of cifar10 are not there, .* set data\.download to true", said)


@pytest.mark.parametrize("output", ["data/images", "data/observed/sets", "models"])
def test_a_set_that_a_run_would_delete_is_refused(output, tmp_path, monkeypatch):
    """Must fail if a data set is looked for in a folder that DVC empties, or one beside it is refused."""
    monkeypatch.chdir(tmp_path)
    params = data_params(source="cifar10", path=output)
    assert "is emptied by runs" in refusal(params)
    with pytest.raises(UserError, match="is emptied by runs"):
        listing.root_of(params)
    assert "are not there" in refusal(data_params(source="cifar10", path="data"))
    assert list(tmp_path.iterdir()) == []


def test_a_given_split_goes_through_the_stages(tmp_path, monkeypatch):
    """Must fail if the column is lost between packing and splitting."""
    split_tree(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, forget__classes=["a"], data__path="photos")
    check_request.main()
    prepare_data.main()
    split_dataset.main()
    rows = read_table("data/split.csv", ["id", "subset", "role"])
    assert rows["subset"].value_counts().to_dict() == dict.fromkeys(
        ("train", "validation", "test"), 12
    )
