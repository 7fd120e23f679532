"""What PNG files have in common: colours, bars, lines, and the same bytes for the same figures."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from unlearning.files import atomic

# Not what a matplotlibrc in the current folder says: it may be a stranger's, and `text.usetex` starts LaTeX.
matplotlib.rcdefaults()
# A class may be called "$a$": a name is never a formula.
matplotlib.rcParams["text.parse_math"] = False

# Okabe & Ito's palette: told apart by people with any colour vision.
BEFORE, AFTER, REFERENCE = "#E69F00", "#0072B2", "#7F7F7F"
COLOURS = {"original": BEFORE, "unlearned": AFTER, "base": BEFORE, "branch": AFTER}

LONGEST_NAME = 24  # of a class below a bar; beyond, names would leave no room for the bars


def colour(name: str) -> str:
    """Return the colour of a version of the model, or of a side of a review; the same grey for all else."""
    return COLOURS.get(name, REFERENCE)


def bars(
    path: Path | str, series: Mapping[str, Mapping[str, float]], title: str, ylabel: str
) -> None:
    """Draw a bar per class and version: `series` maps versions to shares by class, in [0, 1]."""
    classes = list(next(iter(series.values())))
    figure, axes = plt.subplots(figsize=(max(6, 1.1 * len(classes)), 3.6), layout="constrained")
    width = 0.84 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = np.arange(len(classes)) - 0.42 + width * (number + 0.5)
        axes.bar(
            places,
            [values[label] for label in classes],
            width * 0.94,
            label=name,
            color=colour(name),
            alpha=1.0 if name in COLOURS else 0.6,
        )
    axes.set(title=title, ylabel=ylabel, ylim=(0, 1.02), xticks=range(len(classes)))
    labels = [
        name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in classes
    ]
    axes.set_xticklabels(labels, rotation=30, ha="right")
    figure.legend(ncols=len(series), fontsize=8, loc="outside lower center")
    save(figure, path)


def lines(
    path: Path | str,
    series: Mapping[str, Mapping[str, tuple[Sequence[int | float], Sequence[int | float]]]],
    xlabel: str,
) -> None:
    """Draw a panel per quantity: `series` maps quantities to x and y by version."""
    columns = min(3, len(series))
    rows = -(-len(series) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(4 * columns, 2.6 * rows), layout="constrained", squeeze=False
    )
    for axes in grid.flat[len(series) :]:
        axes.axis("off")
    for axes, (quantity, versions) in zip(grid.flat, series.items(), strict=False):
        for name, (x, y) in versions.items():
            dash = "--" if name == "base" else "-"
            axes.plot(x, y, dash, marker=".", label=name, color=colour(name))
        axes.set(title=quantity, xlabel=xlabel)
    grid.flat[0].legend(fontsize=8)
    save(figure, path)


def save(figure: Figure, path: Path | str) -> None:
    """Write the picture without a date or a version, which would change its bytes."""
    with atomic(path) as temporary, warnings.catch_warnings():
        # A script that the font lacks shows as boxes; the figures' files have the names.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)
