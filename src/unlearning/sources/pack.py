"""Every image is decoded once, on all cores, and packed into shards on the disk.

Rows are written as they come: memory holds a few chunks of pictures, whatever their number, and
some hundred bytes per image for its name and its digest.
"""

import csv
import hashlib
import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unlearning.base import cores, shards
from unlearning.base.errors import UserError
from unlearning.base.files import atomic, note, whole_folder
from unlearning.base.fingerprint import sha256
from unlearning.base.progress import bar
from unlearning.settings.data import DataParams
from unlearning.sources import library
from unlearning.sources import size as sizes
from unlearning.sources.decode import BadImage, decode, of_array, span
from unlearning.sources.depth import PLAIN, Depth
from unlearning.sources.drawn import SPECIES, draw
from unlearning.sources.folder import select
from unlearning.sources.listed import Listed

COLUMNS = ["id", "path", "sha256", "pixels", "class"]
JPEG_QUALITY = 90
CHUNK_BYTES = 2**21  # of pixels, handed over at once: enough to hide the cost of the hand-over


@dataclass(frozen=True)
class Read:
    """A file that was read: SHA-256 of its bytes and of its packed pixels, and the pixels."""

    sha256: str
    pixels_sha256: str
    pixels: bytes


@dataclass
class Tally:
    """What was packed so far."""

    image_size: int
    classes: dict[str, int]
    depth: Depth = PLAIN
    images: int = 0  # which is the id of the next one
    skipped: int = 0
    duplicates: int = 0  # images whose pixels occurred before
    conflicting_duplicates: int = 0  # those of them that occurred first under another class
    first_class: dict[bytes, str] = field(default_factory=dict)  # by the pixels' SHA-256
    first_place: dict[str, Listed] = field(
        default_factory=dict
    )  # by the file's SHA-256, of a given split
    first_fault: dict[str, str] = field(default_factory=dict)  # by class

    def add(self, class_name: str, pixels_sha256: str) -> None:
        """Count an image."""
        self.images += 1
        self.classes[class_name] += 1
        digest = bytes.fromhex(pixels_sha256)
        if digest in self.first_class:
            self.duplicates += 1
            self.conflicting_duplicates += self.first_class[digest] != class_name
        else:
            self.first_class[digest] = class_name

    def skip(self, class_name: str, fault: str) -> None:
        """Count a file that is no image."""
        self.skipped += 1
        self.first_fault.setdefault(class_name, fault)

    def metrics(self) -> dict[str, Any]:
        """Return what metrics/prepare_data.json holds."""
        names = ("image_size", "images", "skipped", "duplicates", "conflicting_duplicates")
        ranges = {"integers": self.depth.integers, "floats": self.depth.floats}
        return {name: getattr(self, name) for name in names} | {
            f"deep_{kind}": {"black": found[0], "white": found[1]}
            for kind, found in ranges.items()
            if found is not None
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per class with its number of images."""
        return [{"class": name, "images": count} for name, count in self.classes.items()]


def draw_tree(params: DataParams, root: Path) -> None:
    """Draw `root/<species>/<species>_0000.jpg` and so on, in place of what `root` held before.

    Each picture has a generator of its own, seeded by `data.seed`, its species' place in the list
    of all species and its number: more images per class leave the earlier pictures as they were.
    """
    species = sorted(select(params.classes, SPECIES))
    jobs = [(name, number) for name in species for number in range(params.images_per_class)]
    with whole_folder(root) as folder:
        for name in species:
            (folder / name).mkdir()
        drawn = cores.each(partial(_draw, folder=folder, seed=params.seed), jobs, chunk=8)
        with closing(drawn):
            deque(bar(drawn, len(jobs), "images drawn"), maxlen=0)


def draw_nothing(root: Path) -> None:
    """Leave a note at `root` in place of pictures."""
    with whole_folder(root) as folder:
        note(folder, "The animals that `data.source: synthetic` draws.")


def pack(listed: Sequence[Listed], root: Path, params: DataParams, out: Path) -> Tally:
    """Write `out`/images, samples.csv and skipped.csv, all three or none; return what was packed.

    The images are N x H x W x 3 uint8, in shards; the row of an image is its id. samples.csv has id, path (from
    the root), sha256 (of the file), pixels (SHA-256 of the packed pixels) and class; `subset` if the source
    says which; and if there is deep greyscale `depth`, the values that are black and white, the same in every
    row. skipped.csv has path and reason. H is `data.image_size`, of which `auto` follows the pictures.

    Raises: UserError if a class has no image that can be read, or with `data.on_bad_image: fail`
    if any file cannot.
    """
    size = sizes.chosen(params, listed, root)
    files = [root / image.path for image in listed]
    jobs = library.Pictures(params, listed) if params.source in library.SETS else files
    chunk = max(1, min(64, CHUNK_BYTES // (size * size * 3)))
    depth = _depth(files) if params.source in ("folder", "table") else PLAIN
    names = sorted({image.class_name for image in listed})
    tally = Tally(size, dict.fromkeys(names, 0), depth)
    rule = [] if depth == PLAIN else [depth.dumps()]
    is_split = any(image.subset for image in listed)
    reading = cores.each(partial(_read, size=size, depth=depth), jobs, chunk)
    with (
        # They end in reverse: tables and shards are whole and on the disk before the first takes its place.
        atomic(out / "samples.csv") as samples_file,
        atomic(out / "skipped.csv") as skipped_file,
        shards.writer(out / "images", size) as images,
        _table(samples_file, COLUMNS + ["subset"] * is_split + ["depth"] * len(rule)) as add_sample,
        _table(skipped_file, ["path", "reason"]) as add_skipped,
        closing(reading),
    ):
        results = bar(reading, len(files), "images decoded")
        for image, read in zip(listed, results, strict=True):
            if isinstance(read, BadImage):
                if params.on_bad_image == "fail":
                    raise UserError(
                        f"params.yaml: data.on_bad_image is 'fail', and {image.path!r} cannot be "
                        f"used: {read}; mend or remove the file, or set data.on_bad_image to skip"
                    )
                tally.skip(image.class_name, fault=f"{image.path!r}: {read}")
                add_skipped([image.path, str(read)])
            else:
                add_sample(
                    [
                        tally.images,
                        image.path,
                        read.sha256,
                        read.pixels_sha256,
                        image.class_name,
                        *[image.subset] * is_split,
                        *rule,
                    ]
                )
                if image.subset and jobs is files:
                    _refuse_two_splits(tally.first_place.setdefault(read.sha256, image), image)
                tally.add(image.class_name, read.pixels_sha256)
                images.add(read.pixels, read.pixels_sha256)
        _refuse_empty_classes(tally, params)
    return tally


def _depth(files: list[Path]) -> Depth:
    """Return which values are black and white in all deep greyscale; of other files the header is read."""
    found = cores.each(span, files, chunk=256)
    with closing(found):
        spans = list(bar(found, len(files), "files looked at for deep greyscale"))
    return Depth.of(each for each in spans if each is not None)


def _refuse_empty_classes(tally: Tally, params: DataParams) -> None:
    for name, count in tally.classes.items():
        if count == 0:
            raise UserError(
                f"params.yaml: data.path is {params.path!r}, but no file of class {name!r} can be "
                f"read, the first is {tally.first_fault[name]}"
            )


def _refuse_two_splits(first: Listed, image: Listed) -> None:
    if first.subset != image.subset:
        raise UserError(
            f"params.yaml: data.path gives one file to two splits, as {first.path!r} to {first.subset} and as "
            f"{image.path!r} to {image.subset}: what is trained on cannot test, remove one"
        )


def _read(job: Path | np.ndarray, size: int, depth: Depth) -> Read | BadImage:
    """Return the picture, or the reason why there is none: one bad file must not end its chunk."""
    if isinstance(job, np.ndarray):
        pixels = of_array(job, size).tobytes()
        digest = hashlib.sha256(job.tobytes()).hexdigest()
        return Read(digest, hashlib.sha256(pixels).hexdigest(), pixels)
    path = job
    try:
        str(path).encode()
        pixels = decode(path, size, depth).tobytes()
        digest = sha256(path)
    except UnicodeEncodeError:
        return BadImage("its name is not valid UTF-8")
    except BadImage as bad:
        return bad
    return Read(digest, hashlib.sha256(pixels).hexdigest(), pixels)


def _draw(job: tuple[str, int], folder: Path, seed: int) -> None:
    species, number = job
    entropy = np.random.SeedSequence((seed, SPECIES.index(species), number))
    picture = draw(species, np.random.default_rng(entropy))
    # Not to the path: Pillow does not notice when a full disk takes only a part of a JPEG.
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=JPEG_QUALITY)
    (folder / species / f"{species}_{number:04d}.jpg").write_bytes(encoded.getvalue())


@contextmanager
def _table(path: Path, columns: list[str]) -> Iterator[Callable[[list[Any]], Any]]:
    """Yield a function that adds a row to a CSV file."""
    # A skipped file's name may hold bytes that are no text: they are written as \udcff.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        # All text is quoted: a bare carriage return in a file's name would end the row.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(columns)
        yield writer.writerow
        file.flush()
        os.fsync(file.fileno())
