"""The figures: destinations, classes, histograms, curves, layers, confusion, examples.

Each returns a matplotlib figure, or None where there is no number to draw; `save` writes it as PNG or SVG.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unlearning.charts.style import (
    ABOVE,
    FILLING,
    INK,
    STYLES,
    WIDTH,
    Style,
    columns,
    family_of,
    in_our_style,
    short,
    style_of,
)

# The classes that a chart of bars or dots has room for.
MOST_CLASSES = 30
# The classes whose names, and those whose figures, fit into the confusion matrix.
MOST_NAMES, MOST_CELL_FIGURES = 30, 12
LONGEST_TITLE = 40  # of a column in another's table
BINS = 20  # of scores in [0, 1]
SCORE_BOUNDS = (0.3, 0.5)  # of the article (A16)
ACROSS = 5  # examples in a row


def most_named(shares: Mapping[str, Mapping[str, int | float]]) -> list[str]:
    """Return the classes that any version names, the largest share of any version first, as many as fit."""
    # Of NaN, for what was not measured, `>` is false.
    given = {
        name: [of[name] for of in shares.values() if of[name] > 0]
        for name in next(iter(shares.values()))
    }
    named = [name for name in given if given[name]]
    return sorted(named, key=lambda name: -max(given[name]))[:MOST_CLASSES]


def lowest_first(accuracies: Mapping[str, int | float]) -> list[str]:
    """Return the classes with the lowest accuracies, lowest first and NaN last, as many as fit."""
    order = sorted(accuracies, key=lambda name: (math.isnan(accuracies[name]), accuracies[name]))
    return order[:MOST_CLASSES]


def destinations(shares: Mapping[str, Mapping[str, int | float]]) -> Figure:
    """Draw which classes the forget images are given, by version of the model."""
    return bars("share of forget images", shares, most_named(shares))


def per_class(accuracies: Mapping[str, Mapping[str, int | float]], judged: str) -> Figure:
    """Draw the test accuracy on each class by version of the model, lowest of the `judged` one first."""
    return dots("test accuracy", accuracies, lowest_first(accuracies[judged]))


@in_our_style
def bars(
    label: str, series: Mapping[str, Mapping[str, int | float]], classes: Sequence[str]
) -> Figure:
    """Draw a horizontal bar per class and version: `series` maps versions to shares by class."""
    labels = [short(each) for each in classes]
    figure, axes = _new(height=0.75 + (0.1 + 0.12 * len(series)) * len(classes), labels=labels)
    thickness = 0.84 / len(series)
    for number, (version, shares) in enumerate(series.items()):
        style = style_of(version)
        axes.barh(
            np.arange(len(classes)) - 0.42 + thickness * (number + 0.5),
            [shares[each] for each in classes],
            thickness * 0.86,
            label=style.label,
            facecolor=(style.colour, FILLING.get(family_of(version), 1)),
            edgecolor=style.colour,
            lw=1,
        )
    _class_axis(axes, labels)
    axes.set(xlabel=label)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    return with_legend(figure, axes)


@in_our_style
def dots(
    label: str, series: Mapping[str, Mapping[str, int | float]], classes: Sequence[str]
) -> Figure:
    """Draw a row of dots per class, one per version: for values far from 0 that lie close together."""
    labels = [short(each) for each in classes]
    figure, axes = _new(height=0.75 + 0.24 * len(classes), labels=labels)
    for version, values in series.items():
        style = style_of(version)
        axes.plot(
            [values[each] for each in classes],
            range(len(classes)),
            ls="",
            marker=style.marker,
            ms=6 if version in ABOVE else 7,
            color=style.colour,
            mfc=style.colour if version in ABOVE else "none",
            mew=1.4,
            label=style.label,
            zorder=3 if version in ABOVE else 2,
        )
    _class_axis(axes, labels)
    axes.set(xlabel=label)
    axes.margins(x=0.06)
    return with_legend(figure, axes)


@in_our_style
def histogram(label: str, table: pd.DataFrame, quantity: str) -> Figure | None:
    """Draw a quantity's histogram as a step line per version; columns model, quantity, low, high, share."""
    table = _numbers(table[table["quantity"] == quantity], ("low", "high", "share"))
    figure, axes = _new(height=2.5)
    for version, rows in table.groupby("model", sort=False):
        style = style_of(str(version))
        edges = [*rows["low"], rows["high"].iloc[-1]]
        axes.stairs(rows["share"], edges, **_line(version, style))
        if version in ABOVE:
            axes.stairs(rows["share"], edges, color=style.colour, fill=True, alpha=0.25, lw=0)
    axes.set(xlabel=label, ylabel="share of images", ylim=(0, None))
    return None if table.empty else with_legend(figure, axes)


