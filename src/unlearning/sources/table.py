"""Images listed in a table, CSV or Parquet: columns path and label, and split if it is given.

Paths start from the table's folder, or are absolute. Labels are class names, numbers too; `data.classes`
selects and renames them as it does folders. The split's words are train, val, valid, validation and test.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from unlearning.base.errors import UserError, choices, nearest
from unlearning.base.files import read_cells
from unlearning.base.reading import as_on_disk, composed
from unlearning.base.written import FOLDERS, TABLES
from unlearning.settings.data import DataParams
from unlearning.sources.folder import refuse, select
from unlearning.sources.listed import Listed
from unlearning.sources.words import SUBSET_OF

COLUMNS = ("path", "label")
SPLIT = "split"


def file_of(params: DataParams) -> Path:
    """Return the table's file. Raises: UserError if there is none."""
    try:
        file = as_on_disk(Path(params.path))
        if not file.is_file():
            refuse(params, "there is no such file: give a table of images, .csv or .parquet")
    except (ValueError, OSError) as error:
        refuse(params, f"that is no path: {error}")
    if file.resolve() in {each.resolve() for each in TABLES}:
        refuse(
            params,
            "that is written by runs: copy it, with the images' places, to a name of your own",
        )
    return file


def list_images(params: DataParams) -> list[Listed]:
    """Return the table's images in its order.

    Raises: UserError if a column is missing, a cell empty or no word of a split, a path stands twice or leads
    nowhere, or too few classes are left.
    """
    file = file_of(params)
    table = _read(params, file)
    for column in COLUMNS:
        if column not in table:
            refuse(params, f"its columns are {choices(list(table))}: it needs path and label")
    if table.empty:
        refuse(params, "it has no row: give a line for each image")
    labels = [composed(label).strip() for label in table["label"]]
    paths = table["path"].tolist()
    splits = table[SPLIT].tolist() if SPLIT in table else [""] * len(paths)
    for line, cells in enumerate(zip(paths, labels, splits, strict=True), start=1):
        if not cells[0] or not cells[1] or (SPLIT in table and not cells[2]):
            refuse(params, f"row {line} has an empty cell under path, label or split")
    wrong = [word for word in splits if word and word.strip().lower() not in SUBSET_OF]
    if wrong:
        refuse(params, f"its split holds {wrong[0]!r}: the words are {choices(list(SUBSET_OF))}")
    subsets = [SUBSET_OF.get(word.strip().lower(), "") for word in splits]

    chosen = select(params.classes, sorted(set(labels)))
    subset_of: dict[str, str] = {}
    found = []
    for path, label, subset in zip(paths, labels, subsets, strict=True):
        if label not in chosen:
            continue
        place = _place(path)
        if place in subset_of:
            where = "two splits" if subset_of[place] != subset else "two rows"
            refuse(params, f"{path!r} stands in {where}: each image stands once")
        subset_of[place] = subset
        found.append(Listed(place, chosen[label], subset))
    below = file.parent.resolve()
    for output in (str(each.resolve()) + os.sep for each in FOLDERS):
        lost = next((each.path for each in found if _at(below, each.path).startswith(output)), None)
        if lost:
            refuse(params, f"{lost!r} lies in a folder that runs empty: keep your images apart")
    missing = next((image.path for image in found if not (file.parent / image.path).exists()), None)
    if missing:
        refuse(params, f"its path {missing!r} leads nowhere from {str(file.parent)!r}")
    return found


def matching(params: DataParams, where: Mapping[str, str]) -> list[str]:
    """Return the paths of the rows that have these values in these columns, in order.

    Raises: UserError as `list_images`; if there is no such column, or no such row.
    """
    table = _read(params, file_of(params))
    rows = np.ones(len(table), dtype=bool)
    for column, value in where.items():
        if column not in table:
            raise UserError(
                f"params.yaml: forget.where names {column!r}, but the table's columns are "
                f"{choices(list(table))}{nearest(column, list(table))}"
            )
        values = [composed(cell) for cell in table[column]]
        if value not in values:
            known = sorted(set(values))
            raise UserError(
                f"params.yaml: forget.where asks for {column} {value!r}, but its values are "
                f"{choices(known)}{nearest(value, known)}"
            )
        rows &= np.array([each == value for each in values])
    if not rows.any():
        raise UserError("params.yaml: forget.where asks for values that no row has together")
    return [_place(path) for path in table["path"][rows]]


def _at(folder: Path, path: str) -> str:
    return os.path.normpath(folder / path)


def _place(path: str) -> str:
    """Return a path in the one form in which it is listed: without "." and ".."."""
    return Path(os.path.normpath(path)).as_posix()


def _read(params: DataParams, file: Path) -> pd.DataFrame:
    """Return the table with every cell as text. Raises: UserError."""
    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            # Not by NumPy's types: a label 7 must not become 7.0 because another is missing.
            table = pd.read_parquet(file, dtype_backend="numpy_nullable").astype(object)
            return table.where(table.notna(), "").map(str)
        return read_cells(file)
    except ImportError:
        refuse(params, "to read Parquet takes pyarrow: pip install pyarrow, or give a CSV file")
    # Broken files make both readers raise all sorts.
    except Exception as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        refuse(params, f"it is no table that can be read: {why}")
