"""What is to be forgotten."""

from collections.abc import Mapping
from types import MappingProxyType

from unlearning.base.errors import UserError, choices, nearest
from unlearning.data import SUBSETS
from unlearning.settings.forget import ForgetParams


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
