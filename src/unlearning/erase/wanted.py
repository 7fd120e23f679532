"""Which images are to go: those of the last run's request and of every one before it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from unlearning.base.errors import UserError
from unlearning.base.files import read_table
from unlearning.data import request

SAMPLES, SPLIT, REQUEST = "data/samples.csv", "data/split.csv", "data/request.json"
COLUMNS = {
    SAMPLES: ["id", "path", "sha256", "pixels", "class"],
    SPLIT: ["id", "subset", "role"],
}
# Roles of what the last request covers, and of that with what those before it did.
ASKED = ("forget", "withdrawn")
COVERED = (*ASKED, "earlier")
RETAIN = "retain"


@dataclass(frozen=True)
class Wanted:
    """Images by what stays the same in every version of the data.

    `classes`: whole ones, by name. `pixels`, `files`: SHA-256 of packed pixels and of the files they came from.
    """

    classes: frozenset[str]
    pixels: frozenset[str]
    files: frozenset[str]

    def rows(self, samples: pd.DataFrame) -> Bool[np.ndarray, " N"]:
        """Return of each row of a data/samples.csv, whichever run made it, whether it is one of them."""
        return (
            samples["class"].isin(self.classes)
            | samples["pixels"].isin(self.pixels)
            | samples["sha256"].isin(self.files)
        ).to_numpy()

    def roles(self, samples: pd.DataFrame, split: pd.DataFrame) -> set[str]:
        """Return the roles that these images had in a run; empty if it had none of them."""
        ids = samples["id"][self.rows(samples)]
        return set(split["role"][split["id"].isin(ids)])


def of_workspace(root: Path) -> Wanted:
    """Return what the run in `root` and the requests before it covered, copies that were withdrawn included.

    Raises: UserError if there is no run.
    """
    images = joined(*tables(root))
    asked = request.read(root / REQUEST)
    met = [asked, *asked.earlier]
    covered = images[images["role"].isin(COVERED)]
    if covered.empty:
        raise UserError("no request was met here: run `dvc repro` first")
    return Wanted(
        classes=asked.classes_gone,
        pixels=frozenset(covered["pixels"])
        | {pixels for each in met if each.images for pixels in each.images.pixels},
        files=frozenset(covered["sha256"])
        | {file for each in met if each.images for file in each.images.files},
    )


def joined(samples: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Return the samples, in their order, with the subset and role that they have in a split."""
    # A source's own subsets: the split has what became of them.
    return samples.drop(columns="subset", errors="ignore").merge(split, on="id")


def tables(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return samples and split of the run in `root`. Raises: UserError if one is missing or none."""
    try:
        samples, split = (read_table(root / name, COLUMNS[name]) for name in (SAMPLES, SPLIT))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} does not exist: run `dvc repro` first") from None
    return samples, split
