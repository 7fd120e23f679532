"""The packed images with their labels, subsets and roles: shards on disk, subsets as index tensors.

No image is decoded here, and nothing is copied but the rows of a batch.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from unlearning.base.errors import UserError
from unlearning.base.files import read_table
from unlearning.base.shards import Images, Shards
from unlearning.data import ROLES, SUBSETS, request
from unlearning.data.request import Request

EVERYTHING = slice(None)


@dataclass(frozen=True)
class Labelling:
    """What a classifier's outputs mean and which input it expects; stands in the weights' file.

    `depth`: which values of deep greyscale are black and white, as `sources/depth.py` writes it, or "".
    """

    classes: tuple[str, ...]
    image_size: int
    depth: str = ""


@dataclass(frozen=True)
class Dataset:
    """All images of a run. `images`: N x H x W x 3 uint8, memory-mapped; the other fields follow its order.

    `earlier`: the number of the earlier request that covers an image, 0 for none; None if there was no such
    one. `pictures`: equal numbers for equal pixels; None if all differ.
    """

    images: Images
    labels: Int[Tensor, " N"]
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    subsets: np.ndarray
    roles: np.ndarray
    request: Request
    depth: str = ""
    earlier: np.ndarray | None = None
    pictures: Int[np.ndarray, " N"] | None = None

    def select(
        self, *, role: str | tuple[str, ...] | None = None, subset: str | None = None
    ) -> Int[Tensor, " K"]:
        """Return the indices of the images with this role, or one of these, in this subset, in order."""
        chosen = np.ones(len(self.labels), dtype=bool)
        if role is not None:
            chosen &= np.isin(self.roles, role)
        if subset is not None:
            chosen &= self.subsets == subset
        return torch.from_numpy(np.flatnonzero(chosen))

    @property
    def trainable(self) -> Int[Tensor, " K"]:
        """Return the indices of the training images that no earlier request took out, in order."""
        return self.select(role=("forget", "retain", "withdrawn"), subset="train")

    @property
    def forget_labels(self) -> list[int]:
        """Return the labels of the classes to be forgotten, in order; none if single images are."""
        return self.request.labels(self.classes)

    def unseen(self, subset: str) -> Int[Tensor, " K"]:
        """Return images of this held-out subset that are like those to forget, in order.

        Of whole classes theirs; of single images those of the same classes, of each class at most its share of
        the request times all there are of these classes, spread evenly; of images with wrong labels those of
        the request alone, since no other shows the same.
        """
        of_request = self.select(role="forget", subset=subset)
        if self.request.images is None or self.request.images.wrong_labels:
            return of_request
        pool = self.select(role=("forget", "retain"), subset=subset)
        members = self.labels[self.select(role="forget", subset="train")]
        wanted = torch.bincount(members, minlength=len(self.classes))
        pool = pool[wanted[self.labels[pool]] > 0]
        most = torch.ceil(wanted * len(pool) / len(members)).long()
        kept = []
        for label in members.unique().tolist():
            of_class = pool[self.labels[pool] == label]
            count = min(len(of_class), int(most[label]))
            kept.append(of_class[torch.arange(count) * len(of_class) // max(count, 1)])
        return torch.cat(kept).sort().values

    def distinct(self, indices: Int[Tensor, " K"]) -> Int[Tensor, "_"]:
        """Return the first of each picture in each class among these, in order.

        An attacker who is fitted to one copy and asked about another knows the answer without any memory.
        """
        if self.pictures is None:
            return indices
        listed = np.stack([self.pictures[indices.numpy()], self.labels[indices].numpy()])
        first = np.unique(listed, axis=1, return_index=True)[1]
        return indices[np.sort(first)]

    @property
    def labelling(self) -> Labelling:
        """Return what a classifier trained on these images must carry with it."""
        return Labelling(self.classes, self.image_size, self.depth)

    @property
    def image_size(self) -> int:
        """Return the side of the square images in pixels."""
        return self.images.shape[1]

    def pixels(self, indices: Int[Tensor, " K"]) -> UInt8[Tensor, "K H W 3"]:
        """Return a copy of these images as stored."""
        return torch.from_numpy(self.images[indices.numpy()])


def load(folder: Path | str) -> Dataset:
    """Return the data set that `check_request`, `prepare_data` and `split_dataset` wrote to `folder`.

    Raises: FileNotFoundError; UserError if the files are not what they wrote, or do not belong together.
    """
    folder = Path(folder)
    samples, split = _tables(folder, "split.csv", ["id", "subset", "role"])
    known = split["subset"].isin(SUBSETS).all() and split["role"].isin(ROLES).all()
    asked = request.read(folder / "request.json")
    return _together(
        folder,
        "split.csv",
        samples,
        split if known else split[:0],
        # A class that was met before keeps its output, also where its images were deleted since.
        known=asked.classes_met,
        roles=split["role"].to_numpy(dtype=str),
        request=asked,
        earlier=split["request"].to_numpy(dtype=int) if "request" in split else None,
    )


def load_subsets(folder: Path | str, classes: Collection[str] = ()) -> Dataset:
    """Return the data set without any request: all images are to be kept. Raises: as `load`.

    For what must not follow from the request, as the original model. `classes`: those that it has outputs for,
    whether they still have images or not.
    """
    folder = Path(folder)
    samples, split = _tables(folder, "subsets.csv", ["id", "subset"])
    known = split["subset"].isin((*SUBSETS, "")).all()
    return _together(
        folder,
        "subsets.csv",
        samples,
        split if known else split[:0],
        roles=np.full(len(split), "retain"),
        request=Request(),
        known=classes,
    )


def _tables(folder: Path, name: str, columns: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return samples.csv and the table of this name, in the same order if they belong together."""
    samples = read_table(folder / "samples.csv", ["id", "path", "class"])
    split = read_table(folder / name, columns).set_index("id")
    ids = samples["id"]
    if ids.is_unique and split.index.is_unique and set(ids) == set(split.index):
        return samples, split.loc[ids]
    return samples, split[:0]


