"""Files appear whole or not at all; metrics are sorted and rounded, so that their diffs mean something."""

import csv
import errno
import json
import math
import os
import shutil
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from unlearning.base.errors import UserError
from unlearning.base.reading import read_bytes, refuse_conflict

DIGITS = 4
NOTE = "README"
MOST_BYTES = 2**26  # of a metrics file; a thousand classes need less than one million
# What a person can mend: no space, no quota, too large for the limit, no permission, read-only.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def atomic(path: Path | str, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it replaces `path` only if the block ends without an error.

    Its name is always the same: what a killed process left is overwritten by the next. Of a path that is
    `shared` by processes it is each one's own.
    Raises: UserError if the disk is full or the place cannot be written to.
    """
    path = Path(path)
    own = f".{os.getpid()}" if shared else ""
    temporary = path.with_name(f".{path.stem}{own}.part{path.suffix}")
    try:
        with _refused(path, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Were it a link, what it leads to would be overwritten.
            temporary.unlink(missing_ok=True)
            yield temporary
            # Data before name: after a power cut the name must not stand for an empty file.
            _flush(temporary)
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """Yield a new folder beside `path`; it replaces `path` only if the block ends without an error.

    Raises: as `atomic`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with _refused(path, temporary):
            shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
            temporary.mkdir(parents=True)
            yield temporary
            shutil.rmtree(path, ignore_errors=True)
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def leftovers(path: Path) -> list[Path]:
    """Return what killed processes left of writing a file or a folder, or files in that folder; no links."""
    own = path.with_name(f".{path.stem}.part{path.suffix}")
    below = [] if path.is_symlink() else sorted(path.rglob(".*.part*"))
    return [own, *below] if own.exists() and not own.is_symlink() else below


def note(folder: Path | str, holds: str) -> None:
    """Say in a file what the folder is there to hold: DVC warns of an output that is an empty folder."""
    Path(folder, NOTE).write_text(f"{holds}\n", encoding="utf-8")


@contextmanager
def _refused(path: Path, temporary: Path) -> Iterator[None]:
    """Say in one line that `path` cannot be written, if it is writing to `temporary` that fails."""
    try:
        yield
    except OSError as error:
        failed = temporary if error.filename is None else Path(os.fsdecode(error.filename))
        if error.errno not in UNWRITABLE or not failed.is_relative_to(temporary):
            raise
        raise UserError(
            f"{path} cannot be written: {error.strerror}; free or grant what is missing and run the "
            "same command again"
        ) from None


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_metrics(path: Path | str, values: Mapping[str, Any]) -> None:
    """Write a metrics file: sorted keys, 4 digits. A NaN or infinity is a bug and raises ValueError."""
    text = json.dumps(
        rounded(values), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False
    )
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_metrics(path: Path | str) -> dict[str, Any]:
    """Return a metrics file as written by `write_metrics`. Raises: UserError if it is missing or none."""
    path = Path(path)
    try:
        text = read_bytes(path, MOST_BYTES).decode()
        refuse_conflict(text, path)
        values = parse_json(text)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run `dvc repro` first") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a metrics file: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a metrics file: it holds no names of figures")
    return values


def parse_json(text: str) -> Any:
    """Return what JSON says. Raises: ValueError, also of an integer that no float holds; RecursionError."""
    return json.loads(text, parse_int=_figure)


def _figure(digits: str) -> int:
    value = int(digits)
    if abs(value) > sys.float_info.max:
        raise ValueError(f"a figure of {len(digits)} digits")
    return value


def write_series(
    path: Path | str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> None:
    """Write rows as CSV with these columns, floats with 4 digits. Without rows the header still stands."""
    # Not by pandas' `float_format`: it passes over a column that also holds words.
    shown = [
        {
            key: f"{rounded(value):.{DIGITS}f}" if isinstance(value, float) else value
            for key, value in row.items()
        }
        for row in rows
    ]
    table = pd.DataFrame(shown, columns=list(columns))
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_rows(path: Path | str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that all have the first one's keys, of which there must be one, as CSV: see `write_series`."""
    write_series(path, rows, columns=tuple(rows[0]))


def read_table(path: Path | str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table such as data/samples.csv: `id` holds integers, every other column text.

    A class called "NA" or "007" stays what it is; plain `pd.read_csv` makes a gap or a number of it.
    Raises: FileNotFoundError; UserError if it is no such table or lacks one of `columns`.
    """
    types: defaultdict[str, type] = defaultdict(lambda: str, {"id": int})
    try:
        table = read_cells(path, types)
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:
        _refuse_conflict_in(path)
        raise UserError(f"{path} is not a table of this project: {error}") from None
    # Without `id` the lines around a conflict are rows like others.
    if table.iloc[:, 0].eq("=======").any():
        _refuse_conflict_in(path)
    for column in columns:
        if column not in table:
            raise UserError(f"{path} lacks the column {column!r}: run `dvc repro`")
    return table


def _refuse_conflict_in(path: Path | str) -> None:
    refuse_conflict(Path(path).read_text(encoding="utf-8", errors="replace"), path)


def read_cells(file: Path | str | StringIO, types: Any = str) -> pd.DataFrame:
    """Return a CSV's cells as text, or as `types` says.

    Raises: ValueError, or ParserWarning of cells beyond the last column: pandas would make the first one an
    index, and each cell its neighbour's column's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            file, keep_default_na=False, dtype=types, index_col=False, encoding="utf-8-sig"
        )


def write_table(path: Path | str, table: pd.DataFrame) -> None:
    """Write a table for `read_table`: text is quoted, since a name may hold a bare carriage return."""
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")


def rounded(value: Any) -> Any:
    """Return `value` with every float in it rounded to 4 digits, and -0.0 as 0.0."""
    if isinstance(value, Mapping):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return round(value, DIGITS) + 0.0
    return value
