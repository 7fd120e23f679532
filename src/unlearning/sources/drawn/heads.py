"""Heads of the quadrupeds, from the side and from the front; units as in `plans`.

A head is painted by a pen whose unit is the head's length and whose origin is the end of the neck.
"""

from __future__ import annotations

import numpy as np

from unlearning.sources.drawn.plans import DARK, HOOFED, IVORY, PINK, Animal
from unlearning.sources.drawn.shapes import Number, Pair, Pen, Points, mix, shade

_TRUNKS: tuple[tuple[Pair, ...], ...] = (  # from the brow to the tip, in head lengths
    ((0.5, -0.05), (0.72, -0.5), (0.76, -1.0), (0.72, -1.4), (0.8, -1.7)),  # hanging
    ((0.5, -0.05), (0.78, -0.5), (0.92, -0.95), (0.78, -1.3), (0.5, -1.15)),  # to the mouth
    ((0.5, -0.05), (0.9, -0.4), (1.3, -0.35), (1.5, 0.05), (1.4, 0.42)),  # raised
    ((0.5, -0.05), (0.8, -0.55), (1.0, -1.1), (1.2, -1.5), (1.5, -1.55)),  # reaching out
)
_EAR_FAN = np.array(
    [(0.1, 0.22), (-0.3, 0.4), (-0.72, 0.22), (-0.74, -0.3), (-0.42, -0.78), (-0.12, -0.5),
     (0.08, -0.2)]
)  # fmt: skip


def wool(pen: Pen, animal: Animal, places: Points, size: Number) -> None:
    """A curly lock at each of the places."""
    for x, y in places:
        lock = size * animal.rng.uniform(0.8, 1.2)
        pen.oval(x, y, lock, lock, shade(animal.coat, animal.rng.uniform(0.94, 1.02)))


def head(pen: Pen, animal: Animal, joint: Points, turned: bool, grazing: bool = False) -> None:
    """Paint the head at the joint, in profile or, if `turned`, from the front."""
    shape, rng = animal.plan.head, animal.rng
    if turned:
        size = shape.length * rng.uniform(0.95, 1.12)
        _front_head(pen.at(joint[0], joint[1] + 0.06, rng.normal(0, 7), size), animal)
        return
    angle = rng.uniform(*animal.plan.head_angle) - 18 * grazing
    # Foreshortening suggests a head turned slightly towards the viewer.
    x, y = joint.tolist()
    face = pen.at(x, y, angle, shape.length, rng.uniform(0.85, 1))
    if animal.species == "elephant":
        _elephant_profile(face, animal)
    else:
        _profile(face, animal)


def _profile(face: Pen, animal: Animal) -> None:
    """The head from the side, on all species but the elephant."""
    shape, species, colour = animal.plan.head, animal.species, animal.face
    nose = max(x for x, _ in shape.profile)
    angle = shape.ear_angle[0] + animal.rng.normal(0, 8)
    _ear(face.at(0.1, 0.16, angle - 14), animal, 0.75)
    if species == "cow":
        _horn(face.at(0.1, 0.24, 72), animal)
    if species == "dog" and animal.rng.random() < 0.6:
        face.tube([(0.68, -0.1), (0.74, -0.26), (0.72, -0.38)], [0.06, 0.07, 0.06], (222, 110, 120))
    face.blob(shape.profile, colour)
    if animal.patched:
        face.blob([(0, 0.2), (0.4, 0.14), (0.8, 0.08), (0.5, 0), (0.1, 0.06)], animal.marking)
    if species == "cow":
        face.oval(nose - 0.12, -0.03, 0.16, 0.19, mix(PINK, colour, 0.3))
    nostril = 0.035 if species in HOOFED else 0.08
    face.oval(nose - 0.1 + nostril, 0.02, nostril, 0.85 * nostril, DARK)
    face.line([(nose - 0.05, -0.09), (nose - 0.3, -0.11)], 0.02, shade(colour, 0.5))
    _eye(face, 0.28, 0.08, 0.05)
    if species == "cat":
        _whiskers(face, 0.5, 0)
    if species == "sheep":
        wool(face, animal, np.array([(-0.02, 0.2)]), 0.2)
    _ear(face.at(0, 0.14, angle), animal, 0.7 if species == "dog" else 0.9)
    if species == "horse":
        face.tube([(-0.02, 0.16), (0.15, 0.2), (0.3, 0.12)], [0.08, 0.07, 0.01], animal.mane)
    if species == "cow":
        _horn(face.at(0, 0.2, 88), animal)


def _front_head(face: Pen, animal: Animal) -> None:
    """The head from the front, its crown above the origin and its chin below."""
    shape, species, colour = animal.plan.head, animal.species, animal.face
    halves = [face.at(0, 0, wide=side) for side in (-1, 1)]
    right = np.column_stack([shape.front, shape.heights])
    (brow_x, brow_y), (cheek, eyes), (jaw, chin) = right[[1, 2, 4]].tolist()
    for half in halves:
        if species == "elephant":
            _elephant_ear(half.at(0.2, 0, wide=-1), animal)
        else:
            rise = shape.ear_angle[1] + animal.rng.normal(0, 6)
            _ear(half.at(0.75 * brow_x, brow_y, rise), animal, 0.7 if species == "dog" else 0.88)
        if species == "cow":
            _horn(half.at(0.16, 0.12, 50), animal)
    face.blob(np.concatenate([right, (right * (-1, 1))[::-1]]), colour)
    if animal.patched:
        face.blob([(-0.05, 0.2), (0.05, 0.2), (0.1, -0.5), (-0.1, -0.5)], animal.marking)
    for half in halves:
        if species == "cat":
            half.oval(0.5 * cheek, eyes + 0.05, 0.12, 0.11, (196, 200, 92))
        _eye(half, 0.5 * cheek, eyes + 0.05, 0.07 if species == "cat" else 0.05)
    if species == "elephant":
        _front_trunk(face, animal)
    elif species in ("cow", "horse"):
        muzzle = mix(PINK, colour, 0.3) if species == "cow" else shade(colour, 0.9)
        face.oval(0, chin + 0.1, 1.15 * jaw, 0.17, muzzle)
        for half in halves:
            half.oval(0.08, chin + 0.14, 0.03, 0.04, DARK)
    else:
        _small_muzzle(face.at(0, chin), animal)
    if species == "sheep":
        wool(face, animal, np.array([(-0.12, 0.16), (0.12, 0.16), (0, 0.22)]), 0.2)


