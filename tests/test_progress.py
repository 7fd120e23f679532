"""A person is told how far the work is, in plain lines where there is no terminal."""

import io
import json

import pytest

from unlearning.base import progress
from unlearning.base.progress import Curve, Done, bar, meter, silent


def test_a_curve_says_each_epoch_and_keeps_it_with_all_digits(capsys):
    """Must fail if rows are rounded for the eye, or a line is kept back."""
    curve = Curve("game")
    curve(epoch=1.0, loss=0.123456)
    assert capsys.readouterr().out == "game: epoch 1 loss 0.1235\n"
    curve.tagged(seed=7.0)(loss=0.5)
    assert capsys.readouterr().out == "game: seed 7 loss 0.5\n"
    assert curve.rows == [{"epoch": 1.0, "loss": 0.123456}, {"seed": 7.0, "loss": 0.5}]


def test_reports_take_whole_numbers_as_the_library_gives_them(capsys):
    """Must fail if the type hook, which is no type checker's tower, refuses an int as a float."""
    curve = Curve("game")
    curve.tagged(seed=1)(epoch=12, side=64, loss=2.0)
    silent(epoch=1)
    assert capsys.readouterr().out == "game: seed 1 epoch 12 side 64 loss 2\n"
    assert curve.rows == [{"seed": 1, "epoch": 12, "side": 64, "loss": 2.0}]


def test_without_a_terminal_there_is_a_line_a_minute(capsys, monkeypatch):
    """Must fail if every item makes a line, what an earlier run did counts as speed, or the end is not told."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    now = iter([0.0, 1.0, 30.0, 61.0, 100.0, 122.0, 150.0, 150.0])
    with meter(1000, "images", clock=lambda: next(now)) as advance:
        advance(400, earlier=True)
        for count in (100, 83, 100, 200, 117):
            advance(count)
    assert capsys.readouterr().out.splitlines() == [
        "583/1,000 images, 3 a second, about 2 min left",
        "883/1,000 images, 3.96 a second, about 30 s left",
        "1,000/1,000 images in 2 min",
    ]


def test_what_begins_late_has_no_rate_yet(capsys, monkeypatch):
    """Must fail if a minute in which nothing was done ends in a division by zero."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    now = iter([0.0, 61.0, 62.0, 64.0, 64.0])
    with meter(1000, "images", clock=lambda: next(now)) as advance:
        advance(0)
        advance(100, earlier=True)
        advance(128)
    assert capsys.readouterr().out.splitlines() == [
        "228/1,000 images, 2 a second, about 6 min left",
        "228/1,000 images in 64 s",
    ]


def test_what_goes_on_counts_from_where_it_was(monkeypatch):
    """Must fail if the bar of a run that goes on with the second of three says that two are all."""
    heard: list[Done] = []
    monkeypatch.setattr(progress, "_listener", heard.append)
    assert list(bar([2, 3], 3, "rounds", earlier=1)) == [2, 3]
    assert heard == [Done(1, earlier=True), Done(1, earlier=False), Done(1, earlier=False)]


def test_what_is_soon_over_is_not_told(capsys, monkeypatch):
    """Must fail if a second of work fills a screen; or items are lost or turned round."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert list(bar(range(2000), 2000, "images")) == list(range(2000))
    assert list(bar([], 0, "images")) == []
    assert capsys.readouterr().out == ""


def test_on_a_terminal_a_bar_says_no_lines(capsys, monkeypatch):
    """Must fail if lines tear the bar apart."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(bar(range(5), 5, "images")) == list(range(5))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "5/5" in captured.err or "4/5" in captured.err or "0/5" in captured.err
    with meter(10, "images") as advance:
        advance(5, earlier=True)
        advance(5)
    assert "5/10" in capsys.readouterr().err


def test_who_works_for_another_process_tells_it_all(capsys, monkeypatch):
    """Must fail if two processes write to one terminal, or what an earlier run did is not counted."""
    monkeypatch.setattr(progress, "_listener", None)
    heard: list[str | progress.Done] = []
    progress.tell(heard.append)
    Curve("retrain").tagged(seed=2)(epoch=1, loss=0.5)
    with meter(10, "images") as advance:
        advance(4, earlier=True)
        advance(6)
    assert heard == ["retrain: seed 2 epoch 1 loss 0.5", (4, True), (6, False)]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_said_as_json_whatever_the_encoding(encoding, monkeypatch):
    """Must fail if a sign that the encoding lacks ends the command, or is written as no JSON has it."""
    name = "\u00e9 \U0001f600 \u4e2d \x9b \udcff \\"
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))
    progress.say(json.dumps(name, ensure_ascii=False))
    assert json.loads(written.getvalue().decode(encoding)) == name