def _together(
    folder: Path,
    name: str,
    samples: pd.DataFrame,
    split: pd.DataFrame,
    known: Collection[str],
    **fields: Any,
) -> Dataset:
    images = Shards(folder / "images")
    if not len(samples) == len(split) == len(images):
        raise UserError(
            f"{folder}: samples.csv, {name} and images do not belong together: run `dvc repro`"
        )
    classes = tuple(sorted({*samples["class"], *known}))
    label_of = {name: label for label, name in enumerate(classes)}
    return Dataset(
        images=images,
        labels=torch.tensor([label_of[name] for name in samples["class"]]),
        classes=classes,
        paths=tuple(samples["path"]),
        subsets=split["subset"].to_numpy(dtype=str),
        depth=_depth(samples, folder),
        pictures=pd.factorize(samples["pixels"])[0] if "pixels" in samples else None,
        **fields,
    )


def _depth(samples: pd.DataFrame, folder: Path) -> str:
    rules = samples["depth"].unique() if "depth" in samples else [""]
    if len(rules) != 1:
        raise UserError(f"{folder}/samples.csv: depth is not what a run writes: run `dvc repro`")
    return rules[0]


def scaled(pixels: UInt8[Tensor, "N H W 3"], device: torch.device) -> Float[Tensor, "N 3 H W"]:
    """Return what a classifier takes: colours in [0, 1].

    The permuted N H W C array is PyTorch's channels-last layout already, so nothing is copied twice.
    """
    return (pixels.to(device).float() / 255).permute(0, 3, 1, 2)


def crop_and_flip(
    pixels: UInt8[Tensor, "N H W 3"],
    generator: torch.Generator,
    count: int | None = None,
    part: slice = EVERYTHING,
) -> UInt8[Tensor, "N H W 3"]:
    """Return each image shifted by up to a sixteenth of its side and mirrored half of the time.

    The border is filled with the nearest pixel, which needs no padding: indices are clamped. `count`, `part`:
    the images are this part of so many, for all of which random numbers are drawn: on the CPU, so that they
    are the same wherever `pixels` are. There the work is done, on a GPU fast enough not to set the pace.
    """
    images, height, width, _ = pixels.shape
    count = images if count is None else count
    reach = height // 16
    shift = torch.randint(-reach, reach + 1, (2, count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    shift, mirrored = shift[:, part].to(pixels.device), mirrored[part].to(pixels.device)
    places = partial(torch.arange, device=pixels.device)
    rows = (places(height) + shift[0]).clamp(0, height - 1)
    columns = (places(width) + shift[1]).clamp(0, width - 1)
    columns = torch.where(mirrored, columns.flip(1), columns)
    return pixels[places(images)[:, None, None], rows[:, :, None], columns[:, None, :]]


def batch_count(images: int, batch_size: int, least: int = 1) -> int:
    """Return into how many batches of `batch_size` at most so many images are cut, none below `least`.

    Where both cannot be, a batch is larger. `least` is 2 where batch normalisation takes a variance.
    """
    return max(1, min(-(-images // batch_size), images // least))


def shuffled_batches(
    indices: Int[Tensor, " K"], batch_size: int, generator: torch.Generator, least: int = 1
) -> list[Int[Tensor, "_"]]:
    """Return one epoch: the indices in random order, cut into `batch_count` batches.

    Batches differ by one image at most, the larger ones first.
    """
    order = torch.randperm(len(indices), generator=generator)
    return list(indices[order].tensor_split(batch_count(len(indices), batch_size, least)))


def endless_batches(
    indices: Int[Tensor, " K"], batch_size: int, generator: torch.Generator, least: int = 1
) -> Iterator[Int[Tensor, "_"]]:
    """Yield the batches of one epoch after another."""
    while True:
        yield from shuffled_batches(indices, batch_size, generator, least)
