"""Pictures of what a branch changes: base and branch in one frame, from metrics and series in Git."""

import io
from pathlib import Path

import pandas as pd

from unlearning import drawing
from unlearning.errors import UserError
from unlearning.repository import committed
from unlearning.review.changes import Changed, Changes

CURVE = "plots/adversarial_train.csv"
CLASSES = {
    # file, start of the keys, title, what the bars say
    "destinations": ("evaluate_forget", "destinations.", "Where the forget images went", "share"),
    "per_class_accuracy": ("evaluate_retain", "per_class.", "Kept classes", "test accuracy"),
}
MOST_CLASSES = 60  # bars that a picture has room for


def draw(root: Path, changes: Changes, folder: Path) -> list[Path]:
    """Write the pictures that the workspace has figures for, and return their paths."""
    drawn = []
    for name, (file, start, title, label) in CLASSES.items():
        series = _series(changes.metrics.get(f"metrics/{file}.json", {}), start)
        if series:
            drawn.append(folder / f"{name}.png")
            drawing.bars(drawn[-1], series, title, label)
    curves = {"base": _base_curve(root, changes.base), "branch": _curve(root / CURVE)}
    known = {side: curve for side, curve in curves.items() if curve is not None}
    if "branch" in known:
        quantities = [name for name in known["branch"].columns if name != "epoch"]
        drawn.append(folder / "curves.png")
        drawing.lines(
            drawn[-1],
            {
                quantity: {
                    side: (curve["epoch"].tolist(), curve[quantity].tolist())
                    for side, curve in known.items()
                    if quantity in curve
                }
                for quantity in quantities
            },
            xlabel="epoch",
        )
    return drawn


def _series(figures: Changed, start: str) -> dict[str, dict[str, float]]:
    """Return shares by class: of the base, if it has the same classes, of the branch and of retraining."""
    sides = {
        "base": _by_class(figures, start, 0),
        "branch": _by_class(figures, start, 1),
        "retrained": _by_class(figures, f"retrained.{start}", 1),
    }
    classes = sides["branch"].keys()
    if not 0 < len(classes) <= MOST_CLASSES:
        return {}
    return {side: values for side, values in sides.items() if values.keys() == classes}


def _by_class(figures: Changed, start: str, side: int) -> dict[str, float]:
    return {
        key.removeprefix(start): pair[side]
        for key, pair in figures.items()
        if key.startswith(start) and isinstance(pair[side], int | float)
    }


def _base_curve(root: Path, commit: str) -> pd.DataFrame | None:
    try:
        return _curve(io.BytesIO(committed(root, commit, CURVE)))
    except UserError:
        return None


def _curve(file: Path | io.BytesIO) -> pd.DataFrame | None:
    """Return the columns of numbers, or None where there is no such series."""
    try:
        curve = pd.read_csv(file).select_dtypes("number")
    except (FileNotFoundError, ValueError):
        return None
    return curve if "epoch" in curve and len(curve.columns) > 1 else None
