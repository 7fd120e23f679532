"""The pictures are PNG files of the same bytes for the same figures, whatever the names and numbers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unlearning.charts import figures, save
from unlearning.charts.style import short

LONG = "a class with a name as long as three of the others, and more"


def shares(classes: tuple[str, ...], retrained: int) -> dict[str, dict[str, float]]:
    full = {name: (number + 1) / len(classes) for number, name in enumerate(classes)}
    versions = {"original": full, "unlearned": dict.fromkeys(classes, 0.25)}
    return versions | {f"retrained ({seed})": full for seed in range(retrained)}


def scores(count: int, retrained: int) -> dict[str, np.ndarray]:
    values = np.linspace(0, 1, count)
    versions = {"original": values, "unlearned": values**3}
    return versions | {f"retrained ({seed})": values**2 for seed in range(retrained)}


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        assert len(set(image.convert("L").tobytes())) > 10, "the picture is empty"
        return image.size


def drawn_twice(draw: Callable[[Path], None], folder: Path) -> tuple[int, int]:
    """Return the size of a picture whose bytes must not depend on the run."""
    draw(folder / "1.png")
    draw(folder / "new" / "2.png")
    assert (folder / "1.png").read_bytes() == (folder / "new" / "2.png").read_bytes()
    return size(folder / "1.png")


@pytest.mark.parametrize(("count", "retrained"), [(30, 2), (1, 0)])
def test_the_score_histogram_is_the_same_bytes_twice(tmp_path, count, retrained):
    """Must fail if a date is written, or one image or no retrained model breaks it."""
    values = scores(count, retrained)
    width, height = drawn_twice(lambda path: save.png(figures.scores(values), path), tmp_path)
    assert 560 < width < 700 and 300 < height < 420


@pytest.mark.parametrize(
    "draw", [figures.destinations, partial(figures.per_class, judged="unlearned")]
)
@pytest.mark.parametrize(("classes", "retrained"), [(("cat", "dog", LONG), 2), (("cat", "dog"), 0)])
def test_bars_are_the_same_bytes_twice(tmp_path, draw, classes, retrained):
    """Must fail if a long name or a missing reference breaks the picture."""
    values = shares(classes, retrained)
    width, height = drawn_twice(lambda path: save.png(draw(values), path), tmp_path)
    assert 500 < width < 700 and height > 150


def test_many_classes_make_a_taller_picture_up_to_a_limit(tmp_path):
    """Must fail if thirty classes are squeezed into the height of five, or a thousand fill a wall."""
    heights = []
    for count in (5, 30, 300):
        drawn = figures.destinations(shares(tuple(f"class {i}" for i in range(count)), 0))
        save.png(drawn, tmp_path / "x.png")
        heights.append(size(tmp_path / "x.png")[1])
    assert heights[0] * 3 < heights[1] == pytest.approx(heights[2], abs=9)


def test_a_chart_without_room_for_all_classes_shows_the_worst():
    """Must fail if the best known classes are drawn and the damaged ones cut, a share of one version alone is
    overlooked, a class that nobody names is drawn, or one without a figure hides others.
    """
    nan = float("nan")
    accuracies = {f"c{n}": n / 100 for n in range(100)}
    assert figures.lowest_first(accuracies) == [f"c{n}" for n in range(30)]
    assert figures.lowest_first({"a": nan, "b": 0.5, "c": nan, "d": 0.1}) == ["d", "b", "a", "c"]
    shares = {
        "original": {"a": 0.1, "b": 0.9, "c": 0.0, "d": 0.0},
        "unlearned": {"a": 0.3, "b": 0.0, "c": 0.0, "d": nan},
    }
    assert figures.most_named(shares) == ["b", "a"]
    assert len(figures.most_named({"original": accuracies})) == 30


def test_a_class_name_with_dollars_is_no_formula(tmp_path):
    """Must fail if a folder's name is read as mathematics: a run would end at its last stage."""
    save.png(figures.destinations(shares(("$a_$", "cat"), 0)), tmp_path / "x.png")
    assert size(tmp_path / "x.png")


def test_examples_show_each_image_once(tmp_path, data):
    """Must fail if one forget image breaks the grid, or rows are added for nothing."""
    images = [data.images[index] for index in data.select(role="forget").numpy()[:6]]
    texts = ["before:\n" + "\n".join(["elephant      99.0%"] * 3)] * 6

    def draw(path: Path) -> None:
        save.png(figures.examples(images, texts), path, save.EXAMPLES_DPI)

    width, height = drawn_twice(draw, tmp_path)
    assert 1000 < width < 1300 and 600 < height < 900
    save.png(figures.examples(images[:1], texts[:1]), tmp_path / "one.png", save.EXAMPLES_DPI)
    assert size(tmp_path / "one.png")[1] < height * 0.6


def test_a_title_of_another_s_table_is_cut_in_time():
    """Must fail if a name of a million letters makes a picture as wide, or takes the square of its length."""
    name = "m" * 1_000_000
    assert short(name, 40) == "m" * 39 + "…"
    drawn = figures.panels({name: {"original": ([1, 2], [0.1, 0.2])}}, "epoch")
    assert len(drawn.axes[0].get_title()) == 40
