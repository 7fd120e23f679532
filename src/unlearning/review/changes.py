"""The difference between the workspace and the commit where its branch left the base."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearning import gate
from unlearning.errors import UserError
from unlearning.files import MOST_BYTES, parse_json
from unlearning.repository import dvc, git
from unlearning.settings import GateParams, load_params

# By name: a file or parameter, then a key. A side that has no such value holds None.
Pair = tuple[Any, Any]
Changed = dict[str, Pair]
GATED = ("adversarial_train", "audit", "evaluate_forget", "evaluate_retain")
RUNS = re.compile(r"^Running stage '(.*)':", re.MULTILINE)
IN_SYNC = "Data and pipelines are up to date."


@dataclass(frozen=True)
class Gate:
    """The checks of the workspace, and the names of the limits that were broken before it.

    `loosened`: limits that the branch itself changed and that its figures would break as they were.
    """

    checks: list[gate.Check]
    broken_on_base: set[str]
    loosened: list[str]


@dataclass(frozen=True)
class Changes:
    """All that a review shows. Where something could not be found out, the reason stands in its place."""

    base: str
    head: str
    params: Changed
    metrics: dict[str, Changed]
    stages_to_run: list[str] | UserError
    gate: Gate | UserError

    @property
    def in_sync(self) -> bool:
        """Return whether dvc.lock, parameters, code and metrics belong together."""
        return self.stages_to_run == []

    @property
    def passed(self) -> bool:
        """Return whether the branch may be merged as far as lock and limits can tell."""
        return self.in_sync and isinstance(self.gate, Gate) and not gate.broken(self.gate.checks)


def find(root: Path, base: str) -> Changes:
    """Return what the workspace changes since its branch left `base`, uncommitted changes included.

    Raises: UserError if there is no such base, or no history in common with it.
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
    params = _pairs(_difference(root, "params", "diff", "--json", commit))
    metrics = _pairs(_difference(root, "metrics", "diff", "--all", "--json", commit))
    limits_changed = params.get("params.yaml", {})
    return Changes(
        base=git(root, "rev-parse", "--short", commit),
        head=_described(root),
        params={key: pair for file in params.values() for key, pair in file.items()},
        metrics=metrics,
        stages_to_run=_attempt(lambda: _stages_to_run(root)),
        gate=_attempt(lambda: _gate(root, commit, limits_changed)),
    )


def _attempt(question: Any) -> Any:
    try:
        return question()
    except UserError as error:
        return error


def _difference(root: Path, *command: str) -> Any:
    try:
        return parse_json(dvc(root, *command) or "{}")
    except (ValueError, RecursionError) as error:
        raise UserError(f"dvc {command[0]} diff: {error}") from None


def _pairs(diff: dict[str, Any]) -> dict[str, Changed]:
    """Return DVC's differences by file and key, sorted: its own order changes from run to run."""
    return {
        file: {key: (each.get("old"), each.get("new")) for key, each in sorted(keys.items())}
        for file, keys in sorted(diff.items())
    }


def _described(root: Path) -> str:
    commit = git(root, "rev-parse", "--short", "HEAD")
    changed = git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit} with uncommitted changes" if changed else commit


def _stages_to_run(root: Path) -> list[str]:
    """Return the stages whose code, parameters, metrics or series are not those of dvc.lock."""
    said = dvc(root, "repro", "--allow-missing", "--dry")
    stages = RUNS.findall(said)
    if not stages and IN_SYNC not in said:
        raise UserError("dvc repro --dry says neither that a stage would run nor that none would")
    return stages


def _gate(root: Path, commit: str, params: Changed) -> Gate:
    limits = load_params(root / "params.yaml").gate
    checks = gate.check(root / "metrics", limits)
    previous = {
        key.removeprefix("gate."): old
        for key, (old, _) in params.items()
        if key.startswith("gate.")
    }
    try:
        before = GateParams.model_validate(limits.model_dump() | previous)
    except ValueError:  # the base knows other limits
        before = limits
    return Gate(
        checks,
        _broken(_base_checks(root, commit, before)),
        sorted(_broken(gate.check(root / "metrics", before)) - _broken(checks)),
    )


def _base_checks(root: Path, commit: str, limits: GateParams) -> list[gate.Check]:
    """Return the checks of the base's metrics, or none if it has no such files."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name in GATED:
                text = committed(root, commit, f"metrics/{name}.json")
                (Path(folder) / f"{name}.json").write_text(text, encoding="utf-8")
            return gate.check(Path(folder), limits)
        except UserError:
            return []


def committed(root: Path, commit: str, name: str) -> str:
    """Return a file as a commit has it. Raises: UserError if there is none, or a huge one."""
    size = git(root, "cat-file", "-s", f"{commit}:{name}")
    if int(size) > MOST_BYTES:
        raise UserError(f"{name} of {commit} has {size} bytes")
    return git(root, "show", f"{commit}:{name}")


def _broken(checks: list[gate.Check]) -> set[str]:
    return {each.limit_name for each in checks if each.outcome == "broken"}