@in_our_style
def curves(
    label: str,
    lines: Mapping[str, tuple[Sequence[int | float], Sequence[int | float]]],
    xlabel: str,
    *,
    styles: Mapping[str, Style] | None = None,
    whole: bool = False,
    fraction: bool = False,
) -> Figure | None:
    """Draw a line per key of `lines`, which hold x and y; `whole`: x counts; `fraction`: y in [0, 1]."""
    figure, axes = _new(height=2.5)
    for key, (places, values) in lines.items():
        style = styles[key] if styles else style_of(key)
        axes.plot(places, values, marker=style.marker, ms=4, **_line(key, style))
    axes.set(xlabel=xlabel, ylabel=label)
    if whole and len({place for places, _ in lines.values() for place in places}) == 1:
        # One epoch: without limits of its own, the axis would show hundredths of one.
        axes.set_xlim(axes.get_xlim()[0] - 1, axes.get_xlim()[1] + 1)
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if fraction:
        axes.set_ylim(-0.03, 1.03)
    return with_legend(figure, axes) if lines else None


@in_our_style
def layers(ylabel: str, table: pd.DataFrame, column: str) -> Figure | None:
    """Draw one figure in [0, 1] per layer, a line per version; columns model, layer and the figure's own."""
    table = _numbers(table, (column,))
    order = list(dict.fromkeys(table["layer"]))
    figure, axes = _new(height=2.3)
    for version, rows in table.groupby("model", sort=False):
        style = style_of(str(version))
        places = [order.index(layer) for layer in rows["layer"]]
        axes.plot(places, rows[column], marker=style.marker, ms=5, **_line(version, style))
    axes.set(ylabel=ylabel, ylim=(-0.03, 1.03), xticks=range(len(order)))
    axes.set_xticklabels([short(layer, 10) for layer in order])
    return None if table.empty else with_legend(figure, axes)


@in_our_style
def confusion(table: pd.DataFrame, classes: Sequence[str], forgotten: Sequence[str]) -> Figure:
    """Draw the confusion matrix in per cent of each row; columns actual and predicted, a row per image.

    Names of classes to forget are marked. The figures are left out above 12 classes, names above 30.
    """
    counts = pd.crosstab(table["actual"], table["predicted"])
    counts = counts.reindex(index=list(classes), columns=list(classes), fill_value=0)
    totals = counts.to_numpy().sum(axis=1, keepdims=True)
    shares = counts.to_numpy() / np.maximum(totals, 1)
    named = len(classes) <= MOST_NAMES
    labels = [short(each, 14) + (" ✕" if each in forgotten else "") for each in classes]
    side = max(3.1, 0.21 * len(classes)) if named else 4.2
    left, below = (_margin(labels), _margin(labels)) if named else (0.35, 0.35)
    figure = Figure(figsize=(left + side + 0.1, below + side + 0.25))
    axes = figure.add_axes(
        (
            left / figure.get_figwidth(),
            below / figure.get_figheight(),
            side / figure.get_figwidth(),
            side / figure.get_figheight(),
        )
    )
    # One blue, more of it for a larger share: what lies behind shows through, be it light or dark.
    colours = np.zeros((*shares.shape, 4))
    colours[..., :3] = np.array((86, 180, 233)) / 255
    colours[..., 3] = shares
    axes.imshow(colours, interpolation="none")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.set(xlabel="predicted", ylabel="actual", xticks=[], yticks=[])
    if named:
        axes.set_xticks(range(len(classes)), labels, rotation=90)
        axes.set_yticks(range(len(classes)), labels)
        axes.tick_params(length=0)
    if len(classes) <= MOST_CELL_FIGURES:
        for row, column in zip(*np.nonzero(shares), strict=True):
            share = shares[row, column]
            axes.text(
                column,
                row,
                f"{share:.0%}".rstrip("%"),
                ha="center",
                va="center",
                fontsize=8,
                # Black on the full blue in both modes; the page's own ink on a pale one.
                color="#101010" if share > 0.5 else INK,
            )
    return figure


