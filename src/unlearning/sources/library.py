"""torchvision's data sets in the format they have on disk; their test images stay test images.

`data.path` is the folder that holds them (torchvision's `root`). They are read by torchvision, which checks the
files against their published MD5 sums before it opens them, but for those of Fashion-MNIST: we do, afterwards.
"""

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from unlearning.base.errors import UserError
from unlearning.settings.data import DataParams
from unlearning.sources.folder import select
from unlearning.sources.listed import Listed


class _Set(NamedTuple):
    """A data set's class in torchvision, how it names a part, and the folder or file that it makes."""

    name: str
    part: Any
    place: str


def _boolean(subset: str) -> dict[str, Any]:
    return {"train": subset == "train"}


def _word(subset: str) -> dict[str, Any]:
    return {"split": subset}


SETS = {
    "cifar10": _Set("CIFAR10", _boolean, "cifar-10-batches-py"),
    "cifar100": _Set("CIFAR100", _boolean, "cifar-100-python"),
    "fashion_mnist": _Set("FashionMNIST", _boolean, "FashionMNIST"),
    "stl10": _Set("STL10", _word, "stl10_binary"),
    "svhn": _Set("SVHN", _word, "*_32x32.mat"),
}
PARTS = ("train", "test")


class Pictures(Sequence[np.ndarray]):
    """The pictures of listed images, H x W or H x W x 3 uint8, read from the data set as they are asked for."""

    def __init__(self, params: DataParams, listed: Sequence[Listed]):
        self._arrays = {
            part: _part(params.source, params.path, params.download, part).data for part in PARTS
        }
        self._places = [image.path.split("/") for image in listed]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: Any) -> Any:
        """Return one picture, or a list of them for a slice."""
        if isinstance(key, slice):
            return [self[number] for number in range(*key.indices(len(self)))]
        part, number = self._places[key]
        picture = np.asarray(self._arrays[part][int(number)])
        # SVHN and STL-10 keep channels first.
        return (
            picture.transpose(1, 2, 0) if picture.ndim == 3 and picture.shape[0] == 3 else picture
        )


def list_images(params: DataParams) -> list[Listed]:
    """Return train/00000 and so on, with their classes. Raises: UserError if files are missing or broken."""
    found = []
    for part in PARTS:
        data = _part(params.source, params.path, params.download, part)
        labels = data.labels if hasattr(data, "labels") else data.targets
        names = [str(name) for name in getattr(data, "classes", range(10))]
        chosen = select(params.classes, names)
        found += [
            Listed(f"{part}/{number:05d}", chosen[names[label]], part)
            for number, label in enumerate(int(each) for each in labels)
            if names[label] in chosen
        ]
    return found


def files(params: DataParams) -> Iterator[Path]:
    """Yield the files of the data set, from its root, in order."""
    root = Path(params.path)
    for place in sorted(root.glob(SETS[params.source].place)):
        below = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (file.relative_to(root) for file in below if file.is_file())


@cache
def _part(source: str, path: str, download: bool, part: str) -> Any:
    from torchvision import datasets  # here alone: it takes seconds, and folders need none of it

    found = SETS[source]
    try:
        data = getattr(datasets, found.name)(root=path, download=download, **found.part(part))
        if source == "fashion_mnist":
            _require_published(Path(data.raw_folder), data.resources)
        return data
    except RuntimeError as error:
        advice = "" if download else ", or set data.download to true to fetch them"
        _refuse(path, f"the files of {source} are not there, or not as published{advice}: {error}")
    # Of the network, or of a broken file.
    except Exception as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        _refuse(path, f"{source} cannot be read: {why}")


def _require_published(folder: Path, archives: Sequence[tuple[str, str]]) -> None:
    """Raise RuntimeError unless what was unpacked is what stands in archives with these MD5 sums."""
    for name, md5 in archives:
        archive, unpacked = folder / name, (folder / name).with_suffix("")
        packed = archive.read_bytes() if archive.is_file() else b""
        if hashlib.md5(packed, usedforsecurity=False).hexdigest() != md5:
            raise RuntimeError(
                f"{archive}, to check by, is missing or another: fetch {folder} anew"
            )
        if gzip.decompress(packed) != unpacked.read_bytes():
            raise RuntimeError(f"{unpacked} is not what stands in {name}: unpack it again")


def _refuse(path: str, why: str) -> NoReturn:
    raise UserError(f"params.yaml: data.path is {path!r}, but {why}")
