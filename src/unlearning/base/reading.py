"""Files and names that may come from anyone: files read up to a limit, names compared in one form."""

import os
import unicodedata
from pathlib import Path

from unlearning.base.errors import UserError

CONFLICT = ("<<<<<<< ", ">>>>>>> ")  # not =======, which may be a class, and a heading


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """Return what a file holds.

    Raises: FileNotFoundError; UserError if it is larger (a device such as /dev/zero never ends), a named pipe
    (which may be waited for without end), or no file that can be read. The pipe of `<(command)` has no name.
    """
    try:
        if Path(os.path.realpath(path)).is_fifo():
            raise UserError(f"{path} cannot be read: it is a named pipe, no file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size  # 0 for a device
            content = b"" if size > most_bytes else file.read(most_bytes + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL
        raise UserError(f"{str(path)!r} is no path: {error}") from None
    if max(size, len(content)) > most_bytes:
        raise UserError(f"{path} is larger than {most_bytes:,} bytes: that is no file of this kind")
    return content


def read_text(path: Path, most_bytes: int) -> str:
    """Return what a UTF-8 file holds, without a byte order mark.

    Raises: as `read_bytes`; UnicodeDecodeError.
    """
    return read_bytes(path, most_bytes).decode("utf-8-sig")


def lies_in(path: Path, place: Path) -> bool:
    """Return whether a path leads to a file or folder, or to something below it; no path leads nowhere.

    Whatever links are on the way, and however the path is spelled where the disk does not tell case.
    """
    try:
        resolved = path.resolve()
        if resolved.is_relative_to(place.resolve()):
            return True
        above = (each for each in (resolved, *resolved.parents) if each.exists())
        return place.exists() and any(each.samefile(place) for each in above)
    except (ValueError, RuntimeError, OSError):  # a NUL, links in a ring, a name too long
        return False


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), in which all names of this project are compared.

    A keyboard writes "é" as one character, a folder unpacked on a Mac may have "e" and an accent.
    """
    return unicodedata.normalize("NFC", name)


def as_on_disk(path: Path) -> Path:
    """Return the path as the disk spells it, should that be another Unicode form; else as it was given."""
    if path.exists() or path == path.parent:
        return path
    folder = as_on_disk(path.parent)
    if not folder.is_dir():
        return path
    alike = [entry for entry in folder.iterdir() if composed(entry.name) == composed(path.name)]
    return alike[0] if len(alike) == 1 else path


def refuse_conflict(text: str, path: Path | str) -> None:
    """Raise UserError if a merge left both sides in a file, or a mark of them, with the first one's line."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(CONFLICT):
            raise UserError(
                f"{path}:{number}: a merge conflict is left here: keep one side and take out the lines of "
                "<<<<<<<, ======= and >>>>>>>"
            )
