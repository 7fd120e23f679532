"""Small text files that may come from anyone: read up to a limit, or refused in one line."""

from pathlib import Path

from unlearning.errors import UserError


def read_text(path: Path, most_bytes: int) -> str:
    """Return what a UTF-8 file holds, without a byte order mark.

    Raises: FileNotFoundError; UnicodeDecodeError; UserError if it is larger (a device such as
    /dev/zero never ends), or no file that can be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > most_bytes:
        raise UserError(f"{path} is larger than {most_bytes:,} bytes: that is no file of this kind")
    return content.decode("utf-8-sig")