def _small_muzzle(face: Pen, animal: Animal) -> None:
    """Nose and mouth of dog, cat and sheep from the front; the chin is at the origin."""
    dog, cat = animal.species == "dog", animal.species == "cat"
    if dog:
        face.oval(0, 0.1, 0.2, 0.18, shade(animal.face, 1.12))
        face.tube([(0, 0), (0.02, -0.16)], [0.07, 0.06], (222, 110, 120))
    size = 0.09 if dog else 0.05
    face.oval(0, 0.22, size, 0.75 * size, (190, 100, 100) if cat else DARK)
    face.line([(-0.1, 0.09), (-0.05, 0.06), (0, 0.1), (0.05, 0.06), (0.1, 0.09)], 0.02, DARK)
    if cat:
        for side in (-1, 1):
            _whiskers(face.at(0, 0, wide=side), 0.1, 0.18)


def _ear(pen: Pen, animal: Animal, tone: Number) -> None:
    """An ear along +x: pointed for the cat, a leaf for the others."""
    length, half = animal.plan.head.ear
    colour = shade(animal.face, tone)
    if animal.species == "cat":
        ear = np.array([(-0.1, -half), (length, 0), (-0.1, half)])
        pen.polygon(ear, colour)
        pen.polygon(ear * (0.75, 0.5), mix(PINK, colour, 0.4))
    else:
        leaf = np.array([(-0.1, -0.6), (0.5, -1), (1, 0), (0.5, 1), (-0.1, 0.6)])
        pen.blob(leaf * (length, half), colour)


def _eye(pen: Pen, x: Number, y: Number, size: Number) -> None:
    pen.oval(x, y, size, size, (20, 16, 16))
    pen.oval(x + 0.3 * size, y + 0.35 * size, 0.3 * size, 0.3 * size, (240, 240, 240))


def _horn(pen: Pen, animal: Animal) -> None:
    reach = animal.rng.uniform(0.32, 0.5)
    pen.tube([(0, 0), (0.6 * reach, -0.08), (reach, 0.04)], [0.05, 0.04, 0.01], (216, 204, 178))


def _whiskers(pen: Pen, x: Number, y: Number) -> None:
    for rise in (-0.12, 0, 0.12):
        pen.line([(x, y), (x + 0.5, y + rise)], 0.012, (236, 232, 226))


def _elephant_profile(face: Pen, animal: Animal) -> None:
    """The elephant's head from the side, with trunk, tusks and the near ear."""
    rng, dark = animal.rng, shade(animal.coat, 0.75)
    pose = np.array(_TRUNKS[int(rng.choice(4, p=(0.45, 0.2, 0.15, 0.2)))])
    trunk, radii = pose + rng.normal(0, 0.03, pose.shape), (0.25, 0.2, 0.14, 0.1, 0.08)
    tusk = np.array([(0.45, -0.3), (0.68, -0.58), (rng.uniform(0.92, 1.24), -0.56)])
    face.at(0.1, 0.1).tube(tusk, [0.06, 0.055, 0.015], shade(IVORY, 0.85))
    face.blob(animal.plan.head.profile, animal.coat)
    face.tube(trunk, radii, animal.coat)
    for (x, y), radius in zip(0.5 * (trunk[1:] + trunk[:-1]), radii[1:], strict=True):
        face.line([(x - 0.7 * radius, y), (x + 0.7 * radius, y - 0.05)], 0.02, dark)
    face.tube(tusk, [0.07, 0.06, 0.015], IVORY)
    _eye(face, 0.34, 0.08, 0.045)
    _elephant_ear(face.at(0.05, 0.1, rng.uniform(-8, 12), rng.uniform(0.9, 1.15)), animal)


def _elephant_ear(pen: Pen, animal: Animal) -> None:
    """A fan that hangs back (-x) from the origin."""
    pen.blob(_EAR_FAN, shade(animal.coat, 0.68))
    pen.blob(_EAR_FAN * 0.9 + (0.01, 0.02), shade(animal.coat, 0.92))
    pen.blob(_EAR_FAN * 0.6 + (-0.08, 0), mix(shade(animal.coat, 0.9), PINK, 0.22))


def _front_trunk(face: Pen, animal: Animal) -> None:
    for side in (-1, 1):
        tusk = [(side * 0.2, -0.5), (side * 0.28, -0.8), (side * 0.2, -1.05)]
        face.tube(tusk, [0.06, 0.05, 0.015], IVORY)
    sway = animal.rng.normal(0, 0.15)
    centre = [(0, -0.25), (0, -0.7), (sway, -1.2), (sway * 1.5 + 0.1, -1.6)]
    face.tube(centre, [0.2, 0.16, 0.12, 0.09], shade(animal.coat, 0.93))
    for y in (-0.55, -0.75, -0.95):
        face.line([(-0.11, y), (0.11, y)], 0.02, shade(animal.coat, 0.7))
