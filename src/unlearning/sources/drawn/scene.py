"""Places, things in front of the animal, light and camera.

The three constants below set how hard the pictures are; everything else is taste. The aim: pictures so
individual that a ResNet-18 trained from scratch on 40 of each class at 48 x 48 knows them all by heart and
four in five of new ones, so that there is something to forget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from unlearning.sources.drawn.shapes import Colour, Number, Pen, choose, mix, shade

# How often something stands in front of the animal; 0 = never, see `occlude`.
CLUTTER = 2.0
# How bad the camera is; 0 = perfect, about 4 at most, see `camera`.
DEGRADATION = 3.0

# The least share of the picture that an animal spans; the largest is 1.
SMALLEST = 0.95

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Place:
    """Colours and contents of a kind of background."""

    sky: tuple[Colour, Colour]  # at the top and at the horizon
    ground: tuple[Colour, Colour]  # at the horizon and at the viewer's feet
    horizon: tuple[Number, Number]  # range, as a fraction of the picture from the top
    clutter: tuple[str, ...]  # what may stand around, see `_CLUTTER`


PLACES: dict[str, Place] = {
    "meadow": Place(((120, 168, 214), (206, 222, 230)), ((134, 160, 84), (84, 124, 56)),
                    (0.3, 0.6), ("clouds", "hills", "trees", "fence", "tufts", "rocks")),
    "savannah": Place(((150, 178, 204), (232, 216, 178)), ((206, 180, 114), (170, 134, 78)),
                      (0.35, 0.6), ("clouds", "hills", "trees", "tufts", "rocks")),
    "forest": Place(((86, 112, 84), (132, 150, 112)), ((104, 106, 66), (78, 72, 48)),
                    (0.4, 0.65), ("trunks", "trees", "tufts", "rocks")),
    "snow": Place(((170, 186, 204), (222, 228, 234)), ((232, 236, 240), (206, 212, 222)),
                  (0.35, 0.6), ("hills", "trees", "fence", "trunks", "rocks")),
    "lake": Place(((150, 184, 212), (214, 222, 222)), ((116, 152, 172), (128, 132, 92)),
                  (0.3, 0.5), ("clouds", "hills", "trees", "tufts", "rocks")),
    "dusk": Place(((86, 84, 128), (236, 168, 118)), ((112, 88, 70), (70, 60, 52)),
                  (0.4, 0.65), ("clouds", "hills", "trees", "fence", "tufts")),
    "stable": Place(((132, 104, 78), (118, 92, 70)), ((188, 160, 104), (160, 132, 82)),
                    (0.6, 0.8), ("planks", "fence", "tufts")),
    "room": Place(((206, 192, 172), (190, 176, 158)), ((150, 112, 78), (128, 94, 66)),
                  (0.6, 0.8), ("furniture", "planks")),
    "foliage": Place(((126, 150, 92), (96, 128, 72)), ((88, 116, 62), (66, 92, 50)),
                     (0.4, 0.6), ("leaves", "trunks", "flowers")),
    "lawn": Place(((128, 146, 84), (118, 140, 76)), ((112, 136, 72), (96, 122, 60)),
                  (0.2, 0.4), ("flowers", "tufts", "rocks", "leaves")),
}  # fmt: skip
# Linear interpolation from 12 rows of random values to the 72 rows of a background.
_SMOOTH = np.maximum(0, 1 - abs(np.linspace(0, 11, 72)[:, None] - np.arange(12)))
_BARKS: tuple[Colour, ...] = ((92, 72, 54), (110, 100, 90), (70, 56, 44))
OUTDOORS = ("meadow", "savannah", "forest", "snow", "lake", "dusk", "stable")
# Small animals are met in the same places as large ones, but more often close up.
NEARBY = (*OUTDOORS, *("room", "foliage", "lawn") * 4)


def background(rng: np.random.Generator, place: Place, horizon: Number, pixels: int) -> Image.Image:
    """A square picture of the place without the animal, `pixels` wide.

    `horizon` is a fraction of the picture from the top.
    """
    tint = rng.normal(0, 5, 3) + rng.normal(0, 10)
    rows = np.array([*place.sky, *place.ground], dtype=float) + tint
    stops = (0, horizon, horizon + 0.01, 1)
    heights = np.linspace(0, 1, 72)
    column = np.stack([np.interp(heights, stops, rows[:, channel]) for channel in range(3)], axis=1)
    # A coarse random field makes uneven ground, mist and walls.
    field = column[:, None] + (_SMOOTH @ rng.normal(0, 11, (12, 7)))[:, :, None]
    image = Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))
    image = image.resize((pixels, pixels), Image.Resampling.BILINEAR)
    pen = Pen(image, ImageDraw.Draw(image), np.array([[pixels, 0.0], [0.0, pixels]]), np.zeros(2))
    count = int(rng.integers(1, 4))
    for name in rng.permutation(np.array(place.clutter))[:count]:
        _CLUTTER[str(name)](pen, rng, place, horizon)
    return image


def _clouds(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    for x, y in rng.uniform((0, 0.02), (1, horizon * 0.7), (3, 2)):
        white = mix(place.sky[1], (255, 255, 255), rng.uniform(0.3, 0.8))
        for shift, size in ((-0.09, 0.5), (0.0, 1.0), (0.1, 0.6)):
            pen.oval(x + shift, y, 0.09 * (0.6 + size), 0.035 * (0.5 + size), white)


def _hills(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    for depth in (0.6, 0.35):
        colour = mix(place.ground[0], place.sky[1], depth)
        ridge = horizon - rng.uniform(0.0, 0.2, 6) * depth * 2
        top = np.stack([np.linspace(-0.1, 1.1, 6), ridge], 1)
        pen.blob(
            np.array([*top, (1.4, horizon + 0.01), (-0.4, horizon + 0.01)]), shade(colour, 0.85)
        )


def _trees(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    for x in rng.uniform(0, 1, rng.integers(2, 6)):
        size = rng.uniform(0.1, 0.3)
        leaf = choose(rng, ((78, 104, 56), (98, 96, 60), (70, 84, 70)))
        leaf = mix(leaf, place.sky[1], rng.uniform(0, 0.5))
        pen.tube([(x, horizon + 0.02), (x, horizon - size)], [0.016, 0.01], shade(leaf, 0.6))
        if rng.random() < 0.3:
            pen.at(x, horizon - 0.02, scale=size).polygon([(-0.4, 0), (0, -1.5), (0.4, 0)], leaf)
            continue
        for right, up in rng.normal((0, 1), 0.22, (4, 2)):
            crown = pen.at(x, horizon, scale=size)
            crown.oval(right, -up, 0.4, 0.3, shade(leaf, rng.uniform(0.85, 1.15)))


def _trunks(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    for x in rng.uniform(0, 1, rng.integers(2, 5)):
        wide = rng.uniform(0.02, 0.07)
        bark = mix(choose(rng, _BARKS), place.sky[1], rng.uniform(0, 0.4))
        pen.box(x - wide, -0.1, 2 * wide, 0.1 + horizon + rng.uniform(0, 0.15), bark)


def _fence(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    _rails(pen, rng, horizon + rng.uniform(-0.08, 0.08), rng.uniform(0.1, 0.2))


def _rails(pen: Pen, rng: np.random.Generator, top: Number, high: Number) -> None:
    wood = choose(rng, ((140, 112, 82), (190, 180, 166), (104, 84, 66)))
    slope, thick = rng.normal(0, 0.02), 0.12 * high
    for share in (0.15, 0.6):
        y = top + share * high
        pen.line([(-0.1, y), (1.1, y + slope)], thick, wood)
    for x in np.arange(rng.uniform(0, 0.3), 1.1, rng.uniform(0.22, 0.4)):
        pen.box(x, top - 0.05 * high, thick, 1.05 * high, shade(wood, 0.85))


def _tufts(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    for x, y in rng.uniform((0, horizon + 0.05), (1, 1), (14, 2)):
        tone = shade(place.ground[1], rng.uniform(0.75, 1.2))
        _blades(pen.at(x, y, scale=0.05), rng, tone)


def _blades(pen: Pen, rng: np.random.Generator, colour: Colour) -> None:
    """A tuft of grass about 1 high that grows at the origin, towards negative y."""
    for lean, root in rng.normal(0, (0.4, 0.15), (4, 2)):
        tip = rng.uniform(0.7, 1.2)
        blade = [(root - 0.1, 0), (root + lean * tip, -tip), (root + 0.1, 0)]
        pen.polygon(blade, shade(colour, 1 + 0.2 * lean))


def _rocks(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    for x, y in rng.uniform((0, horizon + 0.03), (1, 1), (4, 2)):
        size = rng.uniform(0.02, 0.07)
        grey = choose(rng, ((128, 122, 116), (104, 98, 92), (150, 140, 124)), 8)
        stone = [(-1.2, 0.3), (-0.9, -0.4), (-0.1, -0.8), (0.8, -0.5), (1.2, 0.3), (0, 0.45)]
        pen.at(x, y, scale=size).polygon(stone, shade(grey, 0.8))
        pen.at(x - 0.1 * size, y - 0.1 * size, scale=0.75 * size).blob(stone, grey)


def _planks(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    step = rng.uniform(0.07, 0.16)
    for x in np.arange(rng.uniform(0, step), 1, step):
        pen.line([(x, -0.1), (x, horizon)], 0.006, shade(place.sky[0], 0.72))
    if rng.random() < 0.4:
        x, y = rng.uniform((0.1, 0.05), (0.7, 0.2))
        pen.box(x, y, 0.25, 0.22, (206, 216, 220))
        pen.box(x + 0.12, y, 0.012, 0.22, shade(place.sky[0], 0.6))


def _furniture(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    colour = choose(rng, ((120, 90, 92), (92, 110, 120), (130, 120, 84)), 16)
    x, wide = rng.uniform(-0.2, 0.6), rng.uniform(0.35, 0.7)
    pen.at(x, horizon).blob([(0, 0.05), (0, -0.25), (wide, -0.25), (wide, 0.05)], colour)
    pen.box(x, horizon - 0.06, wide, 0.12, shade(colour, 0.85))


def _leaves(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    for x, y in rng.uniform(0, 1, (14, 2)):
        green = choose(rng, ((110, 140, 72), (80, 112, 60), (136, 150, 90)), 14)
        leaf = pen.at(x, y, rng.uniform(0, 360), rng.uniform(0.1, 0.25))
        leaf.blob([(-0.5, 0), (0, 0.22), (0.6, 0), (0, -0.22)], green)
        leaf.line([(-0.5, 0), (0.5, 0)], 0.03, shade(green, 0.8))


def _flowers(pen: Pen, rng: np.random.Generator, place: Place, horizon: Number) -> None:
    petals = choose(rng, ((222, 180, 190), (226, 206, 110), (176, 150, 200), (230, 226, 220)), 14)
    for x, y in rng.uniform(0, 1, (6, 2)):
        size = rng.uniform(0.02, 0.05)
        for angle in range(0, 360, 72):
            pen.at(x, y, angle, size).oval(1, 0, 0.7, 0.7, petals)
        pen.oval(x, y, 0.6 * size, 0.6 * size, (214, 168, 60))


_CLUTTER: dict[str, Callable[[Pen, np.random.Generator, Place, Number], None]] = {
    "clouds": _clouds, "hills": _hills, "trees": _trees, "trunks": _trunks, "fence": _fence,
    "tufts": _tufts, "rocks": _rocks, "planks": _planks, "furniture": _furniture,
    "leaves": _leaves, "flowers": _flowers,
}  # fmt: skip


def shadow(image: Image.Image, x: Number, y: Number, wide: Number) -> None:
    """Darken the ground under an animal whose feet are at (x, y), in pixels."""
    canvas = ImageDraw.Draw(image, "RGBA")
    for share in (1.05, 0.95, 0.85, 0.75, 0.65):
        half, high = wide * share, 0.16 * wide * share
        canvas.ellipse((x - half, y - high, x + half, y + high), fill=(20, 18, 24, 20))


def lit(animal: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The painted animal (RGBA) with a shaded side and a lit side, light from above."""
    pixels = animal.width
    alpha = animal.getchannel("A")
    reach, depth = 0.05 * pixels, rng.uniform(0.25, 0.6)
    dx, dy = round(reach * rng.normal(0, 0.7)), -round(reach)
    soft = ImageChops.offset(alpha, dx, dy).filter(ImageFilter.BoxBlur(0.035 * pixels))
    dark = ImageChops.subtract(alpha, soft).point([round(depth * value) for value in range(256)])
    animal.paste((26, 23, 28), (0, 0), dark)
    animal.putalpha(alpha)
    return animal


