"""The difference between the workspace and the commit where its branch left the base.

The branch may be a stranger's: its files are read, none is run. DVC is asked in a copy of them in a folder of
ours, so that it meets neither the branch's configuration nor its repository.
"""

import csv
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any, TypeVar

from unlearning.audit import catalogue
from unlearning.base.errors import UserError
from unlearning.base.files import MOST_BYTES, parse_json
from unlearning.base.reading import read_bytes, refuse_conflict
from unlearning.report.metrics import Metrics
from unlearning.review.gate import FILES, Check, broken, check
from unlearning.review.git import GRAPH, GUARD, OWN_FILES, committed, dvc, git, listed, tracked
from unlearning.settings.gate import GateParams
from unlearning.settings.load import load, parse

# By name: a file or parameter, then a key. A side that has no such value holds None.
Pair = tuple[Any, Any]
Changed = dict[str, Pair]
Figures = dict[str, dict[str, str]]
Read = Callable[[str], bytes]  # of one side: the content of a file by its name
T = TypeVar("T")
TABLE = "plots/audit_figures.csv"
COLUMNS = ("figure", "decisive", "reading", "original", "retrained")  # that a review reads
RUNS = re.compile(r"^Running stage '(.*)':", re.MULTILINE)
NO_DATA = re.compile(r"failed to reproduce '(\w+)': .*No such file or directory")
KINDS = ("deps", "outs")  # of the files that a stage has in dvc.lock
IN_SYNC = "Data and pipelines are up to date."
OWN_CONFIG = """[core]
no_scm = true
analytics = false
check_update = false
site_cache_dir = {folder}/site
[cache]
dir = {folder}/cache
"""


@dataclass(frozen=True)
class Gate:
    """The checks of the workspace, and the names of the limits that were broken before it.

    `loosened`: limits that the branch itself changed and that its figures would break as they were.
    """

    checks: list[Check]
    broken_on_base: set[str]
    loosened: list[str]


@dataclass(frozen=True)
class Changes:
    """All that a review shows. Where something could not be found out, the reason stands in its place.

    `figures`: the rows of plots/audit_figures.csv by name, of base and branch; none where the base has no such
    table.
    """

    base: str
    head: str
    params: Changed
    metrics: dict[str, Changed]
    figures: tuple[Figures, Figures | UserError]
    stages_to_run: list[str] | UserError
    gate: Gate | UserError

    @property
    def in_sync(self) -> bool:
        """Return whether dvc.lock, parameters, code and metrics belong together."""
        return self.stages_to_run == []

    @property
    def passed(self) -> bool:
        """Return whether the branch may be merged as far as lock and limits can tell."""
        return self.in_sync and isinstance(self.gate, Gate) and not broken(self.gate.checks)


def find(root: Path, base: str) -> Changes:
    """Return what the workspace changes since its branch left `base`, uncommitted changes included.

    Raises: UserError if there is no such base, or no history in common with it, or neither side has a graph.
    """
    git(root, "rev-parse", "--is-inside-work-tree")
    try:
        git(root, "rev-parse", "--quiet", "--verify", "--end-of-options", f"{base}^{{commit}}")
    except UserError:
        raise UserError(
            f"--base {base}: no such branch or commit; fetch it first (in CI: fetch-depth: 0)"
        ) from None
    try:
        commit = git(root, "merge-base", "--end-of-options", base, "HEAD")
    except UserError:
        raise UserError(
            f"--base {base}: it has no commit in common with HEAD; a shallow clone lacks them "
            "(in CI: fetch-depth: 0)"
        ) from None
    if not (root / GRAPH).exists() and not tracked(root, commit, GRAPH):
        raise UserError(f"{GRAPH} does not exist, here or on the base: run from the project's root")
    before, after = partial(committed, root, commit), partial(present, root)
    params = _differences(_params(before), _params(after))
    figures = _attempt(lambda: _table(before))
    return Changes(
        base=git(root, "rev-parse", "--short", commit),
        head=_described(root),
        params=params,
        metrics=_metrics(root, commit),
        figures=(
            {} if isinstance(figures, UserError) else figures,
            _attempt(lambda: _table(after)),
        ),
        stages_to_run=_attempt(lambda: _stages_to_run(root)),
        gate=_attempt(lambda: _gate(root, before, after, params)),
    )


