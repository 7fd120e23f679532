"""Files that may come from anyone: read up to a limit, or refused in one line."""

import os
from pathlib import Path

from unlearning.errors import UserError


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """Return what a file holds.

    Raises: FileNotFoundError; UserError if it is larger (a device such as /dev/zero never ends), or no
    file that can be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size  # 0 for a device
            content = b"" if size > most_bytes else file.read(most_bytes + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if max(size, len(content)) > most_bytes:
        raise UserError(f"{path} is larger than {most_bytes:,} bytes: that is no file of this kind")
    return content


def read_text(path: Path, most_bytes: int) -> str:
    """Return what a UTF-8 file holds, without a byte order mark.

    Raises: as `read_bytes`; UnicodeDecodeError.
    """
    return read_bytes(path, most_bytes).decode("utf-8-sig")
