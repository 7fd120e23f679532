"""safetensors files, which may come from anyone: read whole up to a limit, or refused in one line.

From bytes, not by the library's reader of files: that one turns Ctrl-C into an error of the format.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from unlearning.base.errors import UserError
from unlearning.base.reading import read_bytes

MOST_BYTES = 2**32  # a ResNet-18 has 45 million, and 2052 for each class; a ViT-L 1.2 billion

Arrays = TypeVar("Arrays")


def read_tensors(
    path: Path | str,
    key: str,
    load: Callable[[bytes], Arrays],
    most_bytes: int | None = None,
) -> tuple[str, Arrays]:
    """Return the text that stands in the file's metadata under `key`, and its tensors by name.

    `load`: that of `safetensors.torch` or `safetensors.numpy`, which also checks the header.
    Raises: FileNotFoundError; ValueError with the fault if it is no such file; UserError if it is larger
    than `most_bytes`, by default `MOST_BYTES`, or cannot be read.
    """
    content = read_bytes(Path(path), MOST_BYTES if most_bytes is None else most_bytes)
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return header["__metadata__"][key], tensors
    except (UserError, MemoryError):
        raise
    # A broken header makes the library raise all sorts: SafetensorError, KeyError, AssertionError, ...
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def versioned(state: Mapping[str, Any], own: Mapping[str, Any]) -> OrderedDict[str, Any]:
    """Return a state as its network loads it: with the versions of its modules, which no file here keeps.

    `own`: the network's own state. A MNASNet refuses a state without them.
    """
    found = OrderedDict(state)
    if hasattr(own, "_metadata"):
        found._metadata = own._metadata  # type: ignore[attr-defined]
    return found
