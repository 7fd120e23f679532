"""Files appear whole or not at all, and what is written comes back as it was."""

import errno
import os
from pathlib import Path

import pandas as pd
import pytest

from unlearning.base.errors import UserError
from unlearning.base.files import (
    atomic,
    read_metrics,
    read_table,
    write_metrics,
    write_series,
    write_table,
)
from unlearning.base.reading import read_bytes, refuse_conflict
from unlearning.settings.load import parse


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    """Must fail if the block writes to the path itself, or the temporary file stays."""
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_there_only_when_the_block_has_ended(tmp_path):
    """Must fail if the file is replaced before the block ends."""
    path = tmp_path / "new" / "out.txt"
    with atomic(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


def test_what_a_killed_process_left_is_replaced(tmp_path):
    """Must fail if a temporary file has a name of its own each time: half-written ones would pile up."""
    with atomic(tmp_path / "out.txt") as killed:
        killed.write_text("whole")
    killed.write_text("half")
    with atomic(tmp_path / "out.txt") as temporary:
        assert temporary == killed and not temporary.exists()
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.parametrize(
    ("error", "is_refused"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EACCES, "not permitted", ".out.part.txt"), True),
        (OSError(errno.ENOSPC, "full", "other.txt"), False),
        (OSError(errno.EIO, "broken"), False),
    ],
)
def test_a_file_that_cannot_be_written_is_named_and_no_other_fault_is_taken_for_it(
    error, is_refused, tmp_path, monkeypatch
):
    """Must fail if a full disk elsewhere, or a fault that nobody can mend, is said to be this file's."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError if is_refused else OSError) as caught, atomic("out.txt"):
        raise error
    said = f"out.txt cannot be written: {error.strerror}; free or grant what is missing"
    assert str(caught.value).startswith(said) if is_refused else caught.value is error


def test_metrics_are_sorted_and_rounded_at_any_depth(tmp_path):
    """Must fail if keys keep their order, a nested float keeps its digits, or -0.0 its sign."""
    path = tmp_path / "metrics.json"
    write_metrics(path, {"b": 0.123456, "a": {"é": [-0.00001, 2]}, "c": "x"})
    expected = (
        '{\n  "a": {\n    "é": [\n      0.0,\n      2\n    ]\n  },\n  "b": 0.1235,\n  "c": "x"\n}\n'
    )
    assert path.read_text(encoding="utf-8") == expected
    assert read_metrics(path) == {"a": {"é": [0.0, 2]}, "b": 0.1235, "c": "x"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_metrics_refuse_what_is_no_number(tmp_path, value):
    """Must fail if NaN is written: no other program reads it as JSON."""
    with pytest.raises(ValueError, match="JSON"):
        write_metrics(tmp_path / "metrics.json", {"loss": value})
    assert list(tmp_path.iterdir()) == []


def test_a_series_has_its_columns_even_without_rows(tmp_path):
    """Must fail if the header hangs on the first row, or floats keep their digits."""
    write_series(tmp_path / "full.csv", [{"loss": 0.123456, "epoch": 1}], ["epoch", "loss"])
    write_series(tmp_path / "empty.csv", [], ["epoch", "loss"])
    assert (tmp_path / "full.csv").read_text() == "epoch,loss\n1,0.1235\n"
    assert (tmp_path / "empty.csv").read_text() == "epoch,loss\n"


def test_a_table_comes_back_as_it_was(tmp_path):
    """Must fail if text is read as numbers or gaps, or a carriage return ends a row."""
    odd = ["NA", "007", "", "null", "a,b", 'a"b', "a\nb", "a\rb", "a\r\nb", " é\u2028 "]
    numbers = pd.Series(["007"] * len(odd), dtype="str")
    table = pd.DataFrame(
        {"id": range(len(odd)), "class": pd.Series(odd, dtype="str"), "number": numbers}
    )
    write_table(tmp_path / "table.csv", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "table.csv"), table)


def test_a_named_pipe_is_not_waited_for(tmp_path):
    """Must fail if one is opened, which may never return, or what `<(command)` hands over is refused."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(UserError, match=f"{name} cannot be read: it is a named pipe"):
            read_bytes(tmp_path / name, 9)
    reading, writing = os.pipe()
    os.write(writing, b"text")
    os.close(writing)
    assert read_bytes(Path(f"/dev/fd/{reading}"), 9) == b"text"
    os.close(reading)


CONFLICT = "<<<<<<< HEAD\n{0}\n=======\n{0}\n>>>>>>> theirs\n"


def test_a_merge_conflict_is_named_with_file_and_line(tmp_path):
    """Must fail if the parser's own words stand there, or a line of "=======" alone is taken for a conflict.

    Or if of a conflict that was half resolved the mark that is left is none.
    """
    for mark in ("<<<<<<< HEAD", ">>>>>>> theirs"):
        with pytest.raises(UserError, match=r"^params\.yaml:2: a merge conflict is left here"):
            parse(f"a: 1\n{mark}\nb: 1\n", Path("params.yaml"))
        (tmp_path / "m.json").write_text(f'{{\n"a": 1\n{mark}\n}}\n')
        with pytest.raises(UserError, match=r"m\.json:3: a merge conflict"):
            read_metrics(tmp_path / "m.json")
    text = "a: 1\n" + CONFLICT.format("lr: 1")
    with pytest.raises(UserError, match=r"^params\.yaml:2: a merge conflict is left here"):
        parse(text, Path("params.yaml"))
    (tmp_path / "m.json").write_text("{\n" + CONFLICT.format('"a": 1') + "}\n")
    with pytest.raises(UserError, match=r"m\.json:2: a merge conflict"):
        read_metrics(tmp_path / "m.json")
    (tmp_path / "t.csv").write_text('"id","path"\n0,"x"\n' + CONFLICT.format('1,"y"'))
    with pytest.raises(UserError, match=r"t\.csv:3: a merge conflict"):
        read_table(tmp_path / "t.csv")
    for line, series in (
        (2, "class,share\n" + CONFLICT.format("cat,0.1")),
        (1, CONFLICT.format("class,share") + "cat,0.1\n"),
    ):
        (tmp_path / "s.csv").write_text(series)
        with pytest.raises(UserError, match=rf"s\.csv:{line}: a merge conflict"):
            read_table(tmp_path / "s.csv")
    (tmp_path / "s.csv").write_text("class,share\n=======,0.1\n")
    assert read_table(tmp_path / "s.csv")["class"].tolist() == ["======="]
    refuse_conflict("a: 1\n=======\n# >>>>>>> no\n- '<<<<<<< x'\n", "params.yaml")
