"""Charts as SVG to be written into the page itself, in the page's own colours, light and dark.

matplotlib draws with stand-in colours, which then become CSS variables; text stays text, in the page's
font. Colour is never the only carrier: each version of the model has a marker, a dash and a filling.
A chart without a single number to draw comes back empty.
"""

import io
import re
import unicodedata
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Stand-in colours and what the page has in their place.
INK, RULE = "#010203", "#010204"
ORIGINAL, UNLEARNED, RETRAINED, HEAD_EDITED = "#e69f00", "#0072b2", "#7f7f7f", "#cc79a7"
PAGE_COLOURS = {
    INK: "currentColor",
    RULE: "var(--rule)",
    ORIGINAL: "var(--original)",
    UNLEARNED: "var(--unlearned)",
    RETRAINED: "var(--retrained)",
    HEAD_EDITED: "var(--head-edited)",
}

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
# Around each chart, so that pictures drawn by the same process keep matplotlib's own style.
in_our_style = matplotlib.rc_context(SETTINGS)
SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"

# The classes that a chart of bars or dots has room for.
MOST_CLASSES = 30
# The classes whose names, and those whose figures, fit into the confusion matrix.
MOST_NAMES, MOST_CELL_FIGURES = 30, 12
LONGEST_NAME = 16
# How opaque a version's bars are: told apart without colour. The others are solid.
FILLING = {"original": 0.15, "retrained": 0.5}


@dataclass(frozen=True)
class Style:
    """How a version of the model is drawn."""

    label: str
    colour: str
    marker: str
    dash: Any
    width: float


STYLES = {
    "original": Style("original", ORIGINAL, "s", (0, (4, 1.5)), 1.4),
    "unlearned": Style("unlearned", UNLEARNED, "o", "-", 2.0),
    "retrained": Style("retrained", RETRAINED, "D", "-", 1.0),
    "head_edited": Style("head-edited", HEAD_EDITED, "^", (0, (1, 1.2)), 1.4),
}


def style_of(version: str) -> Style:
    """Return the style of a version, `retrained (<seed>)` included."""
    return STYLES[re.sub(r" \(.*\)$", "", version, flags=re.DOTALL)]


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a class name that fits beside an axis: one line, no control characters, an ellipsis."""
    line = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in name)
    if _columns(line) <= longest:
        return line
    while _columns(line) > longest - 1:
        line = line[:-1]
    return line.rstrip() + "…"


@in_our_style
def bars(
    name: str, label: str, series: Mapping[str, Mapping[str, int | float]], classes: Sequence[str]
) -> Markup:
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
            facecolor=(style.colour, FILLING.get(version, 1)),
            edgecolor=style.colour,
            lw=1,
        )
    _class_axis(axes, labels)
    axes.set(xlabel=label)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    return _finish(figure, axes, name, label)


@in_our_style
def dots(
    name: str, label: str, series: Mapping[str, Mapping[str, int | float]], classes: Sequence[str]
) -> Markup:
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
            ms=6 if version == "unlearned" else 7,
            color=style.colour,
            mfc=style.colour if version == "unlearned" else "none",
            mew=1.4,
            label=style.label,
            zorder=3 if version == "unlearned" else 2,
        )
    _class_axis(axes, labels)
    axes.set(xlabel=label)
    axes.margins(x=0.06)
    return _finish(figure, axes, name, label)


@in_our_style
def histogram(name: str, label: str, table: pd.DataFrame, quantity: str) -> Markup:
    """Draw a quantity's histogram as a step line per version; columns model, quantity, low, high, share."""
    table = _numbers(table[table["quantity"] == quantity], ("low", "high", "share"))
    figure, axes = _new(height=2.5)
    for version, rows in table.groupby("model", sort=False):
        style = style_of(str(version))
        edges = [*rows["low"], rows["high"].iloc[-1]]
        axes.stairs(
            rows["share"],
            edges,
            label=style.label,
            color=style.colour,
            lw=style.width,
            ls=style.dash,
            zorder=3 if version == "unlearned" else 2,
        )
        if version == "unlearned":
            axes.stairs(rows["share"], edges, color=style.colour, fill=True, alpha=0.25, lw=0)
    axes.set(xlabel=label, ylabel="share of images", ylim=(0, None))
    return _finish(figure, axes, name, label, empty=table.empty)


