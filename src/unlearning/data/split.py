"""Who trains, who validates, who tests, and who is to be forgotten.

Where the source gives a split, that is taken; a subset that it lacks is cut from its training images.

Images with the same pixels always stand in the same subset, so what is split are distinct images.
A distinct image that stands under several classes is counted for the first of them by name. An image that is
withdrawn, for it shows one to forget, is counted for no class and stands in that one's subset.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from unlearning.base.errors import UserError
from unlearning.data import SUBSETS, request
from unlearning.settings.forget import ForgetParams
from unlearning.settings.split import SplitParams


def assign(
    samples: pd.DataFrame,
    split: SplitParams,
    forget: ForgetParams,
    withdrawn: Mapping[int, int] = MappingProxyType({}),
) -> pd.DataFrame:
    """Return a row per image, by id: id, subset (train, validation, test), role (see `ROLES`).

    `withdrawn`: the id of each image of a kept class that is to be withdrawn, with the id of the image to
    forget that it shows (`copies.withdrawn`).

    Each class's distinct images are put in order of a hash of `split.seed` and an image's
    pixels. So neither the order of rows, nor other classes, nor a class's name change a subset, and
    new images leave most of the old ones where they were.

    Raises: UserError, see `request.check`.
    """
    is_withdrawn = samples["id"].isin(list(withdrawn))
    distinct = (
        samples[~is_withdrawn]
        .assign(given=_given(samples))
        .groupby("pixels")
        # Of a picture that the source gives to several subsets training has it: what was seen tests nothing.
        .agg(owner=("class", "min"), copies=("id", "size"), given=("given", _first_subset))
    )
    owned = distinct["owner"].value_counts()
    names = samples["class"].unique()
    request.check(
        {name: int(owned.get(name, 0)) for name in names},
        forget,
        samples[is_withdrawn]["class"].value_counts().to_dict(),
    )

    distinct["order"] = [_hash(split.seed, pixels) for pixels in distinct.index]
    # Images with copies come last and so train, unless there are few others: an image that counts
    # twice would weigh double in a test.
    distinct["copies"] = distinct["copies"].gt(1)
    subset_of: dict[str, str] = {}
    missing = missing_subsets(distinct["given"].unique())
    for name, images in distinct.sort_values(["copies", "order"]).groupby("owner"):
        cut = images[images["given"].isin(("", "train"))]
        sizes = subset_sizes(len(cut), split, missing)
        subsets = [name for name in ("test", "validation", "train") for _ in range(sizes[name])]
        subset_of |= (
            dict(zip(cut.index, subsets, strict=True)) | images["given"].drop(cut.index).to_dict()
        )
        held = {subset_of[pixels] for pixels in images.index}
        if lacking := [subset for subset in SUBSETS if subset not in held]:
            raise UserError(
                f"params.yaml: data.path gives class {name!r} no {lacking[0]} image that is no other's copy: "
                "each class needs one, or no class has one, and split cuts them from the training images"
            )

    pixels_of = dict(zip(samples["id"], samples["pixels"], strict=True))
    stands_with = [pixels_of[withdrawn.get(number, number)] for number in samples["id"]]
    role = samples["class"].isin(forget.classes).map({True: "forget", False: "retain"})
    assigned = pd.DataFrame(
        {
            "id": samples["id"],
            "subset": [subset_of[pixels] for pixels in stands_with],
            "role": role.mask(is_withdrawn, "withdrawn"),
        }
    )
    return assigned.sort_values("id", ignore_index=True)


def missing_subsets(given: Iterable[str]) -> tuple[str, ...]:
    """Return the subsets that a source gives to no image, which are cut from its training images."""
    known = set(given)
    return tuple(name for name in SUBSETS[1:] if name not in known)


def subset_sizes(
    images: int, split: SplitParams, missing: Sequence[str] = SUBSETS[1:]
) -> dict[str, int]:
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


def training_images(
    class_counts: Mapping[str, Mapping[str, int]], split: SplitParams, forget: ForgetParams
) -> dict[str, int]:
    """Return how many images of so many distinct ones will be trained on, by role.

    `class_counts`: by class and given subset, "" where the source does not say.
    """
    missing = missing_subsets(subset for given in class_counts.values() for subset in given)
    found = {"forget": 0, "retain": 0}
    for name, given in class_counts.items():
        role = "forget" if name in forget.classes else "retain"
        cut = given.get("", 0) + given.get("train", 0)
        found[role] += subset_sizes(cut, split, missing)["train"]
    return found


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


def _given(samples: pd.DataFrame) -> pd.Series:
    """Return the subset that the source gives to each image, "" where it gives none."""
    return samples["subset"] if "subset" in samples else pd.Series("", samples.index)


def _first_subset(given: pd.Series) -> str:
    return min(given, key=("train", "validation", "test", "").index)


def _hash(seed: int, pixels: str) -> str:
    return hashlib.sha256(f"{seed} {pixels}".encode()).hexdigest()
