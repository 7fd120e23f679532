"""A figure as a PNG file, or as SVG to be written into the page: same figure, same bytes.

In the page, stand-in colours become CSS variables, light and dark; text stays text, in the page's font.
"""

import io
import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from unlearning.base.files import atomic
from unlearning.charts.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    RULE,
    in_our_style,
)

PAGE_COLOURS = {
    INK: "currentColor",
    RULE: "var(--rule)",
    ORANGE: "var(--original)",
    BLUE: "var(--unlearned)",
    GREY: "var(--retrained)",
    PURPLE: "var(--head-edited)",
}
PAPER_RULE = "#dddddd"
DOTS_PER_INCH = 150
EXAMPLES_DPI = 90  # photographs: no larger than they are shown
SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"


@in_our_style
def png(figure: Figure, path: Path | str, dpi: int = DOTS_PER_INCH) -> None:
    """Write the figure, without a date or a version, which would change its bytes."""
    for axes in figure.axes:
        for line in (*axes.get_xgridlines(), *axes.get_ygridlines()):
            line.set_color(PAPER_RULE)
    with atomic(path) as temporary, warnings.catch_warnings():
        # A script that the font lacks shows as boxes; the figures' files have the names.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(
            temporary, dpi=dpi, format="png", bbox_inches="tight", metadata={"Software": None}
        )


@in_our_style
def svg(figure: Figure | None, name: str, label: str) -> Markup:
    """Return the figure as an <svg> element with no id of another one; nothing for no figure."""
    if figure is None:
        return Markup("")
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
