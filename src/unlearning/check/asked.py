"""The request as params.yaml asks for it: lists of files read, columns of a table looked up."""

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
    if forget.where and params.data.source != "table":
        raise UserError(
            f"params.yaml: forget.where looks at columns of a table, but data.source is {params.data.source!r}"
        )
    names = table.matching(params.data, forget.where) if forget.where else names_in(forget)
    roles.named(names, pd.Series([image.path for image in _images(params)]))
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
            cells = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except (ValueError, pd.errors.ParserError) as error:
            _refuse(forget, f"it is no table that can be read: {str(error).splitlines()[0]}")
        if COLUMN not in cells:
            _refuse(forget, f"its columns are {', '.join(cells)}: it needs {COLUMN}")
        lines = cells[COLUMN].tolist()
    else:
        lines = [
            line.partition("#")[0] if line.startswith("#") else line for line in text.splitlines()
        ]
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
    asked_for = request_of(params).images
    assert asked_for is not None
    images = _images(params)
    named = roles.named(asked_for.names, pd.Series([image.path for image in images]))
    found = dict.fromkeys(counts, 0)
    for image, is_named in zip(images, named, strict=True):
        found[image.class_name] += int(is_named)
    return {name: found[name] / sum(given.values()) for name, given in counts.items()}


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
