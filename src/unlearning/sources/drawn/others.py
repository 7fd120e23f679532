"""Animals with a body of their own: butterfly, chicken, spider and squirrel.

Units as for the quadrupeds: the body is about 1 long; chicken and squirrel stand on y = 0 and face
+x, butterfly and spider are seen from above and centred on (0, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unlearning.sources.drawn.shapes import Colour, Number, Pen, Points, choose, mix, shade

_BLACK: Colour = (32, 28, 28)
_THREAD: Colour = (226, 226, 222)
_FORE_WING = np.array(
    [(0.02, 0.02), (0.25, 0.4), (0.62, 0.68), (0.84, 0.62), (0.78, 0.36), (0.6, 0.08), (0.3, -0.02)]
)
_HIND_WING = np.array(
    [(0.02, 0.05), (0.34, 0.06), (0.6, -0.08), (0.66, -0.34), (0.46, -0.58), (0.24, -0.5),
     (0.08, -0.22)]
)  # fmt: skip


@dataclass(frozen=True)
class _WingPattern:
    """Colours of a wing and the radii of its dots, eye spots and their pupils."""

    ground: Colour
    border: Colour
    spots: Colour
    radii: tuple[Number, Number, Number]


def draw_butterfly(pen: Pen, rng: np.random.Generator) -> None:
    """Paint a butterfly from above with open wings, or from the side with wings folded upwards."""
    ground = choose(rng, ((226, 130, 50), (70, 120, 190), (232, 208, 96), (228, 224, 214),
                          (150, 92, 62), (170, 90, 150), (120, 150, 110)), 12)  # fmt: skip
    border = choose(rng, (_BLACK, (84, 58, 46), shade(ground, 0.5)), 6)
    spots = choose(rng, ((240, 232, 214), (236, 190, 90), (60, 48, 48)))
    dot, ring, pupil = rng.uniform(0.05, 0.1, 3) * (0.55, 1.3, 0.7)
    pattern = _WingPattern(ground, border, spots, (dot, ring, pupil))
    if rng.random() < 0.25:
        middle = pen.at(0, 0.25, rng.normal(12, 10), 1.25)
        _wings(middle.at(-0.1, 0, 62), pattern)
        _wings(middle.at(0, 0, 48), pattern)
        _butterfly_body(middle.at(0, 0, -68, 0.9))
        return
    middle = pen.at(0, 0.5, rng.normal(0, 40))
    for wide in (-1, rng.uniform(0.6, 1)):
        _wings(middle.at(0, 0, wide=wide), pattern)
    _butterfly_body(middle)


def _wings(pen: Pen, pattern: _WingPattern) -> None:
    """Hind and fore wing that reach out along +x, hinged at the origin."""
    dot, ring, pupil = pattern.radii
    for wing, tone in ((_HIND_WING, 0.9), (_FORE_WING, 1)):
        centre = wing.mean(axis=0)
        pen.blob(wing, pattern.border)
        pen.blob(0.8 * wing + 0.16 * centre, shade(pattern.ground, tone))
        for tip in wing[2:6]:
            pen.line(np.array([wing[0], 0.3 * centre + 0.7 * tip]), 0.012, pattern.border)
        for x, y in centre + 0.87 * (wing[1:6] - centre):
            pen.oval(x, y, dot, dot, pattern.spots)
        x, y = 0.8 * centre + 0.2 * wing[3]
        pen.oval(x, y, ring, ring, pattern.border)
        pen.oval(x, y, pupil, pupil, pattern.spots)


def _butterfly_body(pen: Pen) -> None:
    pen.tube([(0, 0.22), (0, 0), (0, -0.42)], [0.05, 0.06, 0.025], (44, 36, 34))
    pen.oval(0, 0.26, 0.055, 0.05, (54, 44, 40))
    for side in (-1, 1):
        pen.line([(0, 0.3), (side * 0.1, 0.45), (side * 0.2, 0.56)], 0.016, _BLACK)
        pen.oval(side * 0.2, 0.57, 0.025, 0.025, _BLACK)


def draw_chicken(pen: Pen, rng: np.random.Generator) -> None:
    """Paint a hen or cock, standing or pecking."""
    coats = ((232, 224, 210), (160, 88, 46), (60, 48, 44), (196, 138, 78))
    coat = choose(rng, coats, 12)
    red = choose(rng, ((198, 46, 40), (180, 60, 52)), 8)
    cock = rng.uniform(0.7, 1.5)  # size of comb and tail
    pecks = bool(rng.random() < 0.3)
    head = np.array((0.7, 0.4) if pecks else (0.5, 1.18)) + rng.normal(0, 0.03, 2)
    step = rng.normal(0, 0.07)
    for x, tone in ((0.12 + step, 0.75), (-0.02 - step, 1)):
        _chicken_leg(pen, x, shade((214, 160, 62), tone))
    _chicken_tail(pen, mix(coat, _BLACK, 0.6) if rng.random() < 0.5 else shade(coat, 0.85), cock)
    pen.blob([(-0.46, 0.72), (-0.34, 0.42), (-0.04, 0.27), (0.24, 0.33), (0.42, 0.56), (0.4, 0.82),
              (0.14, 0.78), (-0.14, 0.72), (-0.36, 0.84)], coat)  # fmt: skip
    middle = (0.42, 0.72) if pecks else (0.36, 0.86)
    pen.tube(np.array([(0.22, 0.6), middle, head]), [0.24, 0.2, 0.11], coat)
    with pen.clipped():
        if rng.random() < 0.4:
            for x, y in rng.uniform((-0.4, 0.3), (0.4, 0.8), (30, 2)):
                pen.oval(x, y, 0.03, 0.02, shade(coat, 0.6))
        pen.strokes(rng, (-0.45, 0.3, 0.5, 1), 40, coat)
    for index in range(3):
        feathers = [(-0.4, -0.02), (-0.1, -0.16), (0.22, -0.06), (0.24, 0.1), (0, 0.12)]
        wing = pen.at(-0.02, 0.62 - 0.06 * index, 8, 1 - 0.12 * index)
        wing.blob(feathers, shade(coat, 0.82 + 0.09 * index))
    x, y = head.tolist()
    _chicken_head(pen.at(x, y, -55 if pecks else rng.normal(0, 8)), coat, red, cock)


def _chicken_leg(pen: Pen, x: Number, colour: Colour) -> None:
    pen.line([(x, 0.36), (x - 0.02, 0.18), (x, 0.02)], 0.045, colour)
    for toe in (-0.1, 0.08, 0.15):
        pen.line([(x, 0.04), (x + toe, 0)], 0.03, colour)


def _chicken_tail(pen: Pen, colour: Colour, cock: Number) -> None:
    for index in range(5):
        middle = (-0.58 + 0.05 * index, 0.9 + 0.05 * index)
        tip = (-0.78 + 0.07 * index, 0.9 + 0.11 * index * cock)
        pen.tube([(-0.3, 0.62), middle, tip], [0.1, 0.09, 0.03], shade(colour, 0.8 + 0.08 * index))


def _chicken_head(pen: Pen, coat: Colour, red: Colour, cock: Number) -> None:
    for x, rise in ((-0.09, 0.13), (-0.01, 0.17), (0.07, 0.14)):
        pen.oval(x, 0.04 + rise * (0.6 + 0.4 * cock), 0.055, 0.08 * cock, red)
    pen.polygon([(0.08, 0.06), (0.3, -0.02), (0.08, -0.07)], (226, 170, 62))
    pen.oval(0.1, -0.15, 0.05, 0.09 * cock, red)
    pen.oval(0, 0, 0.15, 0.14, coat)
    pen.oval(0.06, 0.02, 0.06, 0.055, mix(coat, red, 0.6))
    pen.oval(0.06, 0.03, 0.028, 0.028, _BLACK)


def draw_spider(pen: Pen, rng: np.random.Generator) -> None:
    """Paint a spider from above, often with a thread or a web."""
    bodies = ((58, 44, 38), (112, 74, 44), (40, 36, 38), (154, 114, 66))
    body = choose(rng, bodies)
    mark = choose(rng, ((222, 196, 120), (200, 80, 60), (226, 218, 204), shade(body, 1.5)))
    hangs = bool(rng.random() < 0.25)
    angle = rng.normal(-90, 15) if hangs else rng.uniform(0, 360)
    middle = pen.at(0, 0.5, angle, 1.1)
    if hangs:
        pen.line([(0, 0.5), (0, 3)], 0.012, _THREAD)
    elif rng.random() < 0.45:
        _web(middle, rng)
    thick, reach = rng.uniform(0.028, 0.055), rng.uniform(0.85, 1.1)
    for side in (-1, 1):
        for lean in (28, 68, 112, 152):
            turn = side * np.radians(lean + rng.normal(0, 6))
            _spider_leg(middle.at(0.08, 0), turn, thick, reach, body)
    fat = rng.uniform(0.18, 0.28)
    middle.oval(-0.28, 0, 0.3, fat, body)
    middle.oval(0.1, 0, 0.17, 0.14, shade(body, 0.85))
    middle.oval(0.25, 0, 0.07, 0.08, shade(body, 0.75))
    for index in range(4):
        middle.oval(-0.46 + 0.12 * index, 0, 0.035, fat * (0.3 + 0.1 * (index % 2)), mark)
    for side in (-1, 1):
        middle.oval(0.23, side * 0.045, 0.022, 0.022, (226, 220, 210))
        middle.line([(0.28, side * 0.05), (0.4, side * 0.03)], 0.04, body)


def _spider_leg(pen: Pen, turn: Number, thick: Number, reach: Number, colour: Colour) -> None:
    """A leg that leaves the origin at `turn` radians and bends to the nearer end of the body."""
    out = np.array([np.cos(turn), np.sin(turn)])
    bend = turn * (0.82 if abs(turn) < np.pi / 2 else 1.12)
    onward = np.array([np.cos(bend), np.sin(bend)])
    knee = 0.42 * reach * out
    ankle = knee + 0.3 * reach * onward
    radii = [thick, 1.1 * thick, 0.7 * thick, 0.012]
    foot = ankle + 0.16 * onward + 0.06 * out
    pen.tube(np.array([0.08 * out, knee, ankle, foot]), radii, shade(colour, 0.9))
    x, y = knee.tolist()
    pen.oval(x, y, 1.15 * thick, 1.15 * thick, shade(colour, 1.25))


def _web(pen: Pen, rng: np.random.Generator) -> None:
    spokes = np.arange(10) * np.pi / 5 + rng.normal(0, 0.08, 10)
    rays = np.stack([np.cos(spokes), np.sin(spokes)], 1)
    for ray in rays:
        pen.line(np.array([(0, 0), ray * 1.6]), 0.008, _THREAD)
    for radius in (0.35, 0.65, 0.95, 1.25):
        pen.line(radius * np.concatenate([rays, rays[:1]]), 0.008, _THREAD)


def draw_squirrel(pen: Pen, rng: np.random.Generator) -> None:
    """Paint a squirrel that sits upright with a nut, or runs with its tail raised."""
    coats = ((176, 90, 44), (150, 82, 46), (116, 70, 44), (190, 122, 70))
    coat = choose(rng, coats, 12)
    belly = mix(coat, (236, 226, 208), rng.uniform(0.5, 0.9))
    if rng.random() < 0.65:
        _squirrel_sits(pen, coat, belly, rng)
    else:
        _squirrel_runs(pen.at(0.15, 0), coat, belly, rng)


def _bushy_tail(pen: Pen, spine: Points, colour: Colour, rng: np.random.Generator) -> None:
    """A fluffy tail along the five points of its spine."""
    spine = spine + rng.normal(0, 0.025, (5, 2))
    radii = np.array([0.08, 0.19, 0.24, 0.22, 0.1]) * rng.uniform(0.85, 1.15)
    pen.tube(spine, radii, shade(colour, 0.82))
    places = np.linspace(0, 4, 14)
    roots = np.stack([np.interp(places, range(5), axis) for axis in spine.T], axis=1)
    for root, wide in zip(roots, np.interp(places, range(5), radii), strict=True):
        for side in (-0.9, 0.9):
            tip = root + rng.normal((side * wide, 0.75 * wide), 0.04)
            pen.tube(
                np.array([root, tip]), [0.45 * wide, 0.012], shade(colour, rng.uniform(0.8, 1.02))
            )
    pen.tube(spine, radii * 0.5, shade(colour, 1.06))


def _squirrel_sits(pen: Pen, coat: Colour, belly: Colour, rng: np.random.Generator) -> None:
    curl = rng.uniform(-0.2, 0.12)
    spine = np.array([(-0.26, 0.1), (-0.52, 0.32), (-0.5, 0.75), (-0.52, 1.1), (-0.78, 1.22)])
    _bushy_tail(pen, spine + curl * np.array([[0, 0]] * 3 + [[0.5, 0], [1, 0]]), coat, rng)
    pen.blob([(-0.34, 0.18), (-0.26, 0.52), (-0.04, 0.82), (0.16, 0.86), (0.25, 0.62), (0.22, 0.3),
              (0.08, 0.05), (-0.2, 0.03)], coat)  # fmt: skip
    chest = [(0.1, 0.82), (0.23, 0.66), (0.22, 0.34), (0.1, 0.12), (0.05, 0.4), (0.08, 0.62)]
    pen.blob(chest, belly)
    pen.strokes(rng, (-0.2, 0.15, 0.1, 0.7), 25, coat)
    pen.oval(-0.08, 0.2, 0.2, 0.18, shade(coat, 0.92))
    pen.tube([(0, 0.05), (0.28, 0.04)], [0.055, 0.04], shade(coat, 0.86))
    pen.oval(0.4, 0.62, 0.08, 0.085, (120, 78, 40))
    pen.oval(0.4, 0.68, 0.085, 0.04, (84, 56, 34))
    pen.tube([(0.08, 0.66), (0.22, 0.54), (0.36, 0.6)], [0.08, 0.055, 0.04], shade(coat, 0.95))
    _squirrel_head(pen.at(0.18, 0.98, rng.normal(-4, 8)), coat, belly)


def _squirrel_runs(pen: Pen, coat: Colour, belly: Colour, rng: np.random.Generator) -> None:
    rise = rng.uniform(0, 0.35)
    spine = np.array([(-0.38, 0.34), (-0.62, 0.44), (-0.76, 0.7), (-0.72, 1.0), (-0.92, 1.12)])
    _bushy_tail(
        pen,
        spine + rise * np.array([[0, 0], [0, 0], [-0.2, 0], [-0.6, -0.3], [-0.6, -0.6]]),
        coat,
        rng,
    )
    for x, tone in ((-0.2, 0.75), (0.32, 0.75), (-0.3, 0.92), (0.24, 0.92)):
        leg = pen.at(x, 0)
        step = 0.1 + rng.normal(0, 0.07)
        points = [(0, 0.3), (0.4 * step, 0.14), (0.6 * step, 0.04), (step, 0.03)]
        leg.tube(points, [0.1, 0.05, 0.04, 0.03], shade(coat, tone))
    pen.blob([(-0.46, 0.34), (-0.3, 0.54), (0.02, 0.56), (0.3, 0.54), (0.42, 0.4), (0.3, 0.2),
              (0, 0.16), (-0.34, 0.16)], coat)  # fmt: skip
    pen.blob([(0.36, 0.32), (0.24, 0.19), (0, 0.16), (-0.2, 0.18), (0.05, 0.25)], belly)
    pen.strokes(rng, (-0.36, 0.26, 0.3, 0.5), 25, coat)
    pen.oval(-0.28, 0.28, 0.17, 0.15, shade(coat, 0.93))
    _squirrel_head(pen.at(0.48, 0.55, rng.normal(0, 8)), coat, belly)


def _squirrel_head(pen: Pen, coat: Colour, belly: Colour) -> None:
    for x, tone in ((0, 0.75), (-0.07, 0.95)):
        pen.polygon([(x - 0.06, 0.1), (x - 0.06, 0.34), (x + 0.06, 0.14)], shade(coat, tone))
    pen.blob([(-0.19, 0.02), (-0.1, 0.18), (0.08, 0.19), (0.24, 0.03), (0.29, -0.05), (0.2, -0.12),
              (-0.02, -0.17), (-0.16, -0.12)], coat)  # fmt: skip
    pen.oval(0.12, -0.08, 0.12, 0.055, belly)
    pen.oval(0.06, 0.05, 0.048, 0.048, _BLACK)
    pen.oval(0.075, 0.068, 0.015, 0.015, (245, 245, 245))
    pen.oval(0.275, -0.04, 0.03, 0.026, _BLACK)