@in_our_style
def curves(
    name: str,
    label: str,
    lines: Mapping[str, tuple[Sequence[int | float], Sequence[int | float]]],
    xlabel: str,
    *,
    styles: Mapping[str, Style] | None = None,
    whole: bool = False,
    fraction: bool = False,
) -> Markup:
    """Draw a line per key of `lines`, which hold x and y; `whole`: x counts; `fraction`: y in [0, 1]."""
    figure, axes = _new(height=2.5)
    for key, (places, values) in lines.items():
        style = styles[key] if styles else style_of(key)
        axes.plot(
            places,
            values,
            label=style.label,
            color=style.colour,
            marker=style.marker,
            ms=4,
            lw=style.width,
            ls=style.dash,
            zorder=3 if key == "unlearned" else 2,
        )
    axes.set(xlabel=xlabel, ylabel=label)
    if whole and len({place for places, _ in lines.values() for place in places}) == 1:
        # One epoch: without limits of its own, the axis would show hundredths of one.
        axes.set_xlim(axes.get_xlim()[0] - 1, axes.get_xlim()[1] + 1)
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if fraction:
        axes.set_ylim(-0.03, 1.03)
    return _finish(figure, axes, name, f"{label} by {xlabel}", empty=not lines)


@in_our_style
def layers(name: str, label: str, ylabel: str, table: pd.DataFrame, column: str) -> Markup:
    """Draw one figure in [0, 1] per layer, a line per version; columns model, layer and the figure's own."""
    table = _numbers(table, (column,))
    order = list(dict.fromkeys(table["layer"]))
    figure, axes = _new(height=2.3)
    for version, rows in table.groupby("model", sort=False):
        style = style_of(str(version))
        axes.plot(
            [order.index(layer) for layer in rows["layer"]],
            rows[column],
            label=style.label,
            color=style.colour,
            marker=style.marker,
            ms=5,
            lw=style.width,
            ls=style.dash,
            zorder=3 if version == "unlearned" else 2,
        )
    axes.set(ylabel=ylabel, ylim=(-0.03, 1.03), xticks=range(len(order)))
    axes.set_xticklabels([short(layer, 10) for layer in order])
    return _finish(figure, axes, name, f"{label} by layer", empty=table.empty)


@in_our_style
def confusion(
    name: str, label: str, table: pd.DataFrame, classes: Sequence[str], forgotten: Sequence[str]
) -> Markup:
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
    return _svg(figure, name, label)


def series_of(
    table: pd.DataFrame, by: str, x: str, y: str
) -> dict[str, tuple[list[int | float], list[int | float]]]:
    """Return x and y of a table's rows for each value of the column `by`; rows without numbers are left out."""
    table = _numbers(table, (x, y))
    return {
        str(key): (rows[x].tolist(), rows[y].tolist())
        for key, rows in table.groupby(by, sort=False)
    }


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
    return 0.36 + 0.08 * max(_columns(label) for label in labels)


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _class_axis(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _finish(figure: Figure, axes: Axes, name: str, label: str, empty: bool = False) -> Markup:
    """Return the chart with its legend, each version named once."""
    if empty:
        return Markup("")
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
    return _svg(figure, name, label)


def _svg(figure: Figure, name: str, label: str) -> Markup:
    """Return the figure as an <svg> element: same figure, same text, and no id of another chart."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # The page's font may have the glyphs that matplotlib's has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(buffer.getvalue())
    _strip(root)
    _isolate(root, name)
    root.attrib = {
        "class": "chart",
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": label,
        "style": f"--width: {figure.get_figwidth():.2f}",
    }
    return Markup(ET.tostring(root, encoding="unicode"))


def _strip(root: ET.Element) -> None:
    """Take out what belongs to a file of its own: namespaces, metadata, rules for the whole document."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        element.attrib = {
            key.removeprefix(XLINK): value.replace("\n", "")
            for key, value in element.attrib.items()
        }
        if "style" in element.attrib:
            element.attrib["style"] = _in_page_colours(element.attrib["style"])


def _in_page_colours(style: str) -> str:
    style = re.sub(r"font-family: [^;]*;? ?", "", style)
    for stand_in, colour in PAGE_COLOURS.items():
        style = style.replace(stand_in, colour)
    return style


def _isolate(root: ET.Element, name: str) -> None:
    """Keep only the ids that the chart refers to, with its own name before them."""
    text = " ".join(value for element in root.iter() for value in element.attrib.values())
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | {
        element.attrib["href"][1:]
        for element in root.iter()
        if element.attrib.get("href", "").startswith("#")
    }
    for element in root.iter():
        if element.attrib.get("id") not in used:
            element.attrib.pop("id", None)
        else:
            element.attrib["id"] = f"{name}-{element.attrib['id']}"
        for key, value in element.attrib.items():
            if key == "href" and value.startswith("#"):
                element.attrib[key] = f"#{name}-{value[1:]}"
            elif "url(#" in value:
                element.attrib[key] = value.replace("url(#", f"url(#{name}-")
