"""What is to be forgotten: kept whole, as it was asked, from the first stage to the last.

Nobody derives it from which images have which role: of a request for single images that would be every class.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from unlearning.base.errors import UserError, choices, nearest
from unlearning.base.files import atomic, read_metrics
from unlearning.data import SUBSETS


@dataclass(frozen=True)
class SingleImages:
    """Single images: those named, or a share of the training images drawn at random.

    `names`: paths as in data/samples.csv, file names, globs of either, or ids. `paths`: as there, letter by
    letter; what could not be read is none of them. `pixels` and `files`: the SHA-256 of what was packed and of
    the files, where a request was met before. `fraction`: of the training images of `classes`, of all if there
    are none. `wrong_labels`: what they were trained on as is wrong, and to be undone.
    """

    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()
    fraction: float = 0.0
    classes: tuple[str, ...] = ()
    seed: int = 0
    wrong_labels: bool = False


@dataclass(frozen=True)
class EarlierSplit:
    """How the images were split when an earlier request was met: what that model saw must not test the next.

    `cuts`: by class the last hash of a test and of a validation image (`split.subsets`), none if there was no
    such image. `others`: the subset of those images, by their pixels, of which that is not true. `seed`:
    of the hashes.
    """

    seed: int = 0
    cuts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request for whole classes, by name, or for single images. `earlier`: those met before, in order.

    One that was met has, beside its classes, the images that were withdrawn with it, as `accuracy_before`
    the test accuracy, by kept class, of the model that it was asked of, as `held` how images were split, and in
    `given` whether that model goes back to one that was trained elsewhere.
    """

    classes: tuple[str, ...] = ()
    images: SingleImages | None = None
    earlier: tuple["Request", ...] = ()
    accuracy_before: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = field(default_factory=dict)
    held: EarlierSplit | None = None
    given: bool = False

    @property
    def classes_met(self) -> frozenset[str]:
        """Return the names of the classes that earlier requests took out."""
        return frozenset(name for each in self.earlier for name in each.classes)

    @property
    def classes_gone(self) -> frozenset[str]:
        """Return the names of the classes that it and earlier requests take out."""
        return self.classes_met.union(self.classes)

    def began_with_given(self, weights: str | None) -> bool:
        """Return whether the first model of all was trained elsewhere, by a recipe of its own.

        `weights`: as in params.yaml; those that an earlier request left are no sign of it.
        """
        return self.earlier[0].given if self.earlier else weights is not None

    def labels(self, classes: Sequence[str]) -> list[int]:
        """Return the places of the classes to be forgotten among a classifier's, in order; none for images."""
        return [label for label, name in enumerate(classes) if name in self.classes]

    def retired(self, classes: Sequence[str]) -> list[int]:
        """Return the places of the classes whose outputs say nothing afterwards: earlier requests' too."""
        gone = self.classes_gone
        return [label for label, name in enumerate(classes) if name in gone]


_STORED = TypeAdapter(Request)


def write(request: Request, path: Path | str) -> None:
    """Write a request for `read`; its numbers as they are, not rounded as metrics."""
    text = json.dumps(asdict(request), indent=2, sort_keys=True, ensure_ascii=False)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read(path: Path | str) -> Request:
    """Return a request. Raises: UserError if the file is missing or none."""
    try:
        return _STORED.validate_python(read_metrics(path))
    except ValidationError:
        raise UserError(f"{path} is no request: run `dvc repro`") from None


def check(class_counts: Mapping[str, int], request: Request) -> None:
    """Check that classes of so many images can be split, and the named ones forgotten.

    Raises: UserError if a class that is named does not exist or is named twice, if fewer than two
    classes would stay, or if a class has too few images.
    """
    names = sorted(class_counts)
    named = request.images.classes if request.images else request.classes
    for name in named:
        if name not in class_counts:
            raise UserError(
                f"params.yaml: forget.classes names {name!r}, but the classes are "
                f"{choices(names)}{nearest(name, names)}"
            )
        if named.count(name) > 1:
            raise UserError(f"params.yaml: forget.classes names {name!r} twice: name it once")
        if name in request.classes_met:
            raise UserError(
                f"params.yaml: forget.classes names {name!r}, which a request of forget.previous took out: "
                "there is nothing left to forget"
            )
    kept = sorted(class_counts.keys() - request.classes_gone)
    if len(kept) < 2:
        raise UserError(
            f"params.yaml: forget.classes leaves {choices(kept) or 'no class'} of "
            f"{choices(names)}, but two or more must stay to be told apart: name fewer"
        )
    for name in kept + list(request.classes):
        if class_counts[name] < len(SUBSETS):
            raise UserError(
                f"params.yaml: class {name!r} has {class_counts[name]} images, but needs "
                f"{len(SUBSETS)}, one each to train, validate and test: add images, or leave the "
                "class out by data.classes"
            )