def _attempt(question: Callable[[], T]) -> T | UserError:
    try:
        return question()
    except UserError as error:
        return error


def _metrics(root: Path, commit: str) -> dict[str, Changed]:
    """Return the figures, unchanged ones too, of each metrics file that the base or the workspace has."""
    here = {f"metrics/{path.name}" for path in unlinked(root, "metrics").glob("*.json")}
    before = {name for name in tracked(root, commit, "metrics/") if name.endswith(".json")}
    return {
        name: _pairs(
            _figures(name, committed(root, commit, name) if name in before else b"{}"),
            _figures(name, present(root, name) if name in here else b"{}"),
        )
        for name in sorted(here | before)
    }


def _table(read: Read) -> Figures:
    """Return one side's table of the audit's figures, by name. Raises: UserError where it has no such table."""
    try:
        text = read(TABLE).decode()
        refuse_conflict(text, TABLE)
        rows = csv.DictReader(text.splitlines())
        if missing := set(COLUMNS) - set(rows.fieldnames or ()):
            raise UserError(f"{TABLE} lacks the column {min(missing)!r}: run `dvc repro`")
        # A row that ends early has None in place of text.
        return {row["figure"]: row for row in rows if catalogue.is_figure(row["figure"] or "")}
    except FileNotFoundError:
        raise UserError(f"{TABLE} does not exist: run `dvc repro`") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{TABLE} is no table: {error}") from None


