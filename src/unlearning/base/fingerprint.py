"""A stage's inputs in one number: the data, parameters and code that dvc.yaml declares for it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

CODE = ("src/", "stages/")
CACHE = "__pycache__"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as hex. Raises: OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_stage(
    name: str,
    leave_out: tuple[str, ...] = (),
    hashed: Callable[[Path], str] = sha256,
) -> str:
    """Return the SHA-256 over the stage's declared deps and the values of its declared params, as hex.

    Deps whose path, and params whose key ("original", "original.seed"), begins with one of `leave_out` do not
    count: without `CODE` it says what a result was made from, whatever the program looked like. Names and
    contents count, times and places do not: the same inputs have the same fingerprint on every machine. A
    params file that is declared whole and deps with templates are not supported. `hashed`: `sha256`,
    cached where more than one fingerprint is taken.
    """
    stage = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"][name]
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    inputs = {
        "cmd": stage["cmd"],
        "deps": {
            file.as_posix(): hashed(file)
            for dep in stage["deps"]
            if not dep.startswith(leave_out)
            for file in _files(Path(dep))
        },
        "params": {
            key: _without(params[key], key, leave_out)
            for key in stage.get("params", [])
            if not key.startswith(leave_out)
        },
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _without(value: Any, key: str, leave_out: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: each for name, each in value.items() if not f"{key}.{name}".startswith(leave_out)}


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and CACHE not in file.parts)
