"""What a source holds, whichever it is: drawings, a tree of folders, a table, a data set in its own format."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unlearning.base.errors import choices
from unlearning.settings.data import DataParams
from unlearning.sources import folder, library, size, table
from unlearning.sources.listed import Listed

Counts = dict[str, dict[str, int]]


def root_of(params: DataParams) -> Path:
    """Return the folder that a source's paths start from. Raises: UserError for an impossible `data.path`."""
    if params.source == "table":
        return table.file_of(params).parent
    return folder.root_of(params)


def list_images(params: DataParams) -> list[Listed]:
    """Return every image of every class, by class name, then path; of drawings those that will be there.

    Raises: UserError for an odd source.
    """
    if params.source == "synthetic":
        found = folder.list_drawn(params)
    elif params.source == "table":
        found = table.list_images(params)
    elif params.source in library.SETS:
        root_of(params)  # which may be refused, before anything is fetched
        found = library.list_images(params)
    else:
        found = folder.list_images(params, folder.root_of(params))
    return sorted(found, key=lambda image: (image.class_name, image.path))


def counts(listed: Sequence[Listed]) -> Counts:
    """Return by class how many images each subset has, under "" where the source does not say."""
    found: Counts = {}
    for (name, subset), count in Counter((each.class_name, each.subset) for each in listed).items():
        found.setdefault(name, {})[subset] = count
    return found


def image_size(params: DataParams, listed: Sequence[Listed]) -> int:
    """Return the pixels of a side that images will be packed with. Raises: as `root_of`."""
    return size.chosen(params, listed, root_of(params))


def remarks(params: DataParams, listed: Sequence[Listed]) -> list[str]:
    """Return what a person should hear of a source that is taken: folders left out, names alike."""
    lines = folder.remarks(params) if params.source == "folder" else []
    by_case: dict[str, list[str]] = {}
    for name in sorted({image.class_name for image in listed}):
        by_case.setdefault(name.casefold(), []).append(name)
    return lines + [
        f"classes {choices(names)} differ in upper and lower case alone: they are kept apart"
        for names in by_case.values()
        if len(names) > 1
    ]
