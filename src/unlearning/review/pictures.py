"""Pictures of what a branch changes: base and branch in one frame, from series in Git."""

from io import StringIO
from pathlib import Path

import pandas as pd

from unlearning.base.errors import UserError
from unlearning.base.files import read_cells
from unlearning.charts import figures, save
from unlearning.review.changes import Changes, present
from unlearning.review.git import committed

CURVE = "plots/adversarial_train.csv"
MOST_PANELS = 24
LARGEST = 1e12  # figure of a stranger's that is drawn


def draw(root: Path, changes: Changes, folder: Path) -> list[Path]:
    """Write the pictures that the workspace has figures for, and return their paths."""
    drawn: dict[str, figures.Figure] = {}
    shares = _by_side(root, changes.base, "plots/destinations.csv")
    if shares and figures.most_named(shares):
        drawn["destinations"] = figures.destinations(shares)
    if accuracies := _by_side(root, changes.base, "plots/per_class.csv"):
        drawn["per_class"] = figures.per_class(accuracies, judged="branch")
    curves = {
        side: table.apply(_finite).dropna(axis="columns")
        for side, table in _sides(root, changes.base, CURVE).items()
        if "epoch" in table and len(table)
    }
    curves = {side: table for side, table in curves.items() if "epoch" in table}
    quantities = [name for name in curves.get("branch", pd.DataFrame()) if name != "epoch"]
    quantities = quantities[:MOST_PANELS]
    if quantities:
        lines = {
            quantity: {
                side: (curve["epoch"].tolist(), curve[quantity].tolist())
                for side, curve in curves.items()
                if quantity in curve
            }
            for quantity in quantities
        }
        drawn["curves"] = figures.panels(lines, xlabel="epoch")
    for name, figure in drawn.items():
        save.png(figure, folder / f"{name}.png")
    return [folder / f"{name}.png" for name in drawn]


def _by_side(root: Path, commit: str, name: str) -> dict[str, dict[str, float]]:
    """Return a table's figures by class: of the base, if it has the same classes, of branch and retraining.

    NaN, which is not drawn, for what is no number.
    """
    tables = {
        side: table.set_index("class")
        for side, table in _sides(root, commit, name).items()
        if {"class", "unlearned"} <= set(table) and len(table)
    }
    if "branch" not in tables:
        return {}
    branch = tables["branch"]
    columns = {
        "base": tables["base"]["unlearned"] if "base" in tables else pd.Series(dtype=float),
        "branch": branch["unlearned"],
        "retrained": branch.get("retrained", pd.Series(dtype=float)),
    }
    return {
        side: _finite(column).to_dict()
        for side, column in columns.items()
        if set(column.index) == set(branch.index)
    }


def _finite(column: pd.Series) -> pd.Series:
    """Return the figures of a column; NaN for what is none, or too large to be drawn."""
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers.where(numbers.abs() < LARGEST)


def _sides(root: Path, commit: str, name: str) -> dict[str, pd.DataFrame]:
    """Return a table of plots/ as the base and as the workspace have it, where they do."""
    found = {}
    for side, read in (
        ("base", lambda: committed(root, commit, name)),
        ("branch", lambda: present(root, name)),
    ):
        try:
            found[side] = read_cells(StringIO(read().decode()))
        except (FileNotFoundError, UserError, ValueError, pd.errors.ParserWarning):
            continue
    return found