def series_of(
    table: pd.DataFrame, by: str, x: str, y: str
) -> dict[str, tuple[list[int | float], list[int | float]]]:
    """Return x and y of a table's rows for each value of the column `by`; rows without numbers are left out."""
    table = _numbers(table, (x, y))
    return {
        str(key): (rows[x].tolist(), rows[y].tolist())
        for key, rows in table.groupby(by, sort=False)
    }


@in_our_style
def scores(values: Mapping[str, np.ndarray]) -> Figure:
    """Draw a histogram of the discriminator's scores as a step line per version, with the article's bounds."""
    figure, axes = _new(height=2.5)
    edges = np.linspace(0, 1, BINS + 1)
    for version, each in values.items():
        style = style_of(version)
        axes.stairs(
            np.histogram(each, edges)[0],
            edges,
            label=style.label,
            color=style.colour,
            lw=style.width,
            ls=style.dash,
        )
    for bound in SCORE_BOUNDS:
        axes.axvline(bound, color=INK, lw=0.8, ls=":")
    label = "score (0: an image of a forgotten class, 1: of a kept one)"
    axes.set(xlabel=label, ylabel="images", xlim=(0, 1))
    return with_legend(figure, axes)


@in_our_style
def examples(pictures: Sequence[np.ndarray], texts: Sequence[str]) -> Figure:
    """Draw pictures, H x W x 3 uint8 each, with a text below each."""
    rows = -(-len(pictures) // ACROSS)
    figure = Figure(figsize=(12.5, 4.3 * rows), layout="constrained")
    grid = figure.subplots(rows, ACROSS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, picture, text in zip(grid.flat, pictures, texts, strict=False):
        axes.imshow(picture)
        axes.text(
            0.5,
            -0.03,
            text,
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=9,
            family="monospace",
        )
    return figure


@in_our_style
def panels(
    series: Mapping[str, Mapping[str, tuple[Sequence[int | float], Sequence[int | float]]]],
    xlabel: str,
) -> Figure:
    """Draw a panel per quantity: `series` maps quantities to x and y by version."""
    across = min(3, len(series))
    down = -(-len(series) // across)
    figure = Figure(figsize=(4 * across, 2.6 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(series) :]:
        axes.axis("off")
    for axes, (quantity, versions) in zip(grid.flat, series.items(), strict=False):
        for version, (x, y) in versions.items():
            style = style_of(version)
            axes.plot(x, y, marker=".", label=style.label, color=style.colour, ls=style.dash)
        axes.set(title=short(quantity, LONGEST_TITLE), xlabel=xlabel)
    grid.flat[0].legend()
    return figure


def _numbers(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the rows that hold numbers in these columns: "not measured" cannot be drawn."""
    numeric = {column: pd.to_numeric(table[column], errors="coerce") for column in columns}
    return table.assign(**numeric).dropna(subset=list(columns))


def _new(height: float, labels: Sequence[str] = ()) -> tuple[Figure, Axes]:
    """Return an empty figure with room for the legend above, the axis below and names at the left."""
    figure = Figure(figsize=(WIDTH, height))
    left = _margin(labels) if labels else 0.58
    axes = figure.add_axes(
        (left / WIDTH, 0.46 / height, (WIDTH - left - 0.12) / WIDTH, (height - 0.75) / height)
    )
    return figure, axes


def _margin(labels: Sequence[str]) -> float:
    """Return the inches that names take: by their columns, since no font at hand knows every script."""
    return 0.36 + 0.08 * max(columns(label) for label in labels)


def _line(version: object, style: Style) -> dict[str, Any]:
    """Return how a version's line is drawn: what is judged lies on top of what it is held against."""
    return {
        "label": style.label,
        "color": style.colour,
        "lw": style.width,
        "ls": style.dash,
        "zorder": 3 if version in ABOVE else 2,
    }


def _class_axis(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def with_legend(figure: Figure, axes: Axes) -> Figure:
    """Return the figure with its legend above, each version named once."""
    unique: dict[str, Any] = {}
    for handle, text in zip(*axes.get_legend_handles_labels(), strict=True):
        unique.setdefault(text, handle)
    known = [style.label for style in STYLES.values()]
    order = sorted(unique, key=lambda text: known.index(text) if text in known else -1)
    axes.legend(
        [unique[text] for text in order],
        order,
        loc="upper left",
        bbox_to_anchor=(0.01, 1),
        bbox_transform=figure.transFigure,
        ncols=len(order),
    )
    return figure