def _figures(name: str, content: bytes) -> Any:
    try:
        text = content.decode()
        refuse_conflict(text, name)
        return parse_json(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is not a metrics file: {error}") from None


def _params(read: Read) -> dict[str, Any]:
    try:
        return parse(read("params.yaml").decode("utf-8-sig"), Path("params.yaml"))[0]
    except (FileNotFoundError, UserError):
        return {}


def present(root: Path, name: str) -> bytes:
    """Return what a file of the workspace holds. Raises: as `unlinked` and `read_bytes`."""
    return read_bytes(unlinked(root, name), MOST_BYTES)


def unlinked(root: Path, name: str) -> Path:
    """Return the path of a file or folder of the workspace.

    Raises: UserError if it is a link or lies in a folder that is one: what that leads to is not the branch's.
    """
    if Path(os.path.realpath(root / name)) != Path(os.path.realpath(root), name):
        raise UserError(f"{name} is a link, or behind one: put the file itself there")
    return root / name


def _differences(old: Any, new: Any) -> Changed:
    """Return the values that are not the same, by name."""
    return {name: pair for name, pair in _pairs(old, new).items() if not _same(*pair)}


def _pairs(old: Any, new: Any) -> Changed:
    """Return every value of both sides by its keys joined with dots, sorted; None where a side has none."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    pairs: Changed = {}
    alike: Counter[str] = Counter()
    for path in sorted(before.keys() | after.keys()):
        name = joined = ".".join(path)
        while name in pairs:  # a key that holds a dot must not stand for another
            alike[joined] += 1
            name = f"{joined} (another key, {alike[joined]})"
        pairs[name] = (before.get(path), after.get(path))
    return pairs


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif path:
        yield path, value


def _same(left: Any, right: Any) -> bool:
    # 1 == True == 1.0 to Python.
    return left == right and type(left) is type(right)


def _described(root: Path) -> str:
    commit = git(root, "rev-parse", "--short", "HEAD")
    files = tracked(root, "HEAD")
    new = {name for name in set().union(*listed(root)) if _is_plain(root / name)} - files.keys()
    same = not new and _unchanged(root, files)
    return commit if same else f"{commit} with uncommitted changes"


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _unchanged(root: Path, files: Mapping[str, str]) -> bool:
    """Return whether the workspace has these files with these hashes of Git's, before any filter."""
    for name, blob in files.items():
        try:
            content = present(root, name)
        except (FileNotFoundError, UserError):
            return False
        digest = sha1 if len(blob) == 40 else sha256
        if digest(b"blob %d\0" % len(content) + content).hexdigest() != blob:
            return False
    return True


def _stages_to_run(root: Path) -> list[str]:
    """Return the stages whose code, parameters, metrics or series are not those of dvc.lock."""
    with tempfile.TemporaryDirectory() as folder:
        copy, (known, new), named = Path(folder, "branch"), listed(root), _named(root)
        # New files that DVC does not ask for may be large, or a person's own.
        new = {name for name in new if named & {name, *map(str, Path(name).parents)}}
        for name in filter(_matters, sorted(known | new)):
            if (root / name).is_file() or (root / name).is_symlink():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                # Were a link left out, DVC would take what it stands for as missing, which is allowed.
                content = present(root, name) if _is_plain(root / name) else b"a link"
                (copy / name).write_bytes(content)
        (copy / ".dvc").mkdir(parents=True, exist_ok=True)
        (copy / ".dvc/config").write_text(OWN_CONFIG.format(folder=folder), encoding="utf-8")
        try:
            said = dvc(copy, "repro", "--allow-missing", "--dry", only=Path(folder))
        except UserError as error:
            # Of the first stage that would run DVC asks for its data, which no clone of Git has.
            first = NO_DATA.search(str(error))
            if not first:
                raise
            return [first[1]]
        stages = RUNS.findall(said)
        if not stages and IN_SYNC not in said:
            raise UserError(
                "dvc repro --dry says neither that a stage would run nor that none would"
            )
        return [stage for stage in stages if stage != GUARD or _guard_is_stale(copy, Path(folder))]


def _guard_is_stale(root: Path, only: Path) -> bool:
    """Return whether code or parameters of the stage that always runs are not those of dvc.lock."""
    entries = parse_json(dvc(root, "status", "--json", GUARD, only=only)).get(GUARD, [])
    return any(entry != "always changed" and "changed outs" not in entry for entry in entries)


def _named(root: Path) -> set[str]:
    """Return what DVC reads of itself, and the files and folders that dvc.lock names.

    What dvc.yaml alone names makes a stage run, whatever it is. Raises: UserError if dvc.lock is none.
    """
    own = {*OWN_FILES, "params.yaml", ".dvcignore"}
    try:
        stages = parse(present(root, "dvc.lock").decode(), Path("dvc.lock"))[0]["stages"].values()
        entries = [each for stage in stages for kind in KINDS for each in stage.get(kind, ())]
        return own | {str(each["path"]) for each in entries}
    except FileNotFoundError:
        return own
    except (LookupError, TypeError, AttributeError, UnicodeDecodeError):
        raise UserError("dvc.lock is no list of stages: run `dvc repro`") from None


def _matters(name: str) -> bool:
    """Return whether DVC needs a file to know what would run; not its configuration, nor files of its own."""
    return not name.startswith((".dvc/", ".git")) and not name.endswith(".dvc")


def _gate(root: Path, before: Read, after: Read, params: Changed) -> Gate:
    # Alone: after `next` nothing is asked for yet.
    limits = load(GateParams, unlinked(root, "params.yaml"))
    metrics = _measured(after)
    checks = check(metrics, limits)
    previous = {
        key.removeprefix("gate."): old
        for key, (old, _) in params.items()
        if key.startswith("gate.")
    }
    try:
        former = GateParams.model_validate(limits.model_dump() | previous)
    except ValueError:  # the base knows other limits
        former = limits
    try:
        on_base = _broken(check(_measured(before), former))
    except UserError:  # it has no such metrics
        on_base = set()
    return Gate(checks, on_base, sorted(_broken(check(metrics, former)) - _broken(checks)))


def _measured(read: Read) -> Metrics:
    """Return one side's metrics that have limits. Raises: UserError if a file is missing or none."""
    tree = {}
    for name in FILES:
        file = f"metrics/{name}.json"
        try:
            tree[name] = _figures(file, read(file))
        except FileNotFoundError:
            raise UserError(f"{file} does not exist: run `dvc repro` first") from None
        if not isinstance(tree[name], dict):
            raise UserError(f"{file} is not a metrics file: it holds no names of figures")
    return Metrics(tree)


def _broken(checks: list[Check]) -> set[str]:
    return {each.limit_name for each in checks if each.outcome == "broken"}
