"""Who trains, who validates, who tests: whatever is to be forgotten (`roles`).

Where the source gives a split, that is taken; a subset that it lacks is cut from its training images.

Images with the same pixels always stand in the same subset, so what is split are distinct images.
A distinct image that stands under several classes is counted for the smallest of them.
"""

import hashlib
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd

from unlearning.base.errors import UserError
from unlearning.data import SUBSETS
from unlearning.data.request import EarlierSplit
from unlearning.settings.split import SplitParams

# Of a picture that the source gives to several subsets training has it: what was seen tests nothing.
BY_RANK = (*SUBSETS, "")
_CUT = ("test", "validation")  # in the order in which they are cut from a class's images


def subsets(
    samples: pd.DataFrame, split: SplitParams, held: EarlierSplit | None = None
) -> pd.DataFrame:
    """Return a row per image, by id: id, subset (train, validation, test).

    Each class's distinct images are put in order of a hash of `split.seed` and an image's
    pixels. So neither the order of rows, nor other classes, nor a class's name change a subset, and
    new images leave most of the old ones where they were. Nor does the request. `held`: how the images of the
    model at hand were split; then each stays where it was, whichever others come or go.

    Raises: UserError if a class has too few images, or no image of a subset that the source gives to others;
    for another seed than that of `held`.
    """
    if held and held.seed != split.seed:
        raise UserError(
            f"params.yaml: split.seed is {split.seed}, but the last request of forget.previous was met with "
            f"{held.seed}: images that its model was trained on would test the next one"
        )
    distinct = _distinct(samples)
    _require_enough(samples["class"].value_counts(), distinct["owner"].value_counts())
    distinct["order"] = [_hash(split.seed, pixels) for pixels in distinct.index]
    subset_of: dict[str, str] = {}
    missing = missing_subsets(distinct["given"].unique())
    # Images with copies come last and so train, unless there are few others: an image that counts
    # twice would weigh double in a test.
    for name, images in distinct.sort_values(["copies", "order"]).groupby("owner"):
        subset_of |= _of_class(name, images, split, missing, held)
    assigned = pd.DataFrame({"id": samples["id"], "subset": samples["pixels"].map(subset_of)})
    return assigned.sort_values("id", ignore_index=True)


def _distinct(samples: pd.DataFrame) -> pd.DataFrame:
    """Return a row per distinct image, by its pixels: owner (class), given (subset or ""), copies (whether)."""
    files = samples["class"].value_counts()
    smallest_first = sorted(files.index, key=lambda name: (files[name], name))
    given = samples["subset"] if "subset" in samples else pd.Series("", samples.index)
    # As numbers: grouping by words calls Python for each image.
    ranked = {
        "place": samples["class"].map({name: place for place, name in enumerate(smallest_first)}),
        "given": given.map({name: rank for rank, name in enumerate(BY_RANK)}),
    }
    found = samples.assign(**ranked).groupby("pixels")[["place", "given"]]
    first, copies = found.min(), found.size().gt(1)
    return pd.DataFrame(
        {
            "owner": [smallest_first[place] for place in first["place"]],
            "given": [BY_RANK[rank] for rank in first["given"]],
            "copies": copies,
        },
        first.index,
    )


def _require_enough(files: pd.Series, distinct: pd.Series) -> None:
    for name in sorted(files.index):
        count = int(distinct.get(name, 0))
        if count < len(SUBSETS):
            more = files[name] - count
            shared = (
                f" ({more} more files show the same as these, or as another class)" if more else ""
            )
            raise UserError(
                f"params.yaml: class {name!r} has {count} distinct images{shared}, but needs "
                f"{len(SUBSETS)}, one each to train, validate and test: add images, or leave the "
                "class out by data.classes"
            )


def held(samples: pd.DataFrame, subset: pd.Series, split: SplitParams) -> EarlierSplit:
    """Return how these images were split, for `subsets` of a later request. `subset`: of each of `samples`."""
    distinct = _distinct(samples)
    subset_of = dict(zip(samples["pixels"], subset, strict=True))
    distinct["order"] = [_hash(split.seed, pixels) for pixels in distinct.index]
    distinct["subset"] = [subset_of[pixels] for pixels in distinct.index]
    own = distinct[distinct["given"].isin(("", "train"))]
    cuts: dict[str, tuple[str, str]] = {}
    others: dict[str, str] = {}
    for name, images in own.groupby("owner"):
        last = [max(images["order"][images["subset"].eq(each)], default="") for each in _CUT]
        cuts[str(name)] = (last[0], max(last))
        # Images with copies, which were cut last whatever their hash.
        differs = images["subset"].ne(_by_cuts(images["order"], *cuts[str(name)]))
        others |= images["subset"][differs].to_dict()
    return EarlierSplit(split.seed, cuts, others)


def _by_cuts(order: pd.Series, test: str, validation: str) -> np.ndarray:
    return np.select([order.le(test), order.le(validation)], _CUT, "train")


def _of_class(
    name: Hashable,
    images: pd.DataFrame,
    split: SplitParams,
    missing: Sequence[str],
    held: EarlierSplit | None,
) -> dict[str, str]:
    """Return the subset of each of a class's images, which come in the order that they are cut in."""
    cut = images[images["given"].isin(("", "train"))]
    if held and str(name) in held.cuts:
        by_cuts = _by_cuts(cut["order"], *held.cuts[str(name)])
        chosen = [
            held.others.get(pixels, each) for pixels, each in zip(cut.index, by_cuts, strict=True)
        ]
    else:
        sizes = subset_sizes(len(cut), split, missing)
        chosen = [subset for subset in (*_CUT, "train") for _ in range(sizes[subset])]
    found = dict(zip(cut.index, chosen, strict=True)) | images["given"].drop(cut.index).to_dict()
    if lacking := [subset for subset in SUBSETS if subset not in found.values()]:
        raise UserError(
            f"params.yaml: data.path gives class {name!r} no {lacking[0]} image that is no other's copy: "
            "each class needs one, or no class has one, and split cuts them from the training images"
        )
    return found


def missing_subsets(given: Iterable[str]) -> tuple[str, ...]:
    """Return the subsets that a source gives to no image, which are cut from its training images."""
    known = set(given)
    return tuple(name for name in SUBSETS[1:] if name not in known)


def subset_sizes(images: int, split: SplitParams, missing: Sequence[str]) -> dict[str, int]:
    """Return how many of a class's images to be cut go to each subset: the nearest whole numbers.

    Largest remainder: the sum is `images`, and each is less than 1 from its exact share, unless a
    subset would be empty. `missing`: the subsets that are cut; the other one of the two gets 0.
    """
    cut = [name for name in SUBSETS if name == "train" or name in missing]
    shares = {name: getattr(split, name) for name in missing}
    shares["train"] = 1 - sum(shares.values())
    exact = {name: images * shares[name] for name in cut}
    sizes = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(cut, key=lambda name: sizes[name] - exact[name])
    for name in by_remainder[: images - sum(sizes.values())]:
        sizes[name] += 1
    for name in cut:
        largest = max(cut, key=sizes.__getitem__)
        if sizes[name] == 0 and sizes[largest] > 1:
            sizes[largest] -= 1
            sizes[name] = 1
    return dict.fromkeys(SUBSETS, 0) | sizes


def _hash(seed: int, pixels: str) -> str:
    return hashlib.sha256(f"{seed} {pixels}".encode()).hexdigest()
