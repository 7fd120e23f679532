"""What DVC's cache and its remotes keep of runs that had the images: objects by their hash.

A run is known by a dvc.lock, of the workspace or of any commit of a branch, tag or experiment, or by an entry
of a run cache, which is one stage of it. What it held follows from its own data/samples.csv and split.csv, of
the cache, the workspace or a remote; where they are in none of them nobody can tell, and a person decides.
"""

import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo

from unlearning.base.errors import UserError, choices
from unlearning.base.files import NOTE, read_table
from unlearning.erase.wanted import COLUMNS, COVERED, REQUEST, RETAIN, SAMPLES, SPLIT, Wanted
from unlearning.review import git

FORGET = "forget"
ANY = frozenset((*COVERED, RETAIN))
SAW = ANY - {"earlier"}
# The outputs of a run that hold something of an image, and the roles of images of which they do.
HOLDERS = {
    "data/animals": ANY,
    "data/images": ANY,
    "data/images.npy": ANY,  # of runs from before images were packed in shards
    "data/observed": ANY,
    "data/audit_examples.csv": frozenset({FORGET}),
    "plots/examples.png": frozenset({FORGET}),
    "report/index.html": frozenset({FORGET}),
    "models/original.safetensors": SAW,
    "models/init": SAW,
    "models/controls": SAW,
    "models/discriminator.safetensors": SAW,
    "models/unlearned.safetensors": frozenset({RETAIN}),
    "models/retrained": frozenset({RETAIN}),
}
# What stages read that read no table: of the run that made it they are part.
LINKS = ("data/observed", "models/original.safetensors")
# What says which images are to go, and what must have forgotten them.
DECIDING = (SAMPLES, SPLIT, REQUEST, "models/unlearned.safetensors")
LOCK = "dvc.lock"
ADDED = ".dvc"  # the end of what `dvc add` writes beside a file or folder
MANIFEST = ".dir"  # the end of the hash of a folder
HASH = re.compile(rf"[0-9a-f]{{32}}(\{MANIFEST})?")  # nothing else may become part of a path

Run = dict[str, str]  # hash by path
Find = Callable[[str], Path | None]  # where an object can be read, by its hash


@dataclass(frozen=True)
class Held:
    """Hashes of objects: `sure` hold something of the images, of `unsure` no table says whether they do."""

    sure: set[str]
    unsure: set[str]


@dataclass(frozen=True)
class Store:
    """The cache or a remote. `objects` and `top`: as DVC uses it for objects, and for the run cache at its top.

    Each method raises UserError if the store cannot be asked, or refuses.
    """

    name: str
    objects: Any
    top: Any

    def present(self, hashes: set[str]) -> list[str]:
        """Return those that it has, whatever is in them."""
        asked, there = sorted(hashes), []
        # Not oids_exist: in a folder it deletes what is damaged. Nor exists: no access counts as not there.
        with _asked(self.name):
            paths = [self.objects.oid_to_path(each) for each in asked]
            answers = self.objects.fs.info(paths, return_exceptions=True)
            for each, answer in zip(asked, answers, strict=True):
                if not isinstance(answer, Exception):
                    there.append(each)
                elif not isinstance(answer, FileNotFoundError):
                    raise answer
        return there

    def remove(self, hashes: set[str]) -> None:
        """Remove objects, folders' lists last: they say what else is to go."""
        present = self.present(hashes)
        with _asked(self.name):
            for each in sorted(present, key=lambda each: each.endswith(MANIFEST)):
                self.objects.delete(each)

    def runs(self) -> list[tuple[str, Run]]:
        """Return the path of each entry of the run cache, and what it tells of."""
        with _asked(self.name):
            fs = self.top.fs
            folder = fs.join(self.top.path, "runs")
            files = sorted(fs.find(folder)) if fs.exists(folder) else []
            return [(file, _outputs(_parsed(fs.cat_file(file)))) for file in files]

    def entries(self, hashes: set[str]) -> list[str]:
        """Return the entries of the run cache that name one of them."""
        return [path for path, run in self.runs() if not hashes.isdisjoint(run.values())]

    def remove_entries(self, hashes: set[str]) -> None:
        """Remove the entries of the run cache that name one of them."""
        entries = self.entries(hashes)
        with _asked(self.name):
            for each in entries:
                self.top.fs.remove(each)


