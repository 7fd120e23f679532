"""What a tree of images holds: one folder per class, files anywhere below it; no picture is opened.

Where all its folders are train, val (or valid, validation) and test, the classes' folders stand below these,
and the split is theirs. Like torchvision's `ImageFolder`, with four differences: every file counts, whatever
its suffix (a file that is no image is later named in data/skipped.csv, not passed over), `data.classes` selects
and renames folders, class names are in Unicode's composed form (paths stay as the disk has them), and a
person's mistake is told in one line.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from unlearning.base.errors import UserError, choices, nearest, printable
from unlearning.base.reading import as_on_disk, composed, lies_in
from unlearning.base.written import FOLDERS
from unlearning.settings.data import DataParams
from unlearning.sources.drawn import SPECIES
from unlearning.sources.listed import Listed
from unlearning.sources.words import SUBSET_OF

DRAWING = "src/unlearning/sources/drawn"
DRAWN = Path("data/animals")
LONGEST_NAME = 255  # of a class
# Left behind by systems, in lower case; hidden files and folders are left out anyway.
CLUTTER = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),  # Windows
        *("$recycle.bin", "recycler", "system volume information", "found.000"),
        *("icon\r", "__macosx", "network trash folder", "temporary items"),  # macOS
        *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),  # network storage
        *("lost+found", "__pycache__"),
    }
)


def root_of(params: DataParams) -> Path:
    """Return the folder whose subfolders are the classes, the drawn one or the person's own, or of a data set.

    Raises: UserError if `data.path` belongs to the other source, or would be overwritten.
    """
    if params.source == "synthetic":
        if Path(params.path) != Path(DRAWING):
            raise UserError(
                f"params.yaml: data.path is {params.path!r}, but data.source is 'synthetic', which "
                f"draws its own images: set data.source to folder, or data.path back to {DRAWING}"
            )
        return DRAWN
    try:
        given = as_on_disk(Path(params.path))
        given.resolve()
    except (ValueError, RuntimeError, OSError) as error:  # a NUL, links in a ring, a name too long
        refuse(params, f"that is no path: {error}")
    for output in FOLDERS:
        # Of a data set in its own format nothing but its own files is read, wherever their folder stands.
        is_above = params.source == "folder" and lies_in(output, given)
        if lies_in(given, output) or is_above:
            refuse(params, f"{output} is emptied by runs: keep your images in a folder apart")
    return given


def list_drawn(params: DataParams) -> list[Listed]:
    """Return every image that will be drawn. Raises: UserError, see `root_of` and `select`."""
    root_of(params)
    return [
        Listed(f"{species}/{species}_{number:04d}.jpg", name)
        for species, name in select(params.classes, SPECIES).items()
        for number in range(params.images_per_class)
    ]


def list_images(params: DataParams, root: Path) -> list[Listed]:
    """Return every file of every class, by class name and then by path.

    Folders of clutter and hidden ones are no classes, unless `data.classes` names them.

    Raises: UserError if `root` is no folder, holds no class or only one, a class holds no file, or
    two folders have the same name in two Unicode forms.
    """
    try:
        if not root.is_dir():
            fault = "that is a file" if root.exists() else "there is no such folder"
            refuse(params, f"{fault}: give the folder that holds one folder per class")
        parts = {part: _folders(part) for part in _parts(params, root)}
        names = sorted({name for spelled in parts.values() for name in spelled})
        folders = [name for name in names if _is_content(name) or name in params.classes]
        if not folders:
            refuse(params, "it holds no folder: the images of each class stand in their own")
        listed: list[Listed] = []
        for name, class_name in select(params.classes, folders).items():
            before = len(listed)
            for part, spelled in parts.items():
                folder, *others = spelled.get(name, [name])
                if others:
                    # As escapes: what is shown of both looks the same.
                    refuse(
                        params,
                        f"its folders {folder!a} and {others[0]!a} have one name, {name!r}, in "
                        "two Unicode forms: put their files into one folder",
                    )
                subset = "" if part == root else SUBSET_OF[part.name.lower()]
                files = files_below(part / folder) if name in spelled else iter(())
                listed += [
                    Listed(file.relative_to(root).as_posix(), class_name, subset) for file in files
                ]
            if len(listed) == before:
                refuse(params, f"its folder {folder!r} holds no file: fill it or leave it out")
    except OSError as error:
        refuse(params, f"{error.filename!r} cannot be read: {error.strerror}")
    return sorted(listed, key=lambda image: (image.class_name, image.path))


def remarks(params: DataParams) -> list[str]:
    """Return what a person should hear of a tree that is taken: folders left out."""
    folders = {name for part in _parts(params, root_of(params)) for name in _folders(part)}
    left_out = sorted(name for name in folders if not _is_content(name))
    if not left_out or params.classes:
        return []
    return [
        f"left out of {params.path}, as hidden or a system's own: {choices(left_out)} "
        "(to take one as a class, name it in data.classes)"
    ]


def select(classes: Mapping[str, str], folders: Sequence[str]) -> dict[str, str]:
    """Return the class name of each folder to use; empty `classes`: all, under their own names.

    All names are composed.

    Raises: UserError if a name in `classes` is no folder, a class has no name or one that cannot be
    shown as it is, or one class is left.
    """
    chosen = dict(classes) or {folder: folder for folder in folders}
    for folder, class_name in chosen.items():
        if folder not in folders:
            raise UserError(
                f"params.yaml: data.classes names the folder {folder!r}, but the folders are "
                f"{choices(folders)}{nearest(folder, list(folders))}"
            )
        if not class_name.strip():
            raise UserError(f"params.yaml: data.classes.{folder} is empty: give the class a name")
        # Names go into CSV files, pages, pictures and terminals: what acts there is no name.
        if printable(class_name) != class_name or len(class_name) > LONGEST_NAME:
            raise UserError(
                f"class {class_name[:LONGEST_NAME]!r} has a control character, a byte that is no "
                f"UTF-8, or more than {LONGEST_NAME} characters: rename the folder, or the class by "
                "data.classes"
            )
    names = sorted(set(chosen.values()))
    if len(names) == 1:
        raise UserError(
            f"params.yaml: data.path and data.classes leave one class, {names[0]!r}, but a "
            f"classifier needs two or more; the folders are {choices(folders)}"
        )
    return chosen


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files at any depth, links followed, each real folder once: links may run in a ring.

    What is no file (a link that leads nowhere, a pipe, a device) is yielded too: it is named later,
    like any file that cannot be read.
    """
    seen = set()
    for here, subfolders, names in os.walk(folder, followlinks=True, onerror=_raise):
        subfolders[:] = sorted(filter(_is_content, subfolders))
        real = os.path.realpath(here)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        for name in sorted(filter(_is_content, names)):
            yield Path(here, name)


def _parts(params: DataParams, root: Path) -> list[Path]:
    """Return the folders that hold the classes': those of train, validation and test, or the root itself."""
    named = [
        entry for entry in sorted(root.iterdir()) if entry.is_dir() and _is_content(entry.name)
    ]
    subsets = {SUBSET_OF.get(entry.name.lower(), "") for entry in named}
    is_split = len(named) > 1 and "train" in subsets and "" not in subsets
    return (
        named if is_split and not {entry.name for entry in named} & set(params.classes) else [root]
    )


def _folders(root: Path) -> dict[str, list[str]]:
    """Return the names of the subfolders, sorted, as the disk spells them, by their composed form."""
    spelled: dict[str, list[str]] = {}
    for name in sorted(entry.name for entry in root.iterdir() if entry.is_dir()):
        spelled.setdefault(composed(name), []).append(name)
    return spelled


def _is_content(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in CLUTTER


def _raise(error: OSError) -> NoReturn:
    """`os.walk` passes over a folder that it cannot read, unless told otherwise."""
    raise error


def refuse(params: DataParams, why: str) -> NoReturn:
    """Raise the UserError that says what is wrong with `data.path`."""
    raise UserError(f"params.yaml: data.path is {params.path!r}, but {why}")
