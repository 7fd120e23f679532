"""The places that hold images of a request, or what follows from them: found, and cleared where that may be.

Cleared is what the pipeline made, and of remotes those that a person names. The source folder, Git's history,
other clones, backups and models that were handed out are a person's: they are named, and what to do.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import yaml

from unlearning.base.errors import UserError, choices
from unlearning.base.files import NOTE, leftovers, read_metrics
from unlearning.base.reading import lies_in
from unlearning.base.shards import Shards
from unlearning.base.stage import SCRATCH, alone
from unlearning.base.written import BESIDE
from unlearning.data import request
from unlearning.erase.cached import HOLDERS, Cache, Held, Store, require_one_run
from unlearning.erase.wanted import REQUEST, RETAIN, SAMPLES, Wanted, of_workspace, tables
from unlearning.review import git
from unlearning.review.columns import aligned
from unlearning.settings.data import DataParams
from unlearning.settings.load import PARAMS_FILE, load
from unlearning.settings.model import ModelParams
from unlearning.settings.retrain import RetrainParams
from unlearning.sources import library, listing

PACKED, DRAWN = "data/images", "data/animals"
LEDGER = "requests"
WEIGHTS = "data/weights.json"
PICTURES = (
    ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".html", ".npy"
)  # fmt: skip
# Of a stage, and of an experiment's (`resume.LOCK`, which to import would take PyTorch): none is removed.
LOCK_FILE, LOCK = ".lock", "lock"
# Of copies that are kept: unlearned and retrained models saw them, and are what is certified.
WITHDRAW = (
    "set forget.equal_pixels to withdraw, or ask for them by forget.files, and run `dvc repro`"
)


class Holds(StrEnum):
    """What a place has of the images."""

    PICTURES = "pictures"
    MADE_OF_THEM = "what networks made of them"
    MODELS = "models that saw them"
    HASHES = "names and hashes"
    ANY = "any of these"


@dataclass(frozen=True)
class Place:
    """`find` counts what it has, None where nobody can tell; `clear` removes that, or `todo` is a person's."""

    name: str
    holds: Holds
    find: Callable[[], int | None]
    clear: Callable[[], None] | None = None
    todo: str = ""


@dataclass(frozen=True)
class Found:
    """What a place had, and what is left in it; None where nobody can tell."""

    place: Place
    found: int | None
    left: int | None


def visit(
    root: Path, *, clear: bool = False, remotes: Collection[str] = (), ask_remotes: bool = True
) -> list[Found]:
    """Return what each place has, and after clearing, if `clear`, what is left.

    `remotes`: which may be cleared too. Without `ask_remotes` no connection is opened, and nobody can tell.
    Raises: UserError if no request was met in `root`, its run is not finished, a merge of it is not, it is no
    DVC repository or has no such remote; if it is to be cleared, also as `undisturbed`.
    """
    git.refuse_conflicts(root)
    with undisturbed(root, remotes) if clear else nullcontext():
        require_one_run(root, _stages(root))
        found = [(place, place.find()) for place in _places(root, remotes, ask_remotes)]
        if not clear:
            return [Found(place, count, count) for place, count in found]
        for place, count in found:
            if place.clear and count:
                place.clear()
        return [
            Found(place, count, place.find() if place.clear else count) for place, count in found
        ]


@contextmanager
def undisturbed(root: Path, remotes: Collection[str]) -> Iterator[None]:
    """Keep every stage out while the block runs, those of experiments too that keep their states here.

    Raises: UserError if one runs, there is no such remote, or the run keeps images of the request: the
    model that is certified was trained on them. Or if photographs or given weights stand where all is removed.
    """
    wanted = of_workspace(root)
    Cache(root).require(remotes)
    samples, split = tables(root)
    _require_apart(root, samples["path"])
    if RETAIN in wanted.roles(samples, split):
        raise UserError(f"images to keep show images of the request (data/copies.csv): {WITHDRAW}")
    with ExitStack() as locks:
        for name in _stages(root):
            locks.enter_context(alone(name, root / SCRATCH / f"{name}{LOCK_FILE}"))
        # An experiment runs in a copy of the project, and keeps its states here.
        for lock in sorted((root / SCRATCH).glob(f"*/{LOCK}")):
            stage = lock.parent.name.rpartition("-")[0]
            locks.enter_context(alone(f"an experiment's {stage}", lock))
        yield


