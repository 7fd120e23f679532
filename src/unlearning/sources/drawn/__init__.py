"""Pictures of ten animals, drawn from parametrised shapes; no files, no fonts, no network.

The classes carry the names of the Animals-10 data set. A picture is a place, an animal with its
shadow and light, something in front of it, and a camera; every choice comes from the caller's
generator. The large mammals share one body plan, their coat colours, sizes and places.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from unlearning.sources.drawn import scene
from unlearning.sources.drawn.others import draw_butterfly, draw_chicken, draw_spider, draw_squirrel
from unlearning.sources.drawn.quadrupeds import draw_quadruped
from unlearning.sources.drawn.shapes import Number, Pen

__all__ = ["SPECIES", "draw"]


@dataclass(frozen=True)
class _Subject:
    """How one species is painted and where it is met."""

    paint: Callable[[Pen, np.random.Generator], None]
    span: tuple[Number, Number]  # usual width and height, in body lengths
    places: tuple[str, ...]
    stands: bool = True  # on the ground, with a shadow


_SUBJECTS: dict[str, _Subject] = {
    "butterfly": _Subject(draw_butterfly, (1.6, 1.3), scene.NEARBY, stands=False),
    "cat": _Subject(partial(draw_quadruped, "cat"), (1.5, 1.3), scene.NEARBY),
    "chicken": _Subject(draw_chicken, (1.6, 1.4), scene.NEARBY),
    "cow": _Subject(partial(draw_quadruped, "cow"), (1.8, 1.25), scene.OUTDOORS),
    "dog": _Subject(partial(draw_quadruped, "dog"), (1.7, 1.3), scene.NEARBY),
    "elephant": _Subject(partial(draw_quadruped, "elephant"), (1.85, 1.25), scene.OUTDOORS),
    "horse": _Subject(partial(draw_quadruped, "horse"), (1.9, 1.5), scene.OUTDOORS),
    "sheep": _Subject(partial(draw_quadruped, "sheep"), (1.65, 1.15), scene.OUTDOORS),
    "spider": _Subject(draw_spider, (1.9, 1.9), scene.NEARBY, stands=False),
    "squirrel": _Subject(draw_squirrel, (1.7, 1.4), scene.NEARBY),
}
SPECIES: tuple[str, ...] = tuple(sorted(_SUBJECTS))


def draw(species: str, rng: np.random.Generator, size: int = 144) -> Image.Image:
    """One RGB picture of the species, `size` x `size` pixels.

    The same generator state gives the same bytes; the generator is advanced.

    Raises:
        ValueError: `species` is not one of `SPECIES`.
    """
    if species not in _SUBJECTS:
        raise ValueError(f"unknown species {species!r}; known: {', '.join(SPECIES)}")
    subject = _SUBJECTS[species]
    place = scene.PLACES[subject.places[int(rng.integers(len(subject.places)))]]
    pixels = size * scene.SUPERSAMPLING
    horizon = rng.uniform(*place.horizon)

    wide, high = subject.span
    scale = pixels * rng.uniform(scene.SMALLEST, 1.0) / max(wide, high)
    x = pixels * 0.5 + rng.normal(0, 0.05) * pixels
    y = pixels * (0.5 + rng.normal(0, 0.03)) + 0.5 * high * scale
    if subject.stands:  # never in the sky
        y = max(y, pixels * (horizon + 0.08))
    layer = Image.new("RGBA", (pixels, pixels))
    pen = _pen(layer, x, y, scale, rng)

    ground = scene.background(rng, place, horizon, pixels)
    if subject.stands:
        scene.shadow(ground, x, y, 0.62 * scale)
    subject.paint(pen, rng)
    image, animal = ground.reduce(scene.SUPERSAMPLING), layer.reduce(scene.SUPERSAMPLING)
    if rng.random() < 0.5:  # depth of field
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.003, 0.015) * size))
    animal = scene.lit(animal, rng)
    image.paste(animal, (0, 0), animal)
    return scene.camera(scene.occlude(image, rng, place), rng)


def _pen(layer: Image.Image, x: Number, y: Number, scale: Number, rng: np.random.Generator) -> Pen:
    """A pen with its origin at pixel (x, y) that faces left or right, a little tilted."""
    facing, tilt = rng.choice((-1.0, 1.0)), math.radians(rng.normal(0, 2.5))
    stretch = rng.uniform(0.9, 1.05)
    turn = np.array([[math.cos(tilt), math.sin(tilt)], [-math.sin(tilt), math.cos(tilt)]])
    matrix = scale * turn @ np.diag([facing * stretch, -1.0])
    return Pen(layer, ImageDraw.Draw(layer), matrix, np.array([x, y]))
