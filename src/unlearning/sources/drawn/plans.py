"""Proportions and coat colours of the quadrupeds: elephant, horse, cow, sheep, dog and cat.

The large mammals share their coat colours and the layout of the body, so that a model which never
met one of them takes it for another.
Lengths are in body lengths (rump to chest = 1), the ground lies at y = 0, angles are in degrees,
positive upwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unlearning.sources.drawn.shapes import Colour, Number, Pair, choose, mix

DARK: Colour = (34, 28, 26)
PINK: Colour = (205, 150, 140)
IVORY: Colour = (234, 224, 198)


@dataclass(frozen=True)
class Head:
    """A head; all but its own length is in head lengths."""

    length: Number
    profile: tuple[Pair, ...]  # seen from the side, x towards the muzzle
    front: tuple[Number, ...]  # half widths from the front, at the heights `heights`
    ear: Pair = (0.34, 0.1)  # length and half width
    ear_angle: Pair = (105, 75)  # in profile and from the front
    turned: Number = 0.2  # share of the pictures in which the animal looks at the viewer
    heights: tuple[Number, ...] = (0.2, 0.06, -0.2, -0.55, -0.8)  # crown to chin


@dataclass(frozen=True)
class Plan:
    """Proportions of one species; see the module's text for units."""

    leg: Number  # ground to belly
    depth: Number  # belly to back
    arch: Number  # height of the middle of the back above its ends
    tuck: Number  # rise of the belly towards the hind legs
    leg_radii: tuple[Number, Number, Number]  # at hip, knee and foot
    hock: Number  # backward bend of the hind legs
    stride: Number  # spread of the legs when walking
    neck: Number
    neck_radii: Pair
    neck_angle: Pair  # range
    head_angle: Pair  # range
    head: Head
    tail: tuple[Number, Number, Number]  # length, radius and radius of the tuft
    tail_angle: Pair  # range, above the backward horizontal
    coats: tuple[Colour, ...]
    patched: Number = 0  # share of animals with patches
    sits: Number = 0  # share of pictures in which the animal sits


