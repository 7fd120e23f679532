"""Whatever stands in data/ and in a folder of images: taken, skipped and counted, or refused in one line."""

import io
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fuzzing import HOSTILE_TEXT, TEXT, counted, damaged_bytes, fuzzed, outcome
from hypothesis import given
from hypothesis import strategies as st
from test_decode import HEIC, photo, png_header
from test_models import Bomb
from test_prepare import contents, photos
from test_split import assign
from test_tree import data_params

from unlearning.base import cores
from unlearning.base.errors import UserError
from unlearning.base.files import atomic, read_table, write_table
from unlearning.base.shards import Shards
from unlearning.data import dataset, request
from unlearning.data.request import Request
from unlearning.settings.split import SplitParams
from unlearning.sources import pack
from unlearning.sources.decode import FORMATS, BadImage, decode
from unlearning.sources.folder import list_images


def encoded() -> dict[str, bytes]:
    """Return a good picture of each kind."""
    found = {"HEIF": HEIC}  # read, never written
    kinds = [(name, mode, {}) for name in FORMATS if name != "HEIF" for mode in ("RGB", "L")]
    kinds += [("TIFF", "CMYK", {}), ("JPEG", "CMYK", {}), ("PNG", "I;16", {}), ("TIFF", "F", {}),
              ("PNG", "P", {}), ("PNG", "LA", {}), ("WEBP", "RGBA", {}), ("GIF", "P", {}),
              ("JPEG", "RGB", {"progressive": True}), ("TIFF", "RGB", {"compression": "tiff_lzw"}),
              ("GIF", "RGB", {"save_all": True, "append_images": [photo(24, 16, seed=1)]}),
              ("WEBP", "RGB", {"save_all": True, "append_images": [photo(24, 16, seed=1)]}),
              ("TIFF", "RGB", {"save_all": True, "append_images": [photo(24, 16, seed=1)]})]  # fmt: skip
    for name, mode, options in kinds:
        picture = (
            photo(24, 16).convert("I").convert("I;16") if mode == "I;16" else photo(24, 16, mode)
        )
        file = io.BytesIO()
        picture.save(file, name, **options)
        found[f"{name} {mode} {' '.join(options)}"] = file.getvalue()
    return found


PICTURES = encoded()


def decoded(path: Path, content: bytes) -> str:
    """Return "taken" or "refused"; all else escapes."""
    path.write_bytes(content)
    try:
        pixels = decode(path, 32)
    except BadImage as bad:
        assert str(bad)
        assert "\n" not in str(bad)
        return counted("refused")
    assert pixels.shape == (32, 32, 3)
    return counted("taken")


@fuzzed
@given(data=st.data())
def test_any_damage_to_a_picture_is_decoded_or_refused(tmp_path, data):
    """Must fail if an exception of Pillow's parsers escapes, or a picture hangs."""
    content = PICTURES[data.draw(st.sampled_from(sorted(PICTURES)))]
    decoded(tmp_path / "x", data.draw(damaged_bytes(content, header=64)))


@fuzzed
@given(
    start=st.sampled_from([content[:12] for content in PICTURES.values()] + [b""]),
    rest=st.binary(max_size=400),
)
def test_any_bytes_behind_a_formats_mark_are_decoded_or_refused(tmp_path, start, rest):
    """Must fail as above."""
    decoded(tmp_path / "x", start + rest)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp", "avif", "jp2", "tga"])
def test_the_wrong_suffix_changes_nothing(tmp_path, suffix):
    """Must fail if the suffix chooses the parser."""
    for name, content in PICTURES.items():
        if not name.startswith("TGA"):
            assert decoded(tmp_path / f"x.{suffix}", content) == "taken", name


def test_links_out_of_the_folder_are_read_as_pictures_and_never_written(tmp_path, monkeypatch):
    """Must fail if a link's target is changed, its text is shown, or one to nowhere ends the run."""
    monkeypatch.setattr(cores, "available", lambda: 1)
    root, elsewhere = photos(tmp_path / "photos"), photos(tmp_path / "elsewhere")
    (elsewhere / "secret.txt").write_text("the secret")
    before = contents(elsewhere)
    (root / "cat" / "picture.png").symlink_to(elsewhere / "dog" / "0001.png")
    (root / "cat" / "passwords.png").symlink_to(elsewhere / "secret.txt")
    (root / "cat" / "nowhere.png").symlink_to(tmp_path / "nowhere")
    (root / "cat" / "itself.png").symlink_to(root / "cat" / "itself.png")
    (root / "cat" / "zero.png").symlink_to("/dev/zero")
    (root / "cat" / "up").symlink_to(root)
    (tmp_path / "top").symlink_to(root)
    os.mkfifo(root / "cat" / "pipe.png")
    params = data_params(path=str(tmp_path / "top"), on_bad_image="skip")
    listed = list_images(params, tmp_path / "top")
    packed = pack.pack(listed, tmp_path / "top", params, tmp_path / "out")
    skipped = read_table(tmp_path / "out" / "skipped.csv")
    assert {path.split("/")[-1] for path in skipped["path"]} == {
        "passwords.png", "nowhere.png", "itself.png", "zero.png", "pipe.png"
    }  # fmt: skip
    assert packed.skipped == len(skipped)
    assert "cat/picture.png" in set(read_table(tmp_path / "out" / "samples.csv")["path"])
    assert not any(b"the secret" in content for content in contents(tmp_path / "out").values())
    assert contents(elsewhere) == before


