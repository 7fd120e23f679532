"""Which images a request covers, and what becomes of all others: a role each (see `ROLES`).

An image of the request that was never trained on has the role "forget" too: it is not to be kept either.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from unlearning.base.errors import UserError, nearest
from unlearning.base.reading import composed
from unlearning.data.request import Request, SingleImages, check

Mask = Bool[np.ndarray, " N"]
GLOB = re.compile(r"[*?\[]")


def covered(samples: pd.DataFrame, subset: Sequence[str], request: Request) -> Mask:
    """Return which images a request asks for: those of its classes, or the named or drawn ones.

    `subset`: of each image. What an earlier request covers is not asked for again. Raises: UserError if a name
    is no image's.
    """
    free = earlier(samples, subset, request) == 0
    found = samples["class"].isin(request.classes).to_numpy(copy=True)
    if chosen := request.images:
        if chosen.fraction:
            return _drawn(samples, np.asarray(subset), chosen, free)
        found |= samples["pixels"].isin(chosen.pixels).to_numpy()
        found |= samples["path"].isin(chosen.paths).to_numpy()
        if chosen.files:
            found |= samples["sha256"].isin(chosen.files).to_numpy()
        found |= named(chosen.names, samples["path"], samples["id"])
    return found & free


def earlier(samples: pd.DataFrame, subset: Sequence[str], request: Request) -> np.ndarray:
    """Return for each image the number of the earlier request that covers it, from 1; 0 where none does."""
    found = np.zeros(len(samples), dtype=int)
    for number, each in enumerate(request.earlier, start=1):
        found[covered(samples, subset, each) & (found == 0)] = number
    return found


def named(names: Sequence[str], paths: pd.Series, ids: pd.Series | None = None) -> Mask:
    """Return which images are named: by path, file name, a glob of either, or id.

    A glob with a slash is one of paths, in which * crosses folders, one without of file names. Spaces around a
    name count where an image has them. `ids` None: they are not known yet, and digits pass.
    Raises: UserError for a name of no image.
    """
    whole = [composed(path) for path in paths]
    last = [PurePosixPath(path).name for path in whole]
    # A path that is written out is that image alone, whatever other files are called.
    places = _places(last) | _places(whole)
    place_of_id = {} if ids is None else {str(each): place for place, each in enumerate(ids)}
    found = np.zeros(len(whole), dtype=bool)
    for name in map(composed, names):
        if name not in places:
            name = PurePosixPath(name.strip()).as_posix()
        if name in places:
            found[places[name]] = True
        elif name in place_of_id:
            found[place_of_id[name]] = True
        elif GLOB.search(name):
            pattern = re.compile(translate(name))
            # Without a slash of the file's name alone: d*.jpg is no folder dog.
            matched = [bool(pattern.match(text)) for text in (whole if "/" in name else last)]
            if not any(matched):
                raise UserError(f"params.yaml: forget.files names {name!r}, which matches no image")
            found |= matched
        elif not (ids is None and name.isdigit()):
            raise UserError(
                f"params.yaml: forget.files names {name!r}, but there is no such image"
                f"{nearest(name, list(places))}"
            )
    return found


def _places(texts: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, text in enumerate(texts):
        places.setdefault(text, []).append(place)
    return places


def assign(
    samples: pd.DataFrame,
    subsets: pd.DataFrame,
    request: Request,
    withdrawn: Mapping[int, int] = MappingProxyType({}),
) -> pd.DataFrame:
    """Return a row per image, by id: id, subset, role; `request`, an earlier one's number, if there are any.

    `subsets`: as `split.subsets` returns it. `withdrawn`: the ids of images to withdraw (`copies.withdrawn`).
    Raises: UserError for a request that cannot be met: see `request.check`; none of its images was trained on,
    a class would be left without images to train or test, or all classes without one to validate.
    """
    table = samples.merge(subsets, on="id", suffixes=("_given", "")).sort_values(
        "id", ignore_index=True
    )
    check(table["class"].value_counts().to_dict(), request)
    subset = table["subset"].tolist()
    met = earlier(table, subset, request)
    is_asked = covered(table, subset, request)
    is_withdrawn = table["id"].isin(list(withdrawn))
    subset_of = dict(zip(table["id"], subset, strict=True))
    # Held out, but its copy was trained on: it is no image that the original never saw.
    seen = {shown for copy, shown in withdrawn.items() if subset_of[copy] == "train"}
    is_withdrawn |= table["id"].isin(seen) & table["subset"].ne("train")
    role = np.select(
        [met > 0, is_withdrawn, is_asked], ["earlier", "withdrawn", "forget"], "retain"
    )
    table = table.assign(role=role)
    _require_possible(table, request)
    columns = ["id", "subset", "role"]
    if request.earlier:
        table["request"] = met
        columns.append("request")
    return table[columns]


def _require_possible(table: pd.DataFrame, request: Request) -> None:
    is_trained_on = table["subset"].eq("train")
    if not (table["role"].eq("forget") & is_trained_on).any():
        raise UserError(
            f"params.yaml: forget asks for {int(table['role'].eq('forget').sum())} images, none of which was "
            "trained on (data/subsets.csv): there is nothing to forget"
        )
    forget = table[table["role"].eq("forget")]
    for name in request.classes:
        if not (forget["class"].eq(name) & forget["subset"].eq("test")).any():
            raise UserError(
                f"params.yaml: class {name!r} has no test image that the original never saw: it was trained on "
                "copies of all (data/copies.csv): take these out of data.path, or add images"
            )
    kept = table[table["role"].eq("retain")]
    for name in sorted(set(table["class"]) - request.classes_gone):
        left = set(kept[kept["class"].eq(name)]["subset"])
        if lacking := [each for each in ("train", "test") if each not in left]:
            many = int((table["class"].eq(name) & table["role"].eq("withdrawn")).sum())
            why = (
                f" ({many} show images to forget and are withdrawn, data/copies.csv)"
                if many
                else ""
            )
            raise UserError(
                f"params.yaml: the request leaves class {name!r} no {lacking[0]} image{why}: ask for the whole "
                "class by forget.classes, for less, or add images"
            )
    if not kept["subset"].eq("validation").any():
        raise UserError(
            "params.yaml: the request leaves no validation image to keep: ask for less, or add images"
        )


def _drawn(samples: pd.DataFrame, subset: np.ndarray, images: SingleImages, free: Mask) -> Mask:
    """Return a share of the distinct training images that are free, in order of a hash of seed and pixels."""
    pool = (subset == "train") & free
    if images.classes:
        pool &= samples["class"].isin(images.classes).to_numpy()
    distinct = samples["pixels"][pool].unique()
    count = min(len(distinct), max(1, round(images.fraction * len(distinct))))
    order = sorted(distinct, key=lambda pixels: _hash(images.seed, pixels))
    return pool & samples["pixels"].isin(order[:count]).to_numpy()


def _hash(seed: int, pixels: str) -> str:
    return hashlib.sha256(f"forget {seed} {pixels}".encode()).hexdigest()


def count(samples: pd.DataFrame, assigned: pd.DataFrame) -> dict[str, Any]:
    """Return the number of images by role and subset, and of those withdrawn.

    `forget_images_also_retained` are images to forget whose pixels are retained under another class as
    well: a model that never saw the forget set has seen these. 0 unless `forget.equal_pixels` is keep.
    """
    given = samples.drop(columns="subset", errors="ignore")
    table = given.merge(assigned, on="id", validate="one_to_one")
    counts: dict[str, Any] = {
        role: {
            subset: int(((table["role"] == role) & (table["subset"] == subset)).sum())
            for subset in ("train", "test")
        }
        for role in ("forget", "retain")
    }
    forget, retain = (table[table["role"] == role]["pixels"] for role in ("forget", "retain"))
    return counts | {
        "withdrawn": int((table["role"] == "withdrawn").sum()),
        "forget_images_also_retained": int(forget.isin(retain).sum()),
    }