def _stages(root: Path) -> list[str]:
    return list(yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"])


def _require_apart(root: Path, paths: Iterable[str]) -> None:
    """Refuse where what a person gave, which is never removed, stands in a folder that is removed whole."""
    file = root / PARAMS_FILE
    data, model, retrain = (
        load(DataParams, file),
        load(ModelParams, file),
        load(RetrainParams, file),
    )
    given: list[tuple[str, str | None]] = [
        ("data.path", data.path),
        ("model.weights", model.weights),
        ("model.start", model.start),
        *[("retrain.weights", weights) for weights in retrain.weights],
    ]
    if data.source == "table":
        below = Path(data.path).parent
        given += [("data.path", str(below / path)) for path in paths]
    for name in BESIDE:
        removed = (root / name).resolve()
        for key, path in given:
            if path and lies_in(root / path, removed):
                raise UserError(
                    f"params.yaml: {key} leads to {path!r}, but all in {name} is removed: move it away first"
                )


def erased(root: Path) -> set[str]:
    """Return the outputs of the run in `root` that hold nothing of the images any more, or never did."""
    wanted = of_workspace(root)
    return {
        place.name for place in _of_workspace(root, wanted) if place.clear and place.find() == 0
    }


def table(visited: Sequence[Found], *, cleared: bool) -> list[str]:
    """Return a line per place that has anything or of which nobody knows, and what is to be done about it."""
    rows = [("place", "holds", "found", "left" if cleared else "", "")]
    for each in visited:
        if each.found == 0:
            continue
        todo = "" if each.left == 0 else each.place.todo or "--yes removes it"
        found, left = ("?" if count is None else str(count) for count in (each.found, each.left))
        rows.append((each.place.name, each.place.holds, found, left if cleared else "", todo))
    return ["  ".join(row).rstrip() for row in aligned(rows)]


def _places(root: Path, remotes: Collection[str], ask_remotes: bool) -> list[Place]:
    wanted, cache = of_workspace(root), Cache(root)
    cache.require(remotes)
    # Before anything is removed that says so.
    refused = {
        name: cache.refusal(name) if ask_remotes else "it was not asked" for name in cache.remotes
    }
    asked = [name for name in refused if not refused[name]]
    held = cache.held(wanted, asked)
    models = [path.relative_to(root).as_posix() for path in earlier_models(root)]
    added = cache.added(wanted.files | _given(root), models, asked)
    return [
        *_of_workspace(root, wanted),
        *_of_cache(cache, Held(held.sure | added, held.unsure), remotes, refused),
        *_of_git(root, wanted),
        *_of_people(root, wanted),
    ]


def _of_workspace(root: Path, wanted: Wanted) -> list[Place]:
    samples, split = tables(root)
    rows, roles = wanted.rows(samples), wanted.roles(samples, split)
    drawn = _drawn(root, samples["path"][rows])

    def packed() -> int:
        if not (root / PACKED).is_dir():
            return 0
        images = Shards(root / PACKED)
        return sum(bool(images[row].any()) for row in np.flatnonzero(rows))

    def made(path: Path, todo: str = "") -> Place:
        name = path.relative_to(root).as_posix()
        holds = Holds.MODELS if name.startswith(("models/", LEDGER)) else Holds.MADE_OF_THEM
        if name.endswith(PICTURES):
            holds = Holds.PICTURES
        if path.is_symlink() and path.is_dir():
            todo = todo or "yours: it is a link to a folder, and none is followed"
        clear = None if todo else lambda: _remove(path)
        return Place(name, holds, lambda: len(_files(path)), clear, todo)

    def killed() -> list[Path]:
        written = [*(root / path for path in HOLDERS), *earlier_models(root)]
        return [part for path in written for part in leftovers(path)]

    def clear_killed() -> None:
        for part in killed():
            _remove(part)

    outputs = [
        made(root / path, WITHDRAW if of_roles == {RETAIN} else "")
        for path, of_roles in HOLDERS.items()
        if roles & of_roles and path not in (PACKED, DRAWN)
    ]
    return [
        Place(
            PACKED,
            Holds.PICTURES,
            packed,
            lambda: Shards(root / PACKED).blank(np.flatnonzero(rows)),
        ),
        Place(DRAWN, Holds.PICTURES, lambda: len(_existing(drawn)), lambda: _unlink(drawn)),
        *outputs,
        Place(
            "what killed runs left (.*.part)",
            Holds.ANY,
            lambda: sum(len(_files(part)) for part in killed()),
            clear_killed,
        ),
        *[made(root / name) for name in BESIDE],
        *[made(path) for path in earlier_models(root)],
        *[_pointer(root, path) for path in earlier_models(root)],
        Place(
            f"{SAMPLES}, split.csv, copies.csv, request.json, report/model_card.md, list of forget.files",
            Holds.HASHES,
            lambda: int(rows.sum()),
            todo="kept: by them a certificate is checked; they hold no picture, but names. The list is "
            "yours; so is the model card, which goes along with the model and says what was asked for: read it",
        ),
    ]


def _pointer(root: Path, model: Path) -> Place:
    """Return what `dvc add` wrote beside a model of the ledger: without the model `dvc pull` stops at it."""
    file = model.with_name(f"{model.name}.dvc")
    name = file.relative_to(root).as_posix()
    return Place(
        name,
        Holds.HASHES,
        lambda: int(file.exists()),
        todo=f"once the model is gone: dvc remove {name}, and commit, so that dvc pull works in clones",
    )


def _drawn(root: Path, names: Iterable[str]) -> list[Path]:
    """Return the files of drawn animals. Of a source of your own a name may lead to your own photographs."""
    if load(DataParams, root / PARAMS_FILE).source != "synthetic":
        return []
    folder = (root / DRAWN).resolve()
    files = [folder / name for name in names]
    return [file for file in files if file.parent.resolve().is_relative_to(folder)]


def _of_cache(
    cache: Cache, held: Held, remotes: Collection[str], refused: dict[str, str]
) -> Iterator[Place]:
    """Yield cache, remotes and run caches. `refused`: why each remote cannot be asked, empty if it can."""
    shared = (
        ""
        if cache.is_own
        else f"others may share {cache.path.resolve()}: dvc gc --projects, with all that use it"
    )
    own = cache.store()
    stores = {name: None if reason else cache.store(name) for name, reason in refused.items()}

    def place(name: str, holds: Holds, store: Store | None, todo: str, *, may_go: bool) -> Place:
        of_runs = holds == Holds.HASHES
        find = Store.entries if of_runs else Store.present
        clear = clear_entries if of_runs else Store.remove
        return Place(
            name,
            holds,
            lambda: len(find(store, held.sure)) if store else None,
            (lambda: clear(store, held.sure)) if store and may_go else None,
            todo,
        )

    def clear_entries(store: Store, hashes: set[str]) -> None:
        if not any(cache.store(name).present(hashes) for name in remotes):
            store.remove_entries(hashes)

    yield place("DVC cache", Holds.ANY, own, shared, may_go=not shared)
    for name, reason in refused.items():
        todo = f"--yes --remote {name} removes them there, for everybody who pulls from it"
        of_remote = f"DVC remote {name}"
        yield place(of_remote, Holds.ANY, stores[name], reason or todo, may_go=name in remotes)
    asked = [store for store in stores.values() if store]
    undecided = set().union(*(store.present(held.unsure) for store in (own, *asked)))
    # Of a remote that was not asked nobody knows which of them it has.
    unsure = None if held.unsure and len(asked) < len(refused) else len(undecided)
    yield Place(
        "runs whose tables are gone",
        Holds.ANY,
        lambda: unsure,
        todo="yours to decide: only data/samples.csv and split.csv say what they had. dvc fetch --all-commits "
        "brings them from a remote, --remote reads them there; else dvc gc, without these runs",
    )
    # Last: by it runs are known that no commit has.
    others = sorted(set(cache.remotes) - set(remotes))
    kept = ""
    if unsure != 0:
        kept = "kept: some runs that it tells of are yours to decide"
    if others:
        kept = f"kept, to search {choices(others)} by; goes when these are cleared too"

    for name, reason in refused.items():
        of_remote = f"DVC run cache of remote {name}"
        yield place(of_remote, Holds.HASHES, stores[name], reason or kept, may_go=not kept)
    kept = kept or shared
    yield place("DVC run cache", Holds.HASHES, own, kept, may_go=not kept)


def _of_git(root: Path, wanted: Wanted) -> list[Place]:
    files = git.ever(root)
    # Both: a partial clone, which lacks some of the first, must not pass for a whole one.
    contents = git.contents(root, {blob for blob, _ in files} | git.blobs(root))
    themselves = {
        blob for blob, content in contents if hashlib.sha256(content).hexdigest() in wanted.files
    }
    others = {blob for blob, path in files if path.lower().endswith(PICTURES)} - themselves
    is_whole = git.git(root, "rev-parse", "--is-shallow-repository") == "false"
    fetch = "" if is_whole else "git fetch --unshallow, for nobody sees the older commits here; "
    return [
        Place(
            "Git, files of the request",
            Holds.PICTURES,
            lambda: len(themselves) if is_whole else None,
            todo=f"{fetch}git filter-repo, then a new clone everywhere; a server may keep the old commits",
        ),
        Place(
            "Git, other pictures and pages",
            Holds.PICTURES,
            lambda: len(others) if is_whole else None,
            todo=f"{fetch}look at them: git log --all --stat -- docs plots report",
        ),
    ]


def _of_people(root: Path, wanted: Wanted) -> list[Place]:
    data, model = load(DataParams, root / PARAMS_FILE), load(ModelParams, root / PARAMS_FILE)
    experiments = root / ".dvc/tmp/exps"
    found = [
        Place(
            "source of the images",
            Holds.PICTURES,
            lambda: _in_source(root, wanted, data),
            todo="delete them in data.path, or the next run packs them again; and where they were copied from",
        ),
        Place(
            "workspaces of experiments",
            Holds.ANY,
            lambda: len(list(experiments.rglob("dvc.yaml"))),
            todo="dvc queue stop, dvc queue remove --all, then delete .dvc/tmp/exps",
        ),
    ]
    if model.weights and not model.weights.startswith(f"{LEDGER}/"):
        own = root / model.weights
        found.append(
            Place(
                "model.weights",
                Holds.MODELS,
                lambda: int(own.exists()),
                todo="withdraw it, after `next`, which reads names in it: others can compare both models",
            )
        )
    return [
        *found,
        Place(
            "clones, backups, models handed out",
            Holds.ANY,
            lambda: None,
            todo="nobody looked there; withdraw the original: beside the unlearned model it shows what is gone",
        ),
    ]


def _in_source(root: Path, wanted: Wanted, params: DataParams) -> int | None:
    """Return how many files of the request the source still has; of a packed data set all or none.

    None where `data.path` cannot be reached: it may be deleted, or on a disk that is not there just now.
    """
    if params.source == "synthetic":
        return 0
    data = params.model_copy(update={"path": str(root / params.path)})
    samples, _ = tables(root)
    paths = samples["path"][wanted.rows(samples)]
    try:
        folder = listing.root_of(data)
    except UserError:
        return None
    if not folder.is_dir():
        return None
    if data.source in library.SETS:
        return len(paths) if any(True for _ in library.files(data)) else 0
    return len(_existing([folder / path for path in paths]))


def _given(root: Path) -> set[str]:
    """Return the SHA-256 of the weights that the last run began with; none if it trained its original."""
    file = root / WEIGHTS
    return set(read_metrics(file).get("model.weights", [])) if file.is_file() else set()


def earlier_models(root: Path) -> list[Path]:
    """Return the models of the ledger that saw images of the last request: what earlier ones had left."""
    number = len(request.read(root / REQUEST).earlier)
    return [root / LEDGER / f"{each:03}.safetensors" for each in range(1, number + 1)]


def _existing(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if os.path.lexists(path)]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(
            file
            for file in path.rglob("*")
            if (file.is_file() or file.is_symlink())
            and file.suffix != LOCK_FILE
            and file.name not in (LOCK, NOTE)
        )
    return _existing([path])


def _unlink(paths: Sequence[Path]) -> None:
    for path in _existing(paths):
        path.unlink()


def _remove(path: Path) -> None:
    """Remove a file, or a folder as far as nothing else is in it."""
    _unlink(_files(path))
    for folder in sorted({path, *path.rglob("*")}, reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
