"""All images of a run, packed in shards: data/images/00000.npy, 00001.npy, ...

A shard ends where the SHA-256 of an image's pixels says so, not after a fixed number of images. Images that are
added or removed change the shards that they fall into; those before and after keep their bytes, and DVC, which
knows the files of a folder by their hashes, stores and sends the changed ones alone.

Source: content-defined chunking, as in Muthitacharoen et al. 2001, "A Low-Bandwidth Network File System".
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int, UInt8

from unlearning.base.errors import UserError
from unlearning.base.files import atomic, whole_folder

MEAN_BYTES = 2**26  # of a shard; it has a quarter of that at least, and four times that at most
OPEN_AT_ONCE = 256  # each takes one of the files that a process may have open


class Shards:
    """The images of a folder: N x H x H x 3 uint8, memory-mapped. The row of an image is its id."""

    def __init__(self, folder: Path | str):
        """Raises: OSError; UserError if there are none, one is missing, or they are not images of one size."""
        self._folder = folder
        self._files = sorted(Path(folder).glob("*.npy"))
        if not self._files or self._files[-1].name != _name(len(self._files) - 1):
            raise UserError(f"{folder} does not hold all images: run `dvc repro`")
        shapes = [_mapped(file).shape for file in self._files]
        for file, shape in zip(self._files, shapes, strict=True):
            if shape[1:] != shapes[0][1:]:
                raise UserError(f"{file} holds images of another size than {self._files[0]}")
        self._ends = np.cumsum([shape[0] for shape in shapes])
        self._image_shape = shapes[0][1:]
        self._opened = lru_cache(OPEN_AT_ONCE)(_mapped)

    def __reduce__(self) -> tuple[type["Shards"], tuple[Path | str]]:
        """Open them anew in another process."""
        return Shards, (self._folder,)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """That of an array which held them all."""
        return (len(self), *self._image_shape)

    def __getitem__(
        self, rows: int | np.integer | Int[np.ndarray, " K"]
    ) -> UInt8[np.ndarray, "*K H H 3"]:
        """Return a copy of an image, or of several in the order given. Raises: IndexError."""
        asked = np.atleast_1d(rows)
        found = np.empty((len(asked), *self._image_shape), dtype=np.uint8)
        for file, places, of_file in self._placed(asked):
            found[places] = self._opened(file)[of_file]
        return found if np.ndim(rows) else found[0]

    def blank(self, rows: Int[np.ndarray, " K"]) -> None:
        """Write zeros over images, in copies that take the files' places: they may be links into a cache."""
        for file, _, of_file in self._placed(rows):
            images = np.array(self._opened(file))
            images[of_file] = 0
            with atomic(file) as temporary, temporary.open("wb") as out:
                np.save(out, images)
        self._opened.cache_clear()

    def _placed(self, rows: np.ndarray) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
        """Yield each file that has some of the rows, their places in `rows`, and their rows in the file."""
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"there are {len(self)} images")
        shards = np.searchsorted(self._ends, rows, side="right")
        for shard in np.unique(shards).tolist():
            places = np.flatnonzero(shards == shard)
            start = self._ends[shard - 1] if shard else 0
            yield self._files[shard], places, rows[places] - start


# Of a run, or in memory.
Images = Shards | UInt8[np.ndarray, "_ _ _ 3"]


class Writer:
    """Adds images of one size to the shards of a folder, in order; `close` ends the last one."""

    def __init__(self, folder: Path, size: int):
        image_bytes = 3 * size**2
        self._least = max(1, MEAN_BYTES // 4 // image_bytes)
        self._most = max(1, MEAN_BYTES * 4 // image_bytes)
        # Once there are so many, one image in so many ends its shard.
        self._chance = max(1, MEAN_BYTES // image_bytes - self._least)
        self._folder, self._size = folder, size
        self._shards = self._images = 0
        self._file: BinaryIO | None = None

    def add(self, pixels: bytes, digest: str) -> None:
        """Write an image, H x H x 3 bytes, of which `digest` is the SHA-256."""
        if self._file is None:
            self._file = (self._folder / _name(self._shards)).open("wb")
            self._write_header(self._file)
        self._file.write(pixels)
        self._images += 1
        is_end = self._images >= self._least and int(digest[:16], 16) % self._chance == 0
        if is_end or self._images == self._most:
            self.close()

    def close(self) -> None:
        """End the shard at hand."""
        if self._file is None:
            return
        file, self._file = self._file, None  # one that fails is not ended again
        with file:
            file.seek(0)
            self._write_header(file)
            file.flush()
            os.fsync(file.fileno())
        self._shards, self._images = self._shards + 1, 0

    def _write_header(self, file: BinaryIO) -> None:
        """Write the head of an .npy file; NumPy pads it, so that another number of images fits in."""
        shape = (self._images, self._size, self._size, 3)
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )


@contextmanager
def writer(folder: Path | str, size: int) -> Iterator[Writer]:
    """Yield what writes images of this size; all of them take the place of `folder`, or none.

    Raises: UserError if the disk is full or the place cannot be written to.
    """
    with whole_folder(folder) as new:
        shards = Writer(new, size)
        try:
            yield shards
        finally:
            shards.close()


def _name(number: int) -> str:
    return f"{number:05}.npy"


def _mapped(path: Path) -> np.ndarray:
    """Return an array of images, memory-mapped, never unpickled. Raises: OSError; UserError if it is none."""
    try:
        images = np.lib.format.open_memmap(path, mode="r")
    except (OSError, MemoryError):
        raise
    # NumPy evaluates the header as a literal, which raises all sorts: ValueError, TokenError, ...
    except Exception as error:
        raise UserError(f"{path} is not an array of images: {error}") from None
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not len(images):
        raise UserError(f"{path} holds {images.dtype} {images.shape}, not N x H x H x 3 bytes")
    return images