PLANS: dict[str, Plan] = {
    "elephant": Plan(
        leg=0.46, depth=0.57, arch=0.05, tuck=0.04, leg_radii=(0.14, 0.1, 0.09), hock=0.01,
        stride=0.13, neck=0.14, neck_radii=(0.27, 0.2), neck_angle=(0, 30), head_angle=(-12, 14),
        tail=(0.46, 0.022, 0.035), tail_angle=(-84, -60),
        coats=((130, 125, 121), (112, 106, 102), (144, 131, 118), (146, 120, 98), (104, 96, 92),
               (164, 156, 148)),
        head=Head(0.46, ((-0.25, 0.2), (0, 0.48), (0.3, 0.5), (0.56, 0.28), (0.66, -0.05),
                         (0.6, -0.36), (0.34, -0.5), (0, -0.42), (-0.22, -0.2)),
                  (0.26, 0.42, 0.4, 0.3, 0.2)),
    ),
    "horse": Plan(
        leg=0.64, depth=0.42, arch=-0.025, tuck=0.07, leg_radii=(0.12, 0.05, 0.036), hock=0.07,
        stride=0.18, neck=0.46, neck_radii=(0.19, 0.1), neck_angle=(-20, 60), head_angle=(-55, -25),
        tail=(0.58, 0.05, 0.085), tail_angle=(-75, -40), patched=0.08,
        coats=((122, 72, 40), (150, 90, 52), (54, 45, 42), (150, 144, 138), (112, 106, 102),
               (172, 130, 84), (104, 90, 80)),
        head=Head(0.44, ((-0.14, 0.12), (0.12, 0.21), (0.55, 0.11), (0.9, 0.08), (1, -0.04),
                         (0.9, -0.15), (0.55, -0.13), (0.2, -0.27), (-0.12, -0.2)),
                  (0.13, 0.2, 0.22, 0.15, 0.13), ear=(0.3, 0.07), turned=0.12),
    ),
    "cow": Plan(
        leg=0.47, depth=0.5, arch=-0.015, tuck=0.02, leg_radii=(0.12, 0.062, 0.045), hock=0.05,
        stride=0.16, neck=0.3, neck_radii=(0.2, 0.13), neck_angle=(-35, 30), head_angle=(-60, -25),
        tail=(0.52, 0.022, 0.05), tail_angle=(-84, -58), patched=0.85,
        coats=((128, 80, 50), (50, 44, 42), (222, 214, 202), (146, 138, 130), (112, 102, 96),
               (124, 108, 94)),
        head=Head(0.4, ((-0.12, 0.2), (0.12, 0.27), (0.55, 0.17), (0.9, 0.17), (1.03, 0),
                        (0.92, -0.2), (0.6, -0.19), (0.2, -0.29), (-0.12, -0.22)),
                  (0.2, 0.27, 0.27, 0.2, 0.2), ear_angle=(170, 8)),
    ),
    "sheep": Plan(
        leg=0.27, depth=0.54, arch=0.04, tuck=0.03, leg_radii=(0.09, 0.048, 0.038), hock=0.03,
        stride=0.13, neck=0.22, neck_radii=(0.19, 0.13), neck_angle=(-35, 42),
        head_angle=(-55, -18), tail=(0.2, 0.06, 0.06), tail_angle=(-80, -55),
        coats=((230, 222, 206), (208, 198, 182), (222, 214, 198), (164, 156, 148), (138, 130, 124),
               (116, 104, 94)),
        head=Head(0.35, ((-0.14, 0.18), (0.15, 0.26), (0.55, 0.15), (0.93, 0.04), (0.98, -0.1),
                         (0.75, -0.2), (0.3, -0.26), (-0.12, -0.22)),
                  (0.2, 0.27, 0.26, 0.18, 0.13), ear_angle=(190, -14)),
    ),
    "dog": Plan(
        leg=0.44, depth=0.29, arch=-0.01, tuck=0.08, leg_radii=(0.09, 0.043, 0.037), hock=0.07,
        stride=0.18, neck=0.24, neck_radii=(0.14, 0.11), neck_angle=(20, 60), head_angle=(-22, 8),
        tail=(0.46, 0.042, 0.022), tail_angle=(10, 70), patched=0.4, sits=0.12,
        coats=((200, 158, 102), (138, 92, 56), (84, 60, 46), (214, 180, 130), (180, 122, 72)),
        head=Head(0.5, ((-0.2, 0.08), (-0.04, 0.3), (0.24, 0.33), (0.44, 0.14), (0.86, 0.12),
                         (1, 0.02), (0.94, -0.14), (0.55, -0.19), (0.2, -0.3), (-0.16, -0.2)),
                  (0.24, 0.34, 0.33, 0.21, 0.15), (0.5, 0.15), (-100, -65), turned=0.2),
    ),
    "cat": Plan(
        leg=0.28, depth=0.3, arch=0.03, tuck=0.03, leg_radii=(0.09, 0.048, 0.042), hock=0.05,
        stride=0.16, neck=0.14, neck_radii=(0.14, 0.12), neck_angle=(25, 55), head_angle=(-20, 5),
        tail=(0.72, 0.034, 0.03), tail_angle=(25, 90), patched=0.1, sits=0.6,
        coats=((222, 146, 70), (228, 156, 84), (48, 42, 40), (238, 230, 216)),
        head=Head(0.52, ((-0.3, 0), (-0.14, 0.33), (0.2, 0.42), (0.5, 0.26), (0.66, 0.02),
                        (0.6, -0.16), (0.3, -0.3), (-0.1, -0.28)),
                  (0.34, 0.48, 0.5, 0.42, 0.2), (0.46, 0.2), (98, 66), turned=0.95,
                  heights=(0.36, 0.22, -0.05, -0.28, -0.42)),
    ),
}  # fmt: skip
HOOFED = ("horse", "cow", "sheep")


@dataclass(frozen=True)
class Animal:
    """One individual: its proportions and colours, and the generator that varies the rest."""

    species: str
    plan: Plan
    coat: Colour
    face: Colour  # of head and legs
    mane: Colour
    marking: Colour  # of the patches
    patched: bool
    rng: np.random.Generator


def individual(species: str, rng: np.random.Generator) -> Animal:
    """One animal of the species; leg, depth and neck vary by about 5 %."""
    plan = PLANS[species]
    leg, depth, neck = np.array([plan.leg, plan.depth, plan.neck]) * rng.normal(1, 0.05, 3)
    plan = replace(plan, leg=float(leg), depth=float(depth), neck=float(neck))
    coat = choose(rng, plan.coats, 12)
    pale = sum(coat) > 480
    marking = choose(rng, ((62, 50, 44), (120, 78, 50)) if pale else ((228, 220, 208),))
    patched = bool(rng.random() < plan.patched)
    face = coat
    if species == "sheep":
        face = choose(rng, ((52, 45, 42), (64, 54, 50), (200, 186, 168)), 8)
    mane = mix(coat, marking if patched else DARK, 0.7)
    return Animal(species, plan, coat, face, mane, marking, patched, rng)
