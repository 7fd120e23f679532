"""How every figure looks: colours, markers, and what matplotlib is told.

Colour is never the only carrier: each version of the model has a marker, a dash and a filling.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")
# Not what a matplotlibrc in the current folder says: it may be a stranger's, and `text.usetex` starts LaTeX.
matplotlib.rcdefaults()

# Stand-in colours: in the page CSS variables stand in their place.
INK, RULE = "#010203", "#010204"
# Okabe & Ito's palette: told apart by people with any colour vision.
ORANGE, BLUE, GREY, PURPLE, GREEN, VERMILION = (
    *("#e69f00", "#0072b2", "#7f7f7f", "#cc79a7"),
    *("#009e73", "#d55e00"),
)

# Inches; a chart is shown at this size or larger, but never wider than the screen.
WIDTH = 4.2
FONT_SIZE, SMALL = 10, 9.2
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    # A class may be called "$a$": a name is never a formula.
    "text.parse_math": False,
    "font.size": FONT_SIZE,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "legend.handlelength": 1.5,
    "legend.handletextpad": 0.4,
    "legend.columnspacing": 0.9,
    "legend.borderaxespad": 0,
    "legend.borderpad": 0,
}
# Around each figure, so that those of others keep matplotlib's own style.
in_our_style = matplotlib.rc_context(SETTINGS)

LONGEST_NAME = 16
# How opaque a version's bars are: told apart without colour. The others are solid.
FILLING = {"original": 0.15, "base": 0.15, "retrained": 0.5}


@dataclass(frozen=True)
class Style:
    """How a version of the model is drawn."""

    label: str
    colour: str
    marker: str
    dash: Any
    width: float


STYLES = {
    "original": Style("original", ORANGE, "s", (0, (4, 1.5)), 1.4),
    "base": Style("base", ORANGE, "s", (0, (4, 1.5)), 1.4),
    "unlearned": Style("unlearned", BLUE, "o", "-", 2.0),
    "branch": Style("branch", BLUE, "o", "-", 2.0),
    "retrained": Style("retrained", GREY, "D", "-", 1.0),
    "head_edited": Style("head-edited", PURPLE, "^", (0, (1, 1.2)), 1.4),
    "same_recipe": Style("same recipe, all images", GREEN, "v", (0, (2, 1)), 1.4),
    "start": Style("the start itself", VERMILION, "P", (0, (3, 1, 1, 1)), 1.4),
}
# What is judged is drawn on top of what it is held against.
ABOVE = ("unlearned", "branch")


def family_of(version: str) -> str:
    """Return `retrained` for `retrained (<seed>)`, any other version as it is."""
    return re.sub(r" \(.*\)$", "", version, flags=re.DOTALL)


def style_of(version: str) -> Style:
    """Return the style of a version, `retrained (<seed>)` included."""
    return STYLES[family_of(version)]


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a class name that fits beside an axis: one line, no control characters, an ellipsis."""
    line = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in name)
    if columns(line) <= longest:
        return line
    line = line[:longest]  # else names of strangers take the square of their length
    while columns(line) > longest - 1:
        line = line[:-1]
    return line.rstrip() + "…"


def columns(text: str) -> int:
    """Return how wide a text is, in Latin letters: no font at hand knows every script."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)
