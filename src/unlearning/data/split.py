"""Who trains, who validates, who tests, and who is to be forgotten.

Images with the same pixels always stand in the same subset, so what is split are distinct images.
A distinct image that stands under several classes is counted for the first of them by name. An image that is
withdrawn, for it shows one to forget, is counted for no class and stands in that one's subset.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

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
        samples[~is_withdrawn].groupby("pixels").agg(owner=("class", "min"), copies=("id", "size"))
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
    for _, images in distinct.sort_values(["copies", "order"]).groupby("owner"):
        sizes = subset_sizes(len(images), split)
        subsets = [name for name in ("test", "validation", "train") for _ in range(sizes[name])]
        subset_of |= dict(zip(images.index, subsets, strict=True))

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


def subset_sizes(images: int, split: SplitParams) -> dict[str, int]:
    """Return how many of a class's images go to each subset: the nearest whole numbers, none 0.

    Largest remainder: the sum is `images`, and each is less than 1 from its exact share, unless a
    subset would be empty.
    """
    shares = (1 - split.validation - split.test, split.validation, split.test)
    exact = {name: images * share for name, share in zip(SUBSETS, shares, strict=True)}
    sizes = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(SUBSETS, key=lambda name: sizes[name] - exact[name])
    for name in by_remainder[: images - sum(sizes.values())]:
        sizes[name] += 1
    for name in SUBSETS:
        if sizes[name] == 0:
            sizes[max(SUBSETS, key=sizes.__getitem__)] -= 1
            sizes[name] = 1
    return sizes


def training_images(
    class_counts: Mapping[str, int], split: SplitParams, forget: ForgetParams
) -> dict[str, int]:
    """Return how many images of so many distinct ones will be trained on, by role."""
    found = {"forget": 0, "retain": 0}
    for name, images in class_counts.items():
        role = "forget" if name in forget.classes else "retain"
        found[role] += subset_sizes(images, split)["train"]
    return found


def count(samples: pd.DataFrame, assigned: pd.DataFrame) -> dict[str, Any]:
    """Return the number of images by role and subset, and of those withdrawn.

    `forget_images_also_retained` are images to forget whose pixels are retained under another class as
    well: a model that never saw the forget set has seen these. 0 unless `forget.equal_pixels` is keep.
    """
    table = samples.merge(assigned, on="id", validate="one_to_one")
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


def _hash(seed: int, pixels: str) -> str:
    return hashlib.sha256(f"{seed} {pixels}".encode()).hexdigest()
