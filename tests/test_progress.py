"""A person is told how far the work is, in plain lines where there is no terminal."""

import pytest

from unlearning.base.progress import Curve, bar, silent


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


@pytest.mark.parametrize(
    ("total", "told"),
    [(3, [1, 2, 3]), (10, list(range(1, 11))), (25, [3, 6, 9, 12, 15, 18, 21, 24, 25]), (0, [])],
)
def test_without_a_terminal_a_bar_is_a_line_per_tenth(capsys, monkeypatch, total, told):
    """Must fail if every item makes a line, or the end is not told."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert list(bar(range(total), total, "images")) == list(range(total))
    assert capsys.readouterr().out.splitlines() == [f"{done}/{total} images" for done in told]


def test_on_a_terminal_a_bar_says_no_lines(capsys, monkeypatch):
    """Must fail if lines tear the bar apart."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(bar(range(5), 5, "images")) == list(range(5))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "5/5" in captured.err
