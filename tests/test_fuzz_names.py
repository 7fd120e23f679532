"""Odd names of classes, folders and files: refused in one line, or the same everywhere."""

import io
import os
import sys
import warnings
from pathlib import Path

import pytest
from fuzzing import HOSTILE_TEXT, TEXT, fuzzed, outcome
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_report import HOSTILE
from test_settings import VALID
from test_tree import data_params

from unlearning import predict
from unlearning.base import errors, progress
from unlearning.base.errors import UserError, printable
from unlearning.base.files import read_table, write_series
from unlearning.charts import figures, save
from unlearning.data import request
from unlearning.data.request import Request
from unlearning.settings.data import DataParams
from unlearning.sources import listing, pack
from unlearning.sources.folder import files_below, list_images, select
from unlearning.sources.listing import counts

NAMES = TEXT | HOSTILE_TEXT | st.sampled_from(HOSTILE)
ACTING = [
    "a\nb",
    "a\rb",
    "a\x1b[2Jb",
    "a\x9bb",
    "\x7f",
    "a\u2028b",
    "a\u202eb",
    "a\u2066b",
    "\udcff",
]


def images_by_class(params: DataParams) -> dict[str, int]:
    return {
        name: sum(given.values()) for name, given in counts(listing.list_images(params)).items()
    }


@pytest.mark.parametrize("name", [*ACTING, "x" * 256])
def test_a_class_name_that_acts_where_it_is_shown_is_refused(name):
    """Must fail if a line break ends a row of a CSV file, or an escape sequence reaches a terminal."""
    with pytest.raises(
        UserError, match="has a control character, a byte that is no UTF-8, or more than 255"
    ) as caught:
        select({"a": name, "b": "dog"}, ["a", "b"])
    assert printable(str(caught.value)) == str(caught.value)
    with pytest.raises(UserError, match="has a control character"):
        select({}, [name, "dog"])


@fuzzed
@given(names=st.lists(NAMES, min_size=2, max_size=4, unique=True))
def test_class_names_that_are_taken_come_back_from_every_table(tmp_path, names):
    """Must fail if a sign that ends a row, a quote or a word such as NA is let through and then changed."""
    classes = dict(zip("abcd", names, strict=False))
    if outcome(lambda: select(classes, list("abcd"))) == "refused":
        return
    write_series(tmp_path / "series.csv", [{"actual": name} for name in names], ["actual"])
    assert read_table(tmp_path / "series.csv")["actual"].tolist() == names


@fuzzed
@given(
    names=st.lists(NAMES, max_size=3), known=st.lists(NAMES, min_size=1, max_size=4, unique=True)
)
def test_any_request_to_forget_is_taken_or_refused(names, known):
    """Must fail if the message about an odd name cannot be made or shown."""
    counts = dict.fromkeys(known, 5)
    if outcome(lambda: request.check(counts, Request(tuple(names)))) == "taken":
        assert set(names) <= set(known)


@fuzzed
@given(path=NAMES, classes=st.dictionaries(NAMES, NAMES, max_size=3))
def test_any_data_path_and_class_map_is_refused_where_nothing_lies(tmp_path, path, classes):
    """Must fail if a path with a NUL, or one that is too long, ends in a traceback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        params = DataParams.model_construct(
            **VALID["data"] | {"path": path or "x", "classes": classes}
        )
        assert outcome(lambda: images_by_class(params)) == "refused"


def test_a_data_path_of_links_in_a_ring_is_refused(tmp_path, monkeypatch):
    """Must fail if Python's "Symlink loop" escapes."""
    monkeypatch.chdir(tmp_path)
    Path("ring").symlink_to("ring")
    assert outcome(lambda: images_by_class(data_params(path="ring"))) == "refused"


ODD_FILES = [b" ", b"-rf", b"a b.png", b"a\nb.png", b"a\rb.png", b"\xff\xfe.png", b"\x1b[2J.png", b"$(id).png",
             "é.png".encode(), "e\u0301.png".encode(), "\u202egnp.png".encode(), b"=1+1.png", b'"q",.png',
             b"x" * 255]  # fmt: skip


@pytest.fixture
def odd_folder(tmp_path: Path) -> Path:
    """Return a tree whose class `cat` holds a picture under each odd name."""
    for number, name in enumerate((*ODD_FILES, *ODD_FILES)):
        folder = tmp_path / "photos" / ("cat", "dog")[number >= len(ODD_FILES)]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / os.fsdecode(name)).open("wb") as file:
            Image.new("RGB", (40, 40), (number, 0, 0)).save(file, "PNG")
    return tmp_path / "photos"


def test_files_of_odd_names_are_packed_or_skipped_and_named(odd_folder, tmp_path):
    """Must fail if a name breaks a row of a table, or a bad one ends the run."""
    params = data_params(path=str(odd_folder))
    listed = list_images(params, odd_folder)
    packed = pack.pack(listed, odd_folder, params, tmp_path / "out")
    samples = read_table(tmp_path / "out" / "samples.csv")
    skipped = read_table(tmp_path / "out" / "skipped.csv")
    assert packed.images == len(samples) == 2 * len(ODD_FILES) - 2
    assert skipped["path"].tolist() == ["cat/\\udcff\\udcfe.png", "dog/\\udcff\\udcfe.png"]
    assert set(samples["path"]) == {
        f"{name}/{os.fsdecode(file)}"
        for name in ("cat", "dog")
        for file in ODD_FILES
        if b"\xff" not in file
    }


def test_a_table_of_odd_file_names_is_one_line_each_on_any_terminal(odd_folder, monkeypatch):
    """Must fail if a file's name draws on the terminal, breaks the table, or cannot be encoded."""
    answers = [predict.Unreadable(str(file), "empty file") for file in files_below(odd_folder)]
    for encoding in ("utf-8", "ascii", "latin-1"):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
        lines = predict.table(answers)
        for line in lines:
            progress.say(line)
        shown = written.getvalue().decode(encoding)
        assert len(shown.splitlines()) == len(lines) == len(answers) + 1
        assert printable(shown.replace("\n", "")) == shown.replace("\n", "")


@fuzzed
@given(text=st.lists(NAMES, max_size=3).map(" ".join))
def test_no_message_acts_on_a_terminal_or_fills_it(text):
    """Must fail if an escape sequence of a file's or class's name reaches stderr."""
    line = errors.one_line(UserError(text))
    assert printable(line) == line
    assert len(line) <= errors.LONGEST_LINE


@pytest.mark.parametrize(
    "names", [HOSTILE[:4], HOSTILE[4:], ("x" * 255, "W" * 255, "$\\frac{", "^_{$")]
)
def test_pictures_take_any_class_name(tmp_path, names):
    """Must fail if a name is read as a formula, or a long one leaves no room for the bars (a warning)."""
    shares = dict.fromkeys(names, 0.25)
    warnings.simplefilter("error")
    figure = figures.destinations({"original": shares, "unlearned": shares})
    save.png(figure, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert image.width * image.height < 4_000_000