class Cache:
    """DVC's cache of a repository, and what its remotes have of it."""

    def __init__(self, root: Path):
        """Raises: UserError if `root` is no DVC repository."""
        self.root = root
        try:
            self._repo = Repo(str(root))
        except DvcException as error:
            raise UserError(f"{root} is no DVC repository: {error}") from None
        self.path = Path(self._repo.cache.local.path)

    @property
    def is_own(self) -> bool:
        """Whether the cache belongs to this workspace alone: a shared one lies elsewhere."""
        return self.path.resolve().is_relative_to(self.root.resolve())

    @property
    def remotes(self) -> list[str]:
        """The names of the remotes."""
        return sorted(self._repo.config["remote"])

    def store(self, remote: str = "") -> Store:
        """Return a remote, or the cache itself. Raises: UserError if DVC cannot use it."""
        if not remote:
            return Store("cache", self._repo.cache.local, self._repo.cache.legacy)
        with _asked(name := f"remote {remote}"):
            odb = self._repo.cloud.get_remote_odb
            return Store(name, odb(remote), odb(remote, hash_name="md5-dos2unix"))

    def stores(self, remotes: Collection[str]) -> list[Store]:
        """Return the cache, and remotes. Raises: UserError as `store`."""
        return [self.store(), *map(self.store, remotes)]

    def require(self, remotes: Collection[str]) -> None:
        """Raise UserError if one of the names is no remote's, or of a remote that cannot be asked."""
        if unknown := sorted(set(remotes) - set(self.remotes)):
            raise UserError(
                f"--remote names {choices(unknown)}: the remotes are {choices(self.remotes) or 'none'}"
            )
        for name in remotes:
            if reason := self.refusal(name):
                raise UserError(reason)

    def refusal(self, name: str) -> str:
        """Return why a remote cannot be asked; empty if it can."""
        try:
            store = self.store(name)
            with _asked(store.name):
                if store.top.fs.exists(store.top.path):
                    return ""
        except UserError as error:
            return str(error)
        return f"{store.name}: there is nothing at {store.top.path}: is it connected, was it ever pushed to?"

    def held(self, wanted: Wanted, remotes: Collection[str] = ()) -> Held:
        """Return the hashes of all objects of known runs that hold something of the images, or may.

        What one run shows to be free of them is so in every run: same hash, same content.
        `remotes`: their run caches are read too, and objects that the cache lacks. Raises: UserError if one
        breaks off.
        """
        had: set[str] = set()
        free: set[str] = set()
        unknown: set[str] = set()
        with TemporaryDirectory() as folder:
            find = self._finder(remotes, Path(folder))
            for run, roles in _with_roles(self._runs(remotes), wanted, find):
                for path, of_roles in HOLDERS.items():
                    if path in run:
                        into = unknown if roles is None else had if roles & of_roles else free
                        into.update(_objects_of(run[path], find))
        return Held(had - free, unknown - had - free)

    def added(
        self, files: Collection[str], models: Collection[str], remotes: Collection[str] = ()
    ) -> set[str]:
        """Return the hashes of what `dvc add` put here: files by their SHA-256, and models by their paths.

        By each *.dvc of the workspace, and each that Git ever had, with their folders; what the cache lacks is
        read on `remotes`. Raises: UserError if one breaks off.
        """
        texts = [
            (file.as_posix(), file.read_bytes())
            for file in self.root.rglob(f"*{ADDED}")
            if file.is_file()
        ]
        ever = {(blob, path) for blob, path in git.ever(self.root) if path.endswith(ADDED)}
        kept = dict(git.contents(self.root, {blob for blob, _ in ever}))
        texts += [(path, kept[blob]) for blob, path in ever]
        outs = {
            (posixpath.join(posixpath.dirname(path), output), of_hash)
            for path, text in texts
            for output, of_hash in _outputs(_parsed(text)).items()
        }
        with TemporaryDirectory() as folder:
            find = self._finder(remotes, Path(folder))
            objects = set().union(*(_objects_of(of_hash, find) for _, of_hash in outs))
        return {of_hash for path, of_hash in outs if path.endswith(tuple(models))} | {
            of_hash for of_hash, sha256 in self._contents(objects, remotes) if sha256 in files
        }

    def _runs(self, remotes: Collection[str]) -> Iterator[Run]:
        with suppress(FileNotFoundError):
            yield _outputs(*_stages((self.root / LOCK).read_bytes()).values())
        locks = {blob for blob, path in git.ever(self.root) if path.endswith(LOCK)}
        for _, text in git.contents(self.root, locks):
            yield _outputs(*_stages(text).values())
        for store in self.stores(remotes):
            for _, run in store.runs():
                yield run

    def _contents(self, hashes: set[str], remotes: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield hash and SHA-256 of each file that the cache has, or else one of the remotes."""
        left = {each for each in hashes if not each.endswith(MANIFEST)}
        for store in self.stores(remotes):
            there = store.present(left)
            with _asked(store.name):
                for each in there:
                    with store.objects.fs.open(store.objects.oid_to_path(each), "rb") as file:
                        yield each, hashlib.file_digest(file, "sha256").hexdigest()
            left -= set(there)

    def _finder(self, remotes: Collection[str], folder: Path) -> Find:
        """Return what finds an object in the cache, as a table of the workspace, or copies it to `folder`."""
        here = {
            _md5(self.root / name): self.root / name
            for name in (SAMPLES, SPLIT)
            if (self.root / name).is_file()
        }
        own, *others = self.stores(remotes)

        @cache
        def find(of_hash: str) -> Path | None:
            if own.present({of_hash}):
                return Path(own.objects.oid_to_path(of_hash))
            if of_hash in here:
                return here[of_hash]
            for store in others:
                if store.present({of_hash}):
                    with _asked(store.name):
                        path = store.objects.oid_to_path(of_hash)
                        store.objects.fs.get_file(path, str(folder / of_hash))
                    return folder / of_hash
            return None

        return find


def require_one_run(root: Path, stages: Collection[str]) -> None:
    """Refuse a run that broke off: its model has not forgotten yet what its tables name.

    Only `DECIDING` is compared, with what each stage saw of it; `workspace.require_in_step` compares all files.
    Raises: UserError unless all these stages ran, on the tables and with the model that lie in `root`.
    """
    lock = root / LOCK
    ran = _stages(lock.read_bytes()) if lock.is_file() else {}
    if missing := sorted(set(stages) - ran.keys()):
        raise UserError(f"{LOCK} knows no run of {choices(missing)}: run `dvc repro` first")
    for name in DECIDING:
        file = root / name
        known = {run[name] for run in map(_outputs, ran.values()) if name in run}
        if not file.is_file() or known != {_md5(file)}:
            raise UserError(
                f"{name} is not what each stage read and wrote (dvc.lock): finish the run by `dvc repro`, or "
                "bring its files back by `dvc checkout`, in a new clone by `dvc pull`"
            )


def _with_roles(
    runs: Iterator[Run], wanted: Wanted, find: Find
) -> Iterator[tuple[Run, set[str] | None]]:
    """Yield each run with the roles that the images had in it; None where nobody can tell."""

    @cache
    def of_tables(samples: str, split: str | None) -> set[str] | None:
        images = _table(SAMPLES, find(samples))
        if images is None:
            return None
        if not wanted.rows(images).any():
            return set()
        if split is None:  # a stage before there were roles
            return {*ANY}
        roles = _table(SPLIT, find(split))
        return None if roles is None else wanted.roles(images, roles)

    without_table = []
    known: dict[str, set[str]] = {}
    for run in runs:
        if SAMPLES not in run:
            without_table.append(run)
            continue
        roles = of_tables(run[SAMPLES], run.get(SPLIT))
        for path in LINKS:
            if roles is not None and path in run:
                known[run[path]] = known.get(run[path], set()) | roles
        yield run, roles
    for run in without_table:
        of_links = (known[run[path]] for path in LINKS if run.get(path) in known)
        yield run, next(of_links, None)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _table(name: str, file: Path | None) -> pd.DataFrame | None:
    try:
        return read_table(file, COLUMNS[name]) if file else None
    except UserError:  # of a version with other columns
        return None


def _objects_of(output: str, find: Find) -> set[str]:
    """Return the hashes of an output: of a folder also of the files in it, of an empty one none."""
    file = find(output) if output.endswith(MANIFEST) else None
    if file is None:
        return {output}
    inside = _listed(file.read_bytes())
    return {output, *inside} if inside else set()


@contextmanager
def _asked(store: str) -> Iterator[None]:
    try:
        yield
    # Of a remote's library, of the network, of DVC: each has exceptions of its own.
    except Exception as error:
        raise UserError(f"{store}: {error}") from None


def _listed(folder: bytes) -> list[str]:
    """Return the hashes of the files in a folder, by the list that DVC keeps of it; a note is none."""
    try:
        return [
            entry["md5"]
            for entry in json.loads(folder)
            if entry.get("relpath") != NOTE and HASH.fullmatch(entry["md5"])
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}  # a conflict, brackets without end, or of a version to come: it names no run
    return values if isinstance(values, dict) else {}


def _stages(text: bytes) -> dict[str, dict[str, Any]]:
    stages = _parsed(text).get("stages")
    if not isinstance(stages, dict):
        return {}
    return {name: each for name, each in stages.items() if isinstance(each, dict)}


def _outputs(*stages: dict[str, Any]) -> Run:
    """Return the hash of each file and folder that the stages read and wrote."""
    return {
        each["path"]: each["md5"]
        for stage in stages
        for kind in ("deps", "outs")
        for each in stage.get(kind, [])
        if isinstance(each, dict) and "path" in each and HASH.fullmatch(str(each.get("md5")))
    }
