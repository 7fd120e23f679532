"""Smooth shapes painted with Pillow in an animal's own coordinates.

Coordinates: x forward, y up, one unit is about the animal's body; a `Pen` knows where that lies in
pixels. Outlines are Catmull-Rom splines through a few control points, as one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Number = float | int
Colour = tuple[int, int, int]
Points = NDArray[np.float64]
Pair = tuple[Number, Number]
Outline = Points | Sequence[Pair]

_STEPS = 6  # spline points per control point
_TURN = np.linspace(0, 2 * math.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
_CAP = np.linspace(0, math.pi, 7)[1:-1, None]


@lru_cache(maxsize=64)
def _spline_weights(count: int, closed: bool) -> Points:
    """Weights (spline points x control points) of a Catmull-Rom curve through `count` points."""
    t = np.arange(_STEPS)[:, None] / _STEPS
    blend = 0.5 * np.hstack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    )
    segments = count if closed else count - 1
    weights = np.zeros((segments * _STEPS + (not closed), count))
    for segment in range(segments):
        for neighbour in range(4):
            index = segment + neighbour - 1
            column = index % count if closed else min(max(index, 0), count - 1)
            rows = slice(segment * _STEPS, (segment + 1) * _STEPS)
            weights[rows, column] += blend[:, neighbour]
    if not closed:
        weights[-1, -1] = 1
    return weights


def smooth_outline(points: Outline) -> Points:
    """The closed smooth curve through the control points, six points per control point."""
    control = np.asarray(points, dtype=float)
    return _spline_weights(len(control), True) @ control


def tube_outline(points: Outline, radii: Points | Sequence[Number]) -> Points:
    """The outline of a limb with round ends: a smooth centre line and a radius at each point."""
    control = np.column_stack([np.asarray(points, dtype=float), np.asarray(radii)])
    curve = _spline_weights(len(control), False) @ control
    centre, radius = curve[:, :2], np.maximum(curve[:, 2:], 1e-3)
    ahead = np.empty_like(centre)
    ahead[1:-1] = centre[2:] - centre[:-2]
    ahead[0], ahead[-1] = centre[1] - centre[0], centre[-1] - centre[-2]
    ahead /= np.sqrt((ahead**2).sum(axis=1, keepdims=True)) + 1e-9
    side = ahead[:, ::-1] * (-1, 1)
    end = centre[-1] + radius[-1] * (np.cos(_CAP) * side[-1] + np.sin(_CAP) * ahead[-1])
    start = centre[0] - radius[0] * (np.cos(_CAP) * side[0] + np.sin(_CAP) * ahead[0])
    return np.concatenate([centre + radius * side, end, (centre - radius * side)[::-1], start])


def shade(colour: Colour, factor: Number) -> Colour:
    """The colour made darker (factor < 1) or lighter (factor > 1), kept within 0 to 255."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue


def mix(first: Colour, second: Colour, share: Number) -> Colour:
    """The colour that lies `share` (0 to 1) of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def choose(rng: np.random.Generator, colours: Sequence[Colour], spread: Number = 10) -> Colour:
    """One of the colours, its lightness shifted by about `spread` of 255,
    its hue by a third of that."""
    colour = colours[int(rng.integers(len(colours)))]
    shift = rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    red, green, blue = (min(255, max(0, round(c + s))) for c, s in zip(colour, shift, strict=True))
    return red, green, blue


@dataclass(frozen=True)
class Pen:
    """Paints on `image` through an affine map: pixel = matrix @ point + offset."""

    image: Image.Image
    canvas: ImageDraw.ImageDraw
    matrix: Points
    offset: Points

    def at(
        self, x: Number, y: Number, angle: Number = 0, scale: Number = 1, wide: Number = 1
    ) -> Pen:
        """A pen whose origin lies at (x, y), turned by `angle` degrees, x stretched by `wide`."""
        cos, sin = math.cos(math.radians(angle)) * scale, math.sin(math.radians(angle)) * scale
        turned = self.matrix @ np.array([[cos * wide, -sin], [sin * wide, cos]])
        return Pen(self.image, self.canvas, turned, self.matrix @ (x, y) + self.offset)

    def polygon(self, points: Outline, colour: Colour) -> None:
        """Fill the straight-edged outline."""
        pixels = np.asarray(points) @ self.matrix.T + self.offset
        self.canvas.polygon(pixels.ravel().tolist(), fill=colour)

    def blob(self, points: Outline, colour: Colour) -> None:
        """Fill the smooth outline through the control points."""
        self.polygon(smooth_outline(points), colour)

    def tube(self, points: Outline, radii: Points | Sequence[Number], colour: Colour) -> None:
        """Fill a limb, see `tube_outline`."""
        self.polygon(tube_outline(points, radii), colour)

    def box(self, left: Number, top: Number, wide: Number, high: Number, colour: Colour) -> None:
        """Fill a rectangle whose corner is (left, top), towards growing x and y."""
        right, bottom = left + wide, top + high
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def oval(self, x: Number, y: Number, wide: Number, high: Number, colour: Colour) -> None:
        """Fill an ellipse with the given half axes."""
        self.polygon(_CIRCLE * (wide, high) + (x, y), colour)

    def line(self, points: Outline, width: Number, colour: Colour) -> None:
        """Draw a straight-edged line, `width` in animal units but never under one pixel."""
        pixels = np.asarray(points) @ self.matrix.T + self.offset
        thick = width * math.sqrt(abs(np.linalg.det(self.matrix)))
        self.canvas.line(pixels.ravel().tolist(), colour, max(1, round(thick)), "curve")

    def strokes(
        self, rng: np.random.Generator, box: Sequence[Number], count: int, colour: Colour
    ) -> None:
        """Scatter short hairs in the box (left, bottom, right, top), lighter and darker."""
        start = rng.uniform(box[:2], box[2:], (count, 2))
        end = start + rng.normal((-0.04, -0.03), 0.02, (count, 2))
        pixels = np.hstack([start, end]).reshape(-1, 2) @ self.matrix.T + self.offset
        tones = [shade(colour, 0.86), shade(colour, 1.12), shade(colour, 0.93)]
        for index, hair in enumerate(pixels.reshape(count, 4).tolist()):
            self.canvas.line(hair, tones[index % 3])

    @contextmanager
    def clipped(self) -> Iterator[None]:
        """What is painted inside stays within the shapes painted so far."""
        alpha = self.image.getchannel("A")
        yield
        self.image.putalpha(alpha)
