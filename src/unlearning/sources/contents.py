"""What the files of a tree hold, as one number; a file that looks as it did is not read again.

DVC's own hash of a folder passes over what lies behind links to folders, waits for ever at a named
pipe and fails at a name that is no UTF-8. So `check_request` looks at the folder each time, and
`prepare_data` depends on what it found.
"""

import errno
import hashlib
import json
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from unlearning.base.files import atomic
from unlearning.base.fingerprint import sha256
from unlearning.base.progress import bar
from unlearning.settings.data import DataParams
from unlearning.sources import library, listing
from unlearning.sources.listed import Listed

# Below the root; of this machine alone: size, times and inode of each file, and the hash it had then.
MEMORY = Path("scratch/contents.json")
# A file that changed so shortly before it was read may change again within one tick of its times.
SETTLED = 3 * 10**9  # nanoseconds
LENGTH = 64  # of a SHA-256 as hex; no error's name is as long
Stamp = list[int]


def of(
    params: DataParams, root: Path = Path(), listed: Sequence[Listed] | None = None
) -> dict[str, Any]:
    """Return the number of files that `data.path` gives to the classes, and one hash over them.

    `listed`: as `listing.list_images` returns them, where that is known. Links are followed. Nothing for images
    that are drawn: the code and the parameters say it all.
    Raises: UserError, see `listing.list_images`.
    """
    if params.source == "synthetic":
        return {}
    params = params.model_copy(update={"path": str(root / params.path)})
    folder = listing.root_of(params)
    listed = listing.list_images(params) if listed is None else listed
    paths = [image.path for image in listed]
    if params.source in library.SETS:
        paths = [file.as_posix() for file in library.files(params)]
    found = {"files": len(listed), "sha256": digest(paths, folder, root / MEMORY)}
    if params.source == "table":
        # What it says of them: a label or a subset may change where no picture does.
        said = json.dumps([[image.path, image.class_name, image.subset] for image in listed])
        found["table"] = hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()
    return found


def digest(paths: Sequence[str], root: Path, memory: Path) -> str:
    """Return the SHA-256 over the paths below `root` and the bytes behind each, as hex.

    Names and contents count, times and places do not. A file is read again if its size, a time or
    its inode is not what `memory`, a file that is written here, says.
    """
    known = _read_memory(memory)
    now = time.time_ns()
    root = root.resolve()
    stamps = {path: _stamp(root / path) for path in paths}
    hashes = {
        path: entry[-1]
        for path, stamp in stamps.items()
        if (entry := known.get(f"{root}/{path}")) and entry[:-1] == stamp and _is_hash(entry[-1])
    }
    hashes |= {path: stamp for path, stamp in stamps.items() if isinstance(stamp, str)}
    unknown = [path for path in paths if path not in hashes]
    with ThreadPoolExecutor() as pool:
        read = pool.map(lambda path: _sha256(root / path), unknown)
        hashes |= zip(unknown, bar(read, len(unknown), "files compared"), strict=True)
    if unknown:
        settled = {
            f"{root}/{path}": [*stamp, hashes[path]]
            for path, stamp in stamps.items()
            if isinstance(stamp, list) and max(stamp[1:3]) < now - SETTLED
        }
        with atomic(memory, shared=True) as temporary:
            temporary.write_text(json.dumps(settled), encoding="ascii")
    # Escaped, so that a name that is no UTF-8 has bytes too.
    lines = (json.dumps([path, hashes[path]]) + "\n" for path in paths)
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()


def _stamp(file: Path) -> Stamp | str:
    """Return size, time of change and of status in nanoseconds, and inode; or why nothing can be read."""
    try:
        status = file.stat()
    except OSError as error:
        return _reason(error)
    if not stat.S_ISREG(status.st_mode):
        return "no file"
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _sha256(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        return _reason(error)


def _is_hash(found: Any) -> bool:
    """Return whether a file was read: why one was not may pass, as a share comes back, and its times stay."""
    return isinstance(found, str) and len(found) == LENGTH


def _reason(error: OSError) -> str:
    return errno.errorcode.get(
        error.errno or 0, "unreadable"
    )  # not its words: they are the system's


def _read_memory(memory: Path) -> dict[str, list[Any]]:
    """Return what was known, or nothing: it only saves time."""
    with suppress(OSError, ValueError, AttributeError):
        entries = json.loads(memory.read_text(encoding="ascii"))
        return {path: entry for path, entry in entries.items() if isinstance(entry, list)}
    return {}
