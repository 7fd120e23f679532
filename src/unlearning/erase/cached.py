"""What DVC's cache and its remotes keep of runs that had the images: objects by their hash.

A run is known by a dvc.lock, of the workspace or of any commit of a branch, tag or experiment, or by an entry
of the run cache. What it held follows from its own data/samples.csv and split.csv; where these are gone it is
taken to have had the images.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo

from unlearning.base.errors import UserError, choices
from unlearning.base.files import NOTE
from unlearning.erase.wanted import COVERED, RETAIN, SAMPLES, SPLIT, Wanted, tables
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
LOCK = "dvc.lock"
MANIFEST = ".dir"  # the end of the hash of a folder

Run = dict[str, str]  # hash by path


class Cache:
    """DVC's cache of a repository, and what its remotes have of it."""

    def __init__(self, root: Path):
        """Raises: UserError if `root` is no DVC repository."""
        self.root = root
        try:
            self._repo = Repo(str(root))
        except DvcException as error:
            raise UserError(f"{root} is no DVC repository: {error}") from None
        self._objects = self._repo.cache.local
        self.path = Path(self._objects.path)

    @property
    def is_own(self) -> bool:
        """Whether the cache belongs to this workspace alone: a shared one lies elsewhere."""
        return self.path.resolve().is_relative_to(self.root.resolve())

    @property
    def remotes(self) -> list[str]:
        """The names of the remotes."""
        return sorted(self._repo.config["remote"])

    def require(self, remotes: Collection[str]) -> None:
        """Raise UserError if one of the names is no remote's."""
        if unknown := sorted(set(remotes) - set(self.remotes)):
            raise UserError(
                f"--remote names {choices(unknown)}: the remotes are {choices(self.remotes) or 'none'}"
            )

    def held(self, wanted: Wanted) -> set[str]:
        """Return the hashes of all objects of known runs that hold something of the images."""
        found: set[str] = set()
        for run in self._runs():
            roles = self._roles(run, wanted)
            for path, of_roles in HOLDERS.items():
                if path in run and roles & of_roles:
                    found |= self._objects_of(run[path])
        return found

    def tracked(self, path: Path) -> set[str]:
        """Return the hashes that `dvc add` wrote beside a file."""
        try:
            values = _parsed(path.with_name(f"{path.name}.dvc").read_bytes())
        except FileNotFoundError:
            return set()
        return {each["md5"] for each in values.get("outs", []) if "md5" in each}

    def present(self, hashes: set[str]) -> list[str]:
        """Return those that the cache has."""
        return sorted(each for each in hashes if self._objects.exists(each))

    def on_remote(self, name: str, hashes: set[str]) -> list[str]:
        """Return those that a remote has, with the files of folders that it alone lists any more.

        Raises: UserError if it cannot be asked.
        """
        with _reached(name):
            remote = self._repo.cloud.get_remote_odb(name)
            lists = [each for each in hashes if each.endswith(MANIFEST)]
            inside = {
                file
                for each in remote.oids_exist(lists)
                if not self._objects.exists(each)
                for file in _listed(remote.fs.cat_file(remote.oid_to_path(each)))
            }
            return sorted(remote.oids_exist(sorted(hashes | inside)))

    def remove_from(self, name: str, hashes: set[str]) -> None:
        """Remove those that a remote has, folders' lists last. Raises: UserError if it refuses."""
        present = self.on_remote(name, hashes)
        with _reached(name):
            remote = self._repo.cloud.get_remote_odb(name)
            for each in sorted(present, key=lambda each: each.endswith(MANIFEST)):
                remote.delete(each)

    def entries(self, hashes: set[str]) -> list[Path]:
        """Return the entries of the run cache that name one of them."""
        return [file for file, run in self._run_cache() if not hashes.isdisjoint(run.values())]

    def remove(self, hashes: set[str]) -> None:
        """Remove objects, folders' lists last: they say what else is to go."""
        for each in sorted(self.present(hashes), key=lambda each: each.endswith(MANIFEST)):
            self._objects.delete(each)

    def _runs(self) -> Iterator[Run]:
        with suppress(FileNotFoundError):
            yield _outputs(*_stages((self.root / LOCK).read_bytes()))
        locks = {blob for blob, path in git.ever(self.root) if path.endswith(LOCK)}
        for _, text in git.contents(self.root, locks):
            yield _outputs(*_stages(text))
        for _, run in self._run_cache():
            yield run

    def _run_cache(self) -> Iterator[tuple[Path, Run]]:
        for file in sorted(Path(self._repo.stage_cache.cache_dir).glob("*/*/*")):
            yield file, _outputs(_parsed(file.read_bytes()))

    def _roles(self, run: Run, wanted: Wanted) -> set[str]:
        try:
            return wanted.roles(*tables(*(self._file(run[name]) for name in (SAMPLES, SPLIT))))
        except (UserError, KeyError):
            return {*ANY}

    def _objects_of(self, output: str) -> set[str]:
        """Return the hashes of an output: of a folder also of the files in it, of an empty one none."""
        if not output.endswith(MANIFEST):
            return {output}
        try:
            inside = _listed(self._file(output).read_bytes())
        except OSError:
            return {output}
        return {output, *inside} if inside else set()

    def _file(self, of_hash: str) -> Path:
        return Path(self._objects.oid_to_path(of_hash))


@contextmanager
def _reached(remote: str) -> Iterator[None]:
    try:
        yield
    # Of a remote's library, of the network, of DVC: each has exceptions of its own.
    except Exception as error:
        raise UserError(f"remote {remote}: {error}") from None


def _listed(folder: bytes) -> list[str]:
    """Return the hashes of the files in a folder, by the list that DVC keeps of it; a note is none."""
    try:
        return [entry["md5"] for entry in json.loads(folder) if entry.get("relpath") != NOTE]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return {}  # a conflict, or of a version to come: it names no run
    return values if isinstance(values, dict) else {}


def _stages(text: bytes) -> list[dict[str, Any]]:
    stages = _parsed(text).get("stages")
    return (
        [each for each in stages.values() if isinstance(each, dict)]
        if isinstance(stages, dict)
        else []
    )


def _outputs(*stages: dict[str, Any]) -> Run:
    """Return the hash of each file and folder that the stages read and wrote."""
    return {
        each["path"]: each["md5"]
        for stage in stages
        for kind in ("deps", "outs")
        for each in stage.get(kind, [])
        if isinstance(each, dict) and isinstance(each.get("md5"), str) and "path" in each
    }
