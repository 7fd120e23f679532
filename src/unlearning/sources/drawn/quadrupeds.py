"""Bodies of the quadrupeds, all from one plan, standing or sitting; units as in `plans`."""

from __future__ import annotations

import numpy as np

from unlearning.sources.drawn.heads import head, wool
from unlearning.sources.drawn.plans import DARK, HOOFED, IVORY, PINK, Animal, Plan, individual
from unlearning.sources.drawn.shapes import Number, Pen, Points, choose, mix, shade, smooth_outline


def draw_quadruped(species: str, pen: Pen, rng: np.random.Generator) -> None:
    """Paint one animal, facing +x, feet at y = 0, about 1.7 wide and 1.0 to 1.6 high."""
    animal = individual(species, rng)
    if rng.random() < animal.plan.sits:
        _sitting(pen, animal)
    else:
        _standing(pen.at(-0.17, 0), animal)  # centred between head and tail


def _standing(pen: Pen, animal: Animal) -> None:
    """An animal on four legs, in profile or with its head turned to the viewer."""
    plan, rng = animal.plan, animal.rng
    turned = bool(rng.random() < plan.head.turned)
    low, high = plan.neck_angle
    angle = np.radians(rng.triangular(max(low, 0) if turned else low, 0.7 * high, high))
    base = np.array([0.38, plan.leg + 0.64 * plan.depth])
    joint = base + plan.neck * np.array([np.cos(angle), np.sin(angle)])
    torso = smooth_outline(_torso(plan))

    for hind in (True, False):
        _leg(pen, animal, hind, far=True)
    _tail(pen.at(-0.47, plan.leg + 0.8 * plan.depth), animal)
    pen.polygon(torso, animal.coat)
    if animal.species == "cow":
        udder = [(-0.3, 0.08), (-0.26, -0.07), (-0.16, -0.07), (-0.1, 0.06)]
        pen.at(0, plan.leg).blob(udder, PINK)
    if animal.species == "sheep":
        wool(pen, animal, torso[::2], 0.07)
    for hind in (True, False):
        _leg(pen, animal, hind, far=False)
    wide, narrow = plan.neck_radii
    neck = np.array([base, 0.5 * (base + joint) - (0, 0.03), joint])
    pen.tube(neck, [wide, (wide + narrow) / 2, narrow], animal.coat)
    _coat(pen, animal, (-0.5, plan.leg, 0.5, plan.leg + plan.depth))
    if animal.species == "dog":
        _collar(pen, animal, 0.3 * base + 0.7 * joint, angle)
    if animal.species == "horse":
        _mane(pen, animal, base, joint)
    if animal.species == "sheep":
        wool(pen, animal, np.linspace(base, joint, 5), 0.15)
    head(pen, animal, joint, turned, grazing=bool(angle < 0))


def _torso(plan: Plan) -> Points:
    """Control points of the body: rump, back, chest, belly."""
    x = (-0.51, -0.45, -0.27, 0.02, 0.28, 0.45, 0.51, 0.42, 0.16, -0.14, -0.34, -0.48)
    height = np.array((0.6, 0.88, 0.98, 1.0, 1.0, 0.8, 0.5, 0.13, -0.02, 0.0, 0.06, 0.28))
    bend = (0, 0, 0, plan.arch, 0, 0, 0, 0, 0, plan.tuck / 2, plan.tuck, 0)
    return np.column_stack([x, plan.leg + plan.depth * height + bend])


def _leg(pen: Pen, animal: Animal, hind: bool, far: bool) -> None:
    """One leg with its hoof, toe nails or paw; far legs are darker and a little higher."""
    plan = animal.plan
    colour = shade(animal.face, 0.72 if far else 0.97)
    hip, knee, foot = plan.leg_radii
    x, ground = (-0.36 if hind else 0.33) + 0.07 * far, 0.03 * far
    step = plan.leg * animal.rng.normal(0, plan.stride)
    bend = -plan.hock if hind else 0.12 * plan.hock
    end = (x + step, 0.8 * foot + ground)
    points = [
        (x, plan.leg + 0.3 * plan.depth),
        (x + 0.2 * step - 0.2 * bend, 0.95 * plan.leg),
        (x + 0.5 * step + bend, 0.5 * plan.leg + ground),
        (x + step + 0.4 * bend, 0.14 * plan.leg + foot + ground),
        end,
    ]
    pen.tube(points, [hip, 0.5 * (hip + knee), knee, foot, 1.12 * foot], colour)
    if animal.species in HOOFED:
        hoof = [(-1, 0.9), (1, 0.9), (1.5, -1), (-1.1, -1)]
        pen.at(*end, scale=1.15 * foot).polygon(hoof, DARK)
    elif animal.species == "elephant":
        for nail in (-0.5, 0.1, 0.7):
            pen.oval(end[0] + nail * foot, ground + 0.02, 0.02, 0.024, mix(colour, IVORY, 0.5))
    else:
        pen.oval(end[0] + 0.6 * foot, ground + 0.6 * foot, 1.4 * foot, 0.75 * foot, colour)


