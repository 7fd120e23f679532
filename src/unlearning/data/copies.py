"""Images to be forgotten that also stand among those to keep: with equal pixels, or altered a little.

Altered ones (encoded anew, resized, mirrored, brighter, slightly cropped) are found by two perceptual hashes
put together, since they err on different pictures: which low frequencies are above their median, and which
pixels of a tiny grey version are brighter than their neighbours. Lengths and limit were chosen by how many
altered photographs they find, and how many pairs of different ones (docs/experiments.md).
"""

from collections.abc import Sequence
from contextlib import closing
from functools import partial

import imagehash
import numpy as np
import pandas as pd
from jaxtyping import Bool, Int, UInt64
from PIL import Image

from unlearning.base import cores
from unlearning.base.errors import UserError
from unlearning.base.progress import bar, meter
from unlearning.base.shards import Images
from unlearning.settings.forget import ForgetParams

FREQUENCIES, NEIGHBOURS = 12, 8  # a side: 144 bits, and twice 64
HASH_WORDS = -(-(FREQUENCIES**2 + 2 * NEIGHBOURS**2) // 64)  # of 64 bits
MOST_BITS = 56  # that may differ between a picture and its near copy
# Compared at once: 16 MB, whatever the number of images. Parts by one process at a time: a second of work.
PAIRS_AT_ONCE, PARTS_AT_ONCE = 2**20, 64
# By one process at a time: about a second of work, and fewer are not worth a second process.
HASHED_AT_ONCE = 4096

EQUAL, NEAR, MIRRORED = "equal pixels", "near copy", "near copy, mirrored"
WITHDRAWN, KEPT = "withdrawn", "kept"
COLUMNS = (
    "id", "class", "path", "kind", "bits", "treatment", "shows", "shows_class", "shows_path"
)  # fmt: skip

Hashes = UInt64[np.ndarray, "_ words"]


def find(
    samples: pd.DataFrame,
    images: Images,
    is_asked: Bool[np.ndarray, " N"],
    forget: ForgetParams,
) -> pd.DataFrame:
    """Return a row per image that shows one to forget (`is_asked`) and is none itself, the closest first.

    `shows`: the id of the image to forget, of several the closest and of these the first; `bits` of the hash
    that differ, 0 to `MOST_BITS`; `treatment`: whether the image is withdrawn or kept, as `forget` says.
    Rows of `images` and `is_asked` belong to the row of `samples` at the same place.

    Raises: UserError if their numbers differ.
    """
    if len(samples) != len(images):
        raise UserError("data/samples.csv and images do not belong together: run `dvc repro`")
    samples = samples.assign(row=range(len(samples)), asked=is_asked)
    samples = samples.sort_values("id", ignore_index=True)
    originals = samples[samples["asked"]].drop_duplicates("pixels").reset_index(drop=True)
    kept = samples[~samples["asked"]]
    shown = dict(zip(originals["pixels"], originals.index, strict=True))
    is_equal = kept["pixels"].isin(list(shown))

    equal = kept[is_equal].assign(
        place=kept[is_equal]["pixels"].map(shown),
        bits=0,
        kind=EQUAL,
        treatment=KEPT if forget.equal_pixels == "keep" else WITHDRAWN,
    )
    near = _near(kept[~is_equal], originals, images).assign(
        treatment=KEPT if forget.near_copies == "list" else WITHDRAWN
    )
    found = pd.concat([equal, near]).sort_values(["bits", "kind", "id"], ignore_index=True)
    about = originals.loc[found["place"].astype(int), ["id", "class", "path"]].set_axis(found.index)
    return found.assign(shows=about["id"], shows_class=about["class"], shows_path=about["path"])[
        list(COLUMNS)
    ]


def withdrawn(found: pd.DataFrame) -> dict[int, int]:
    """Return the id of each image to withdraw with the id of the image to forget that it shows."""
    rows = found[found["treatment"] == WITHDRAWN]
    return dict(zip(rows["id"].tolist(), rows["shows"].tolist(), strict=True))


def count(found: pd.DataFrame) -> dict[str, int]:
    """Return the number of copies by kind."""
    is_equal = found["kind"] == EQUAL
    return {"equal_pixels": int(is_equal.sum()), "near_copies": int((~is_equal).sum())}


def _near(kept: pd.DataFrame, originals: pd.DataFrame, images: Images) -> pd.DataFrame:
    """Return the rows of `kept` that are near copies, with `place` in `originals`, `bits` and `kind`."""
    if originals.empty:  # nothing is asked for: `roles` refuses that
        return kept[:0].assign(place=0, bits=0, kind=NEAR)
    distinct = kept.drop_duplicates("pixels")
    # A mirrored copy: of an image to forget the mirror image is hashed too.
    views = [(row, mirror) for mirror in (False, True) for row in originals["row"].tolist()]
    hashed = hashes(images, views + [(row, False) for row in distinct["row"].tolist()])
    places, bits = nearest(hashed[: len(views)], hashed[len(views) :])
    table = pd.DataFrame(
        {
            "pixels": distinct["pixels"].to_numpy(),
            "place": places % len(originals),
            "bits": bits,
            "kind": np.where(places < len(originals), NEAR, MIRRORED),
        }
    )
    return kept.merge(table[table["bits"] <= MOST_BITS], on="pixels")


def nearest(originals: Hashes, others: Hashes) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of the others the first place of the closest original, and the bits that differ.

    Of many pairs on all cores.
    """
    at_once = max(1, PAIRS_AT_ONCE // len(originals))
    parts = [others[start : start + at_once] for start in range(0, len(others), at_once)]
    compared = cores.each(partial(_nearest, originals=originals), parts, PARTS_AT_ONCE)
    found = [np.empty((2, 0), dtype=np.int64)]
    with closing(compared), meter(len(others), "images compared to find copies") as advance:
        for part in compared:
            found.append(part)
            advance(part.shape[1])
    places, bits = np.concatenate(found, axis=1)
    return places, bits


def _nearest(others: Hashes, originals: Hashes) -> Int[np.ndarray, "2 K"]:
    distance = np.zeros((len(others), len(originals)), dtype=np.uint16)
    for mine, theirs in zip(others.T, originals.T, strict=True):
        distance += np.bitwise_count(mine[:, None] ^ theirs[None])
    return np.stack([distance.argmin(axis=1), distance.min(axis=1).astype(np.int64)])


def hashes(images: Images, views: Sequence[tuple[int, bool]]) -> Hashes:
    """Return the hash of each row of `images` named, of its mirror image where that is True; on all cores."""
    found = cores.each(partial(_hash, images=images), views, HASHED_AT_ONCE)
    with closing(found):
        hashed = b"".join(bar(found, len(views), "images hashed to find copies"))
    return np.frombuffer(hashed, dtype=np.uint64).reshape(-1, HASH_WORDS)


def _hash(view: tuple[int, bool], images: Images) -> bytes:
    row, mirror = view
    picture = Image.fromarray(images[row][:, ::-1] if mirror else images[row])
    parts = (
        imagehash.phash(picture, FREQUENCIES),
        imagehash.dhash(picture, NEIGHBOURS),
        imagehash.dhash_vertical(picture, NEIGHBOURS),
    )
    packed = np.packbits(np.concatenate([part.hash.ravel() for part in parts])).tobytes()
    return packed.ljust(HASH_WORDS * 8, b"\0")