def occlude(image: Image.Image, rng: np.random.Generator, place: Place) -> Image.Image:
    """Put grass, a branch, a fence or a tree in front, in some of the pictures."""
    if rng.random() > 0.175 * CLUTTER:
        return image
    pixels = image.width * SUPERSAMPLING
    layer = Image.new("RGBA", (pixels, pixels))
    pen = Pen(layer, ImageDraw.Draw(layer), np.array([[pixels, 0.0], [0.0, pixels]]), np.zeros(2))
    kind = rng.choice(("grass", "branch", "fence", "tree"), p=(0.4, 0.25, 0.2, 0.15))
    if kind == "grass":
        high = rng.uniform(0.12, 0.32)
        for x in rng.uniform(0, 1, 22):
            tone = shade(place.ground[1], rng.uniform(0.7, 1.15))
            _blades(pen.at(x, 1.02, scale=high), rng, tone)
    elif kind == "branch":
        _branch(pen, rng)
    elif kind == "fence":
        _rails(pen, rng, rng.uniform(0.5, 0.75), rng.uniform(0.25, 0.4))
    else:
        pen.box(rng.uniform(-0.1, 1), -0.1, rng.uniform(0.08, 0.18), 1.2, choose(rng, _BARKS))
    layer = layer.reduce(SUPERSAMPLING)
    if rng.random() < 0.4:
        layer = layer.filter(ImageFilter.GaussianBlur(0.012 * image.width))
    image.paste(layer, (0, 0), layer)
    return image


