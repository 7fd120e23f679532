"""The request as params.yaml asks for it: lists of files read, columns of a table looked up."""

import io
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NoReturn

import pandas as pd

from unlearning.base.errors import UserError
from unlearning.base.reading import read_text
from unlearning.data import request, roles
from unlearning.data.request import Images, Request
from unlearning.settings.forget import ForgetParams
from unlearning.settings.whole import Params
from unlearning.sources import listing, table
from unlearning.sources.drawn import SPECIES
from unlearning.sources.folder import select
from unlearning.sources.listed import Listed
from unlearning.sources.listing import Counts

MOST_BYTES = 2**26  # of a list: a million names
COLUMN = "path"


def request_of(params: Params) -> Request:
    """Return what params.yaml asks to forget, with what earlier requests have asked for.

    Raises: UserError if a list cannot be read or is empty, or names what is no image of the source.
    """
    forget = params.forget
    earlier = tuple(request.read(path) for path in forget.previous)
    if not forget.of_images:
        return Request(tuple(forget.classes), earlier=earlier)
    wrong = forget.labels == "wrong"
    if forget.fraction:
        drawn = Images(
            fraction=forget.fraction,
            classes=tuple(forget.classes),
            seed=forget.seed,
            wrong_labels=wrong,
        )
        return Request(images=drawn, earlier=earlier)
    names = _names(params)
    roles.named(names, _paths(_images(params)))
    return Request(images=Images(names=tuple(names), wrong_labels=wrong), earlier=earlier)


def names_in(forget: ForgetParams) -> list[str]:
    """Return the names in the file `forget.files`: a line each (# begins a comment), or a CSV's column path."""
    path = Path(forget.files or "")
    try:
        text = read_text(path, MOST_BYTES)
    except FileNotFoundError:
        _refuse(
            forget, "there is no such file: name a list of images, a line each, or a CSV with path"
        )
    except UnicodeDecodeError:
        _refuse(forget, "it is no text in UTF-8")
    if path.suffix.lower() == ".csv":
        try:
            cells = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
        except ValueError as error:
            _refuse(forget, f"it is no table that can be read: {str(error).splitlines()[0]}")
        if COLUMN not in cells:
            _refuse(forget, f"its columns are {', '.join(cells)}: it needs {COLUMN}")
        lines = cells[COLUMN].tolist()
    else:
        lines = [line for line in text.splitlines() if not line.startswith("#")]
    names = [PurePath(line.strip()).as_posix() for line in lines if line.strip()]
    if not names:
        _refuse(forget, "it names no image")
    return names


def shares(params: Params, counts: Counts) -> dict[str, float]:
    """Return about which share of each class's images is asked for, in [0, 1]; exact for whole classes."""
    forget = params.forget
    if not forget.of_images:
        return {name: float(name in forget.classes) for name in counts}
    if forget.fraction:
        return {
            name: forget.fraction if name in (forget.classes or counts) else 0.0 for name in counts
        }
    images = _images(params)
    named = roles.named(_names(params), _paths(images))
    found = dict.fromkeys(counts, 0)
    for image, is_named in zip(images, named, strict=True):
        found[image.class_name] += int(is_named)
    return {name: found[name] / sum(given.values()) for name, given in counts.items()}


def without_earlier(params: Params, counts: Counts) -> Counts:
    """Return the counts without classes that an earlier request has taken out; of single images it was few."""
    gone = {name for path in params.forget.previous for name in request.read(path).classes}
    return {name: given for name, given in counts.items() if name not in gone}


def _names(params: Params) -> list[str]:
    """Return the images that a list or the columns of a table name, as they name them. Raises: UserError."""
    forget = params.forget
    if not forget.where:
        return names_in(forget)
    if params.data.source != "table":
        raise UserError(
            f"params.yaml: forget.where looks at columns of a table, but data.source is {params.data.source!r}"
        )
    return table.matching(params.data, forget.where)


def _paths(images: Sequence[Listed]) -> pd.Series:
    return pd.Series([image.path for image in images])


def _images(params: Params) -> list[Listed]:
    """Return all images of the source; of drawings those that will be there."""
    if params.data.source != "synthetic":
        return listing.list_images(params.data)
    return [
        Listed(f"{species}/{species}_{number:04d}.jpg", name)
        for species, name in select(params.data.classes, SPECIES).items()
        for number in range(params.data.images_per_class)
    ]


def _refuse(forget: ForgetParams, why: str) -> NoReturn:
    raise UserError(f"params.yaml: forget.files is {forget.files!r}, but {why}")
