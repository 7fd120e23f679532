"""The request as params.yaml asks for it: lists of files read, columns of a table looked up."""

import io
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NoReturn

import pandas as pd

from unlearning.base.errors import UserError
from unlearning.base.files import read_cells
from unlearning.base.reading import read_text
from unlearning.data import request, roles
from unlearning.data.request import Request, SingleImages
from unlearning.settings.forget import ForgetParams
from unlearning.settings.whole import Params
from unlearning.sources import table
from unlearning.sources.listed import Listed
from unlearning.sources.listing import Counts

MOST_BYTES = 2**26  # of a list: a million names
COLUMN = "path"
LINE_END = re.compile(r"\r\n?|\n")


@dataclass(frozen=True)
class Asked:
    """A request, and about which share of each class's images it covers, in [0, 1]; exact for whole classes."""

    request: Request
    shares: dict[str, float]


def of(params: Params, images: Sequence[Listed]) -> Asked:
    """Return what params.yaml asks to forget of these images, with what earlier requests have asked for.

    Raises: UserError if a list cannot be read or is empty, or names what is no image of the source.
    """
    forget = params.forget
    classes = Counter(image.class_name for image in images)
    earlier = tuple(request.read(path) for path in forget.previous)
    if not forget.of_images:
        whole = Request(tuple(forget.classes), earlier=earlier)
        return Asked(whole, {name: float(name in forget.classes) for name in classes})
    wrong = forget.labels == "wrong"
    if forget.fraction:
        drawn = SingleImages(
            fraction=forget.fraction,
            classes=tuple(forget.classes),
            seed=forget.seed,
            wrong_labels=wrong,
        )
        among = forget.classes or classes
        shares = {name: forget.fraction if name in among else 0.0 for name in classes}
        return Asked(Request(images=drawn, earlier=earlier), shares)
    paths = pd.Series([image.path for image in images])
    if forget.where:
        rows = _rows(params)
        single = SingleImages(paths=tuple(rows), wrong_labels=wrong)
        is_asked = paths.isin(rows).to_numpy()
        if not is_asked.any():
            raise UserError(
                "params.yaml: forget.where asks for images of classes that data.classes leaves out"
            )
    else:
        names = names_in(forget, {*paths, *(PurePath(path).name for path in paths)})
        single = SingleImages(names=tuple(names), wrong_labels=wrong)
        is_asked = roles.named(names, paths)
    found = Counter(image.class_name for image, hit in zip(images, is_asked, strict=True) if hit)
    # Ids are known once images are packed: until then each class has its share of them.
    ids = 0 if is_asked.any() else len(single.names)
    return Asked(
        Request(images=single, earlier=earlier),
        {name: found[name] / count + ids / len(images) for name, count in classes.items()},
    )


def names_in(forget: ForgetParams, known: Collection[str] = ()) -> list[str]:
    """Return the names in the file `forget.files`: a line each, or a CSV's column path.

    A line that begins with # is a comment, unless it is one of the `known` names. With spaces around them, as
    they stand there: a file's name may begin or end so.
    """
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
            cells = read_cells(io.StringIO(text))
        except (ValueError, pd.errors.ParserWarning) as error:
            _refuse(forget, f"it is no table that can be read: {str(error).splitlines()[0]}")
        if COLUMN not in cells:
            _refuse(forget, f"its columns are {', '.join(cells)}: it needs {COLUMN}")
        lines = cells[COLUMN].tolist()
    else:
        # Not by splitlines, which breaks names too: at U+0085, U+2028 and others.
        lines = [
            line
            for line in LINE_END.split(text)
            if not line.startswith("#") or line.strip() in known
        ]
    names = [PurePath(line).as_posix() for line in lines if line.strip()]
    if not names:
        _refuse(forget, "it names no image")
    return names


def without_earlier(counts: Counts, wanted: Request) -> Counts:
    """Return the counts without classes that an earlier request has taken out.

    Single images met earlier are not subtracted: they are few.
    """
    met = wanted.classes_met
    return {name: given for name, given in counts.items() if name not in met}


def _rows(params: Params) -> list[str]:
    """Return the paths of the table's rows that `forget.where` asks for. Raises: UserError."""
    forget = params.forget
    if params.data.source != "table":
        raise UserError(
            f"params.yaml: forget.where looks at columns of a table, but data.source is {params.data.source!r}"
        )
    return table.matching(params.data, forget.where)


def _refuse(forget: ForgetParams, why: str) -> NoReturn:
    raise UserError(f"params.yaml: forget.files is {forget.files!r}, but {why}")