def test_nothing_is_written_through_a_link(tmp_path):
    """Must fail if a link that lies where a file is written leads the bytes elsewhere."""
    outside, project = tmp_path / "outside", tmp_path / "project"
    photos(outside)
    project.mkdir()
    (outside / "bashrc").write_text("mine")
    before = contents(outside)
    (project / "a.csv").symlink_to(outside / "bashrc")
    (project / ".a.part.csv").symlink_to(outside / "bashrc")
    with atomic(project / "a.csv") as temporary:
        temporary.write_text("new")
    (project / "animals").symlink_to(outside)
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        pack.draw_nothing(project / "animals")
    assert contents(outside) == before
    assert (project / "a.csv").read_text() == "new"


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """Return a folder such as data/ of two classes."""
    folder = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "available", lambda: 1)
        root = photos(folder / "photos", classes=("cat", "cow", "dog"))
        params = data_params(path=str(root), image_size=32)
        pack.pack(list_images(params, root), root, params, folder)
    samples = read_table(folder / "samples.csv")
    forget = Request(("cat",))
    write_table(
        folder / "split.csv",
        assign(samples, SplitParams(validation=0.2, test=0.2, seed=0), forget),
    )
    request.write(Request(("cat",)), folder / "request.json")
    return folder


FILES = ("samples.csv", "split.csv", "images/00000.npy", "request.json")


def copied(source: Path, target: Path) -> Path:
    (target / "images").mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy(source / name, target / name)
    return target


@fuzzed
@given(name=st.sampled_from(FILES), data=st.data())
def test_damaged_tables_and_arrays_are_taken_or_refused(tmp_path, packed, name, data):
    """Must fail if an exception of pandas or NumPy escapes, or rows are taken that do not fit together."""
    folder = copied(packed, tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(data.draw(damaged_bytes(content, header=128)))

    def load() -> None:
        found = dataset.load(folder)
        assert len(found.images) == len(found.labels) == len(found.subsets) == len(found.roles)

    outcome(load)


CELLS = TEXT | HOSTILE_TEXT | st.integers().map(str)


@fuzzed
@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=5), max_size=4),
    header=st.sampled_from(["id,path,sha256,pixels,class", "id,subset,role", "id,id", "", "x"]),
    name=st.sampled_from(["samples.csv", "split.csv"]),
)
def test_any_table_is_taken_or_refused(tmp_path, packed, rows, header, name):
    """Must fail as above; also where the split is drawn."""
    folder = copied(packed, tmp_path)
    text = "\n".join([header, *(",".join(row) for row in rows)])
    (folder / name).write_bytes(text.encode("utf-8", "replace"))
    outcome(lambda: dataset.load(folder))
    shares, forget = SplitParams(validation=0.2, test=0.2, seed=0), Request(("cat",))
    outcome(
        lambda: assign(
            read_table(folder / "samples.csv", ["id", "pixels", "class"]), shares, forget
        )
    )


def npy(header: str) -> bytes:
    text = header.encode("latin-1", "replace")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)


ARRAYS = {
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}\n"),
    "a shape beyond all files": npy(
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 9999, 9999, 3)}\n"
    ),
    "a shape below 0": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 32, 32, 3)}\n"),
    "another shape": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (64,)}\n"),
    "another type": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 1, 3)}\n"),
    "no literal": npy("__import__('os').system('touch harmed')\n"),
    "a deep literal": npy("(" * 9000 + "\n"),
    "a long header": b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little") + b"{",
    "a ZIP": b"PK\x03\x04" + bytes(64),
    "nothing": b"",
}


@pytest.mark.parametrize("content", ARRAYS.values(), ids=ARRAYS)
def test_odd_arrays_are_refused_in_one_line(tmp_path, monkeypatch, content):
    """Must fail if a header's expression runs, an exception escapes, or memory is taken as it says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "00000.npy").write_bytes(content)
    assert outcome(lambda: Shards(tmp_path)) == "refused"
    assert not (tmp_path / "harmed").exists()


def test_an_array_of_objects_is_never_unpickled(tmp_path):
    """Must fail if allow_pickle is true."""
    mark = tmp_path / "mark"
    path = tmp_path / "00000.npy"
    np.save(path, np.array([Bomb(str(mark))], dtype=object), allow_pickle=True)
    assert pickle.dumps(Bomb(str(mark)))[:2] in path.read_bytes()
    with pytest.raises(UserError, match="is not an array of images"):
        Shards(tmp_path)
    assert not mark.exists()


def test_tables_of_another_run_are_refused(tmp_path, packed):
    """Must fail if a missing row, one that stands twice, or an unknown subset goes unseen."""
    folder = copied(packed, tmp_path)
    good = read_table(folder / "split.csv")
    for bad in (
        good.iloc[1:],
        pd.concat([good, good.iloc[:1]]),
        good.assign(subset="trian"),
        good.assign(role="Forget"),
    ):
        write_table(folder / "split.csv", bad)
        with pytest.raises(UserError, match="do not belong together"):
            dataset.load(folder)


@fuzzed
@given(width=st.integers(0, 2**32 - 1), height=st.integers(0, 2**32 - 1))
def test_a_png_of_any_claimed_size_is_decoded_or_refused(tmp_path, width, height):
    """Must fail if memory is taken as a header says: 16 exabytes."""
    decoded(tmp_path / "x.png", png_header(width, height))
