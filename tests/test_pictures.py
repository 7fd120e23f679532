"""The pictures are PNG files of the same bytes for the same figures, whatever the names and numbers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from unlearning import pictures
from unlearning.versions import Versions

LONG = "a class with a name as long as three of the others, and more"


def shares(classes: tuple[str, ...], retrained: int) -> Versions[dict[str, float]]:
    full = {name: (number + 1) / len(classes) for number, name in enumerate(classes)}
    return Versions(
        full, dict.fromkeys(classes, 0.25), {str(seed): full for seed in range(retrained)}
    )


def scores(count: int, retrained: int) -> Versions[torch.Tensor]:
    values = torch.linspace(0, 1, count)
    return Versions(values, values**3, {str(seed): values**2 for seed in range(retrained)})


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
    assert not pictures.plt.get_fignums(), "a figure is left open"
    return size(folder / "1.png")


@pytest.mark.parametrize(("count", "retrained"), [(30, 2), (1, 0)])
def test_the_score_histogram_is_the_same_bytes_twice(tmp_path, count, retrained):
    """Must fail if a date is written, or one image or no retrained model breaks it."""
    values = scores(count, retrained)
    width, height = drawn_twice(lambda path: pictures.score_histogram(path, values), tmp_path)
    assert (width, height) == (770, 385)


@pytest.mark.parametrize("draw", [pictures.destinations, pictures.per_class_accuracy])
@pytest.mark.parametrize(("classes", "retrained"), [(("cat", "dog", LONG), 2), (("cat", "dog"), 0)])
def test_bars_are_the_same_bytes_twice(tmp_path, draw, classes, retrained):
    """Must fail if a long name or a missing reference breaks the picture."""
    values = shares(classes, retrained)
    width, height = drawn_twice(lambda path: draw(path, values), tmp_path)
    assert (width, height) == (660, 396)


def test_many_classes_make_a_wider_picture(tmp_path):
    """Must fail if thirty classes are squeezed into the width of five."""
    pictures.destinations(tmp_path / "x.png", shares(tuple(f"class {i}" for i in range(30)), 0))
    assert size(tmp_path / "x.png") == (3630, 396)


def test_a_class_name_with_dollars_is_no_formula(tmp_path):
    """Must fail if a folder's name is read as mathematics: a run would end at its last stage."""
    try:
        pictures.destinations(tmp_path / "x.png", shares(("$a_$", "cat"), 0))
    finally:
        pictures.plt.close("all")


def test_examples_show_each_image_once(tmp_path, data):
    """Must fail if one forget image breaks the grid, or rows are added for nothing."""
    forget = data.select(role="forget")
    logits = torch.randn(len(forget), 4, generator=torch.Generator().manual_seed(0))
    outputs = Versions(logits, -logits, {})
    narrow = drawn_twice(
        lambda path: pictures.examples(path, data, forget, outputs, count=6), tmp_path
    )
    assert narrow == (1375, 946)
    one = Versions(logits[:1], -logits[:1], {})
    pictures.examples(tmp_path / "one.png", data, forget[:1], one)
    assert size(tmp_path / "one.png") == (1375, 473)


def test_examples_pair_each_image_with_its_own_predictions(tmp_path, data, monkeypatch):
    """Must fail if before and after are swapped, or a row's text stands under another image."""
    forget = data.select(role="forget")
    certain = 20 * torch.eye(4)
    before = certain[torch.full((len(forget),), 2)]
    after = certain[torch.arange(len(forget)) % 2]
    shown, texts = [], []
    axes = pictures.plt.Axes
    monkeypatch.setattr(axes, "imshow", lambda self, image: shown.append(image))
    monkeypatch.setattr(axes, "text", lambda self, x, y, text, **_: texts.append(text))
    pictures.examples(tmp_path / "x.png", data, forget, Versions(before, after, {}), count=3)
    assert len(shown) == len(texts) == 3
    for image, text, row in zip(shown, texts, (0, 4, 9), strict=True):
        assert (image == data.images[int(forget[row])]).all()
        first, second = text.split("after:")
        assert first.split()[1] == "elephant"
        assert second.split()[0] == ("cat", "dog")[row % 2]