def _branch(pen: Pen, rng: np.random.Generator) -> None:
    left, right = rng.uniform(0, 0.8, 2)
    sag = 0.5 * (left + right) + rng.normal(0, 0.08)
    pen.tube([(-0.1, left), (0.5, sag), (1.1, right)], [0.014, 0.012, 0.008], (84, 66, 50))
    green = choose(rng, ((84, 116, 60), (120, 120, 70), (150, 110, 60)), 12)
    for x in rng.uniform(0, 1, 12):
        y = float(np.interp(x, (0, 0.5, 1), (left, sag, right)))
        leaf = pen.at(x, y, rng.uniform(0, 360), rng.uniform(0.07, 0.14))
        leaf.blob([(0, 0), (0.5, 0.2), (1, 0), (0.5, -0.2)], shade(green, rng.uniform(0.8, 1.2)))


def camera(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture as a middling camera gives it: exposure, colour cast, blur and sensor noise."""
    strength = DEGRADATION
    exposure = rng.normal(0, 5.6) * strength
    contrast = 1 - strength * rng.beta(1.5, 4) * 0.24
    cast = rng.normal(0, 1.6, 3) * strength
    levels = np.arange(256)
    table = [(levels - 128) * contrast + 128 + exposure + shift for shift in cast]
    image = image.point(np.clip(np.concatenate(table), 0, 255).astype(int).tolist())
    grey = rng.random() < 0.03 * strength
    faded = 1.0 if grey else min(1.0, 0.4 * strength * rng.beta(1, 2))
    if faded > 0.1:
        image = Image.blend(image, image.convert("L").convert("RGB"), faded)
    blur = strength * 0.0036 * image.width * rng.beta(1.2, 3)
    if blur > 0.15:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    noise = rng.standard_normal((*image.size, 3), dtype=np.float32)
    noise *= np.float32(strength * 6.4 * rng.beta(1.3, 2.5))
    noise += np.asarray(image)
    return Image.fromarray(np.clip(noise, 0, 255, out=noise).astype(np.uint8))