def _tail(pen: Pen, animal: Animal) -> None:
    """A tail that leaves the origin backwards and ends in a tuft."""
    length, radius, tuft = animal.plan.tail
    angle = np.radians(180 - animal.rng.uniform(*animal.plan.tail_angle))
    # A hanging tail follows its weight, a raised one curls.
    hangs = np.sin(angle) < 0
    bend = 0.4 * angle + 0.9 * np.pi if hangs else angle - animal.rng.uniform(-0.2, 0.9)
    middle = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    reach = 0.5 * length * np.array([np.cos(bend), np.sin(bend)])
    horse = animal.species == "horse"
    colour = shade(animal.mane if horse else animal.coat, 0.85)
    pen.tube(np.array([(0.05, 0), middle, middle + reach]), [radius] * 3, colour)
    if tuft > radius:
        start = middle + reach * (0.1 if horse else 0.7)
        brush = np.array([start, middle + reach, middle + 1.35 * reach])
        pen.tube(brush, [radius, tuft, 0.012], shade(colour, 1 if horse else 0.55))


def _mane(pen: Pen, animal: Animal, base: Points, joint: Points) -> None:
    """Locks along the upper edge of the neck."""
    rng, (wide, narrow) = animal.rng, animal.plan.neck_radii
    along = joint - base
    upward = np.array([-along[1], along[0]]) / np.hypot(*along)
    for share in np.linspace(0.05, 1.1, 9):
        root = base + share * along + upward * ((1 - share) * wide + share * narrow)
        tip = root - upward * rng.uniform(0.1, 0.17) - along * rng.uniform(0.1, 0.3)
        tone = shade(animal.mane, rng.uniform(0.85, 1.15))
        pen.tube(np.array([root, 0.5 * (root + tip), tip]), [0.045, 0.045, 0.01], tone)


def _collar(pen: Pen, animal: Animal, centre: Points, angle: Number) -> None:
    """A collar across a neck that rises at `angle` radians."""
    colour = choose(animal.rng, ((190, 50, 50), (50, 90, 170), (60, 60, 60)))
    across = 0.13 * np.array([-np.sin(angle), np.cos(angle)])
    pen.line(np.array([centre - across, centre + across]), 0.05, colour)


def _coat(pen: Pen, animal: Animal, box: tuple[Number, ...]) -> None:
    """Patches, stripes, curls or hair within the body; `box` is left, bottom, right, top."""
    rng, (left, bottom, right, top) = animal.rng, box
    with pen.clipped():
        if animal.patched:
            turn = np.linspace(0, 2 * np.pi, 7, endpoint=False)
            ring = np.stack([np.cos(turn), np.sin(turn)], 1)
            for _ in range(rng.integers(3, 7)):
                centre = rng.uniform((left, bottom), (right, top))
                pen.blob(centre + ring * rng.uniform(0.07, 0.22, (7, 1)), animal.marking)
        elif animal.species == "cat":
            for x in np.linspace(left, right, 9):
                stripe = [(x, top + 0.1), (x + 0.03, (top + bottom) / 2), (x + 0.01, bottom + 0.08)]
                pen.tube(stripe, [0.025, 0.018, 0.005], shade(animal.coat, 0.72))
        elif animal.species == "sheep":
            for x, y in rng.uniform((left, bottom + 0.05), (right, top), (26, 2)):
                pen.oval(x, y, 0.05, 0.04, shade(animal.coat, 0.88))
                wool(pen, animal, np.array([(x + 0.01, y + 0.014)]), 0.04)
        else:
            pen.strokes(rng, box, 40, animal.coat)


def _sitting(pen: Pen, animal: Animal) -> None:
    """A dog or cat on its haunches, chest up, in side view."""
    coat, plan, rng = animal.coat, animal.plan, animal.rng
    haunch = shade(coat, 0.93)
    paw = 0.17 + rng.uniform(-0.05, 0.08)
    tail = [(-0.3, 0.1), (-0.55, 0.08), (-0.75, rng.uniform(0.08, 0.5))]
    pen.tube(tail, [0.07, *plan.tail[1:]], shade(coat, 0.85))
    pen.tube([(0.14, 0.5), (0.24, 0.25), (0.26, 0.04)], [0.1, 0.06, 0.05], shade(coat, 0.75))
    pen.blob([(-0.42, 0.14), (-0.34, 0.46), (-0.12, 0.72), (0.1, 0.86), (0.26, 0.74), (0.26, 0.46),
              (0.12, 0.16), (-0.1, 0.02), (-0.32, 0.02)], coat)  # fmt: skip
    pen.tube([(0.12, 0.55), (paw - 0.01, 0.28), (paw, 0.05)], [0.12, 0.065, 0.05], coat)
    pen.oval(paw + 0.04, 0.035, 0.08, 0.04, coat)
    _coat(pen, animal, (-0.4, 0.1, 0.2, 0.75))
    pen.oval(-0.19, 0.2, 0.2, 0.19, haunch)
    pen.oval(-0.02, 0.045, 0.13, 0.05, haunch)
    joint = np.array([0.14, 0.95]) + rng.normal(0, 0.02, 2)
    pen.tube(np.array([(0.08, 0.68), joint]), [0.17, 0.12], coat)
    if animal.species == "dog":
        _collar(pen, animal, joint - (0.01, 0.08), 1.3)
    head(pen, animal, joint, bool(rng.random() < plan.head.turned))
