"""What is to be forgotten: kept whole, as it was asked, from the first stage to the last.

Nobody derives it from which images have which role: of a request for single images that would be every class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from unlearning.base.errors import UserError, choices, nearest
from unlearning.base.files import read_metrics, write_metrics
from unlearning.data import SUBSETS
from unlearning.settings.forget import ForgetParams


@dataclass(frozen=True)
class Request:
    """A request for whole classes, by name."""

    classes: tuple[str, ...]

    def labels(self, classes: Sequence[str]) -> list[int]:
        """Return the places of what is to be forgotten among a classifier's classes, in order."""
        return [label for label, name in enumerate(classes) if name in self.classes]


def write(request: Request, path: Path | str) -> None:
    """Write a request for `read`."""
    write_metrics(path, asdict(request))


def read(path: Path | str) -> Request:
    """Return a request. Raises: UserError if the file is missing or none."""
    classes = read_metrics(path).get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise UserError(f"{path} is no request: run `dvc repro`")
    return Request(tuple(classes))


def check(
    class_counts: Mapping[str, int],
    forget: ForgetParams,
    withdrawn: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Check that classes of so many distinct images can be split, and the named ones forgotten.

    `withdrawn`: how many images of a class do not count, since they show images to forget.

    Raises: UserError if a class to forget does not exist or is named twice, if fewer than two
    classes would stay, or if a class has too few images.
    """
    names = sorted(class_counts)
    for name in forget.classes:
        if name not in class_counts:
            raise UserError(
                f"params.yaml: forget.classes names {name!r}, but the classes are "
                f"{choices(names)}{nearest(name, names)}"
            )
        if forget.classes.count(name) > 1:
            raise UserError(f"params.yaml: forget.classes names {name!r} twice: name it once")
    kept = [name for name in names if name not in forget.classes]
    if len(kept) < 2:
        raise UserError(
            f"params.yaml: forget.classes leaves {choices(kept) or 'no class'} of "
            f"{choices(names)}, but two or more must stay to be told apart: name fewer"
        )
    for name in names:
        if class_counts[name] < len(SUBSETS):
            raise UserError(
                f"params.yaml: class {name!r} has {class_counts[name]} distinct images, but needs "
                f"{len(SUBSETS)}, one each to train, validate and test: add images, or leave the "
                f"class out by data.classes{_without(name, withdrawn)}"
            )


def _without(name: str, withdrawn: Mapping[str, int]) -> str:
    if name not in withdrawn:
        return ""
    return f"; {withdrawn[name]} more show images to forget and are withdrawn (data/copies.csv)"
