"""What a source holds, whichever it is: drawings, a tree of folders, a table, a data set in its own format."""

from collections import Counter
from pathlib import Path

from unlearning.settings.data import DataParams
from unlearning.settings.types import AUTO
from unlearning.sources import folder, library, size, table
from unlearning.sources.listed import Listed

Counts = dict[str, dict[str, int]]


def root_of(params: DataParams) -> Path:
    """Return the folder that a source's paths start from. Raises: UserError for an impossible `data.path`."""
    if params.source == "table":
        return table.file_of(params).parent
    if params.source in library.SETS:
        return Path(params.path)
    return folder.root_of(params)


def list_images(params: DataParams) -> list[Listed]:
    """Return every image of every class, by class name, then path. Raises: UserError for an odd source."""
    if params.source == "table":
        found = table.list_images(params)
    elif params.source in library.SETS:
        found = library.list_images(params)
    else:
        return folder.list_images(params, folder.root_of(params))
    return sorted(found, key=lambda image: (image.class_name, image.path))


def counts(params: DataParams) -> Counts:
    """Return by class how many images each subset has or will have, under "" where the source does not say.

    Nothing is drawn and no picture opened. Raises: as `list_images`.
    """
    if params.source == "synthetic":
        return {name: {"": count} for name, count in folder.count_drawn(params).items()}
    found: Counts = {}
    for (name, subset), count in Counter(
        (image.class_name, image.subset) for image in list_images(params)
    ).items():
        found.setdefault(name, {})[subset] = count
    return found


def image_size(params: DataParams) -> int:
    """Return the pixels of a side that images will be packed with. Raises: as `list_images`."""
    if params.image_size != AUTO:
        return params.image_size
    listed = [] if params.source == "synthetic" else list_images(params)
    return size.chosen(params, listed, root_of(params))


def remarks(params: DataParams) -> list[str]:
    """Return what a person should hear of a source that is taken."""
    return folder.remarks(params) if params.source == "folder" else []
