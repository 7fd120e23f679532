"""The pipeline's contract: what dvc.yaml declares is what the stages import, read and write."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from unlearning.settings import GameParams, Params, load_params

ROOT = Path(__file__).parent.parent
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = GRAPH["stages"]


def imported_files(path: Path) -> set[Path]:
    """Return the project's files that this file imports itself."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = set()
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            stem = ROOT / "src" / Path(*parts[:length])
            files |= {
                file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.exists()
            }
    return files


def import_closure(path: Path) -> set[str]:
    """Return everything of the project that is loaded with this file, relative to the root."""
    found: set[Path] = set()
    waiting = {path}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= imported_files(file) - found
    return {file.relative_to(ROOT).as_posix() for file in found}


def stage_tree(name: str) -> ast.Module:
    return ast.parse((ROOT / "stages" / f"{name}.py").read_text())


def read_params(name: str) -> set[str]:
    """Return the top-level keys of params.yaml that a stage's script reads as `params.<key>`."""
    nodes = list(ast.walk(stage_tree(name)))
    attributes = [
        node
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "params"
    ]
    uses = [
        node
        for node in nodes
        if isinstance(node, ast.Name) and node.id == "params" and isinstance(node.ctx, ast.Load)
    ]
    assert len(uses) == len(attributes), f"stages/{name}.py hands on all of params"
    reads = {node.attr for node in attributes}
    return (reads - {"game"}) | (set(GameParams.model_fields) if "game" in reads else set())


def outputs(stage: dict) -> list[str]:
    entries = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@pytest.mark.parametrize("name", STAGES)
def test_deps_name_exactly_the_modules_that_a_stage_imports(name):
    """Must fail if a module is missing from deps (stale results) or stands there for nothing."""
    declared = {dep for dep in STAGES[name]["deps"] if dep.endswith(".py")}
    needed = import_closure(ROOT / "stages" / f"{name}.py") | import_closure(
        ROOT / "stages/__init__.py"
    )
    assert declared == needed


@pytest.mark.parametrize("name", STAGES)
def test_params_name_exactly_the_keys_that_a_stage_reads(name):
    """Must fail if a stage reads a key that dvc.yaml does not list, or the other way round."""
    if name in ("check_request", "report"):
        # One checks all of them, the other shows all of them.
        assert STAGES[name]["params"] == [{"params.yaml": None}]
    else:
        assert set(STAGES[name].get("params", [])) == read_params(name)


@pytest.mark.parametrize("name", STAGES)
def test_the_docstring_names_every_output(name):
    """Must fail if a stage gains an output that its docstring does not name."""
    text = ast.get_docstring(stage_tree(name)) or ""
    for path in outputs(STAGES[name]):
        assert path in text or f"{path}/" in text, path


def test_every_stage_runs_its_own_script_and_every_script_is_a_stage():
    """Must fail if a script is added without a stage, or a command contains shell logic."""
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert scripts == set(STAGES)
    assert all(stage["cmd"] == f"python -m stages.{name}" for name, stage in STAGES.items())


def test_the_guard_runs_every_time_and_every_other_stage_waits_for_it():
    """Must fail if a stage could run on a request, or on images, that the guard did not see."""
    assert [name for name, stage in STAGES.items() if stage.get("always_changed")] == [
        "check_request"
    ]
    guarded = {"check_request"}
    made = set(outputs(STAGES["check_request"]))
    for _ in STAGES:
        for name, stage in STAGES.items():
            if made & set(stage["deps"]):
                guarded.add(name)
                made |= set(outputs(stage))
    assert guarded == set(STAGES)


def test_metrics_and_series_stand_in_git_and_everything_else_in_the_cache():
    """Must fail if a metrics file is cached, or an out is not (that switches the run cache off)."""
    for stage in STAGES.values():
        for entry in [*stage.get("metrics", []), *stage.get("plots", [])]:
            path, settings = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
            assert settings.get("cache", True) == path.endswith(".png"), path
        # A stage that runs every time has no use for the run cache.
        if not stage.get("always_changed"):
            assert all(isinstance(entry, str) for entry in stage.get("outs", []))


def test_lists_of_dependencies_are_sorted():
    """Must fail if deps stand in another order than DVC and people expect."""
    for name, stage in STAGES.items():
        assert stage["deps"] == sorted(stage["deps"]), name


def test_the_committed_params_are_valid_and_every_key_is_commented():
    """Must fail if params.yaml lacks a key, has one too many, or a value stands without a comment."""
    params = load_params(ROOT / "params.yaml")
    assert isinstance(params, Params)
    lines = (ROOT / "params.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        key = re.match(r"( *)([a-z_0-9]+): *(.*)$", line)
        if key and key.group(3) and key.group(2) != "seed":
            assert lines[number - 1].strip().startswith("#"), f"{line!r} has no comment above it"


def test_params_are_plain_scalars_that_dvc_does_not_rewrite():
    """Must fail if params.yaml holds an anchor, an interpolation or a quoted value."""
    body = [line.split(" #")[0] for line in (ROOT / "params.yaml").read_text().splitlines()]
    values = [line for line in body if not line.strip().startswith("#")]
    assert not [line for line in values if re.search(r"\$\{|&|\*|['\"]", line)]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("lr=0.0005", "lr: 0.0005"),
        ("lr=1e-5", "lr: 1e-05"),
        ("original.epochs=30", "  epochs: 30"),
        ("data.source=folder", "  source: folder"),
        ("forget.classes=[cow]", "  - cow"),
        ("gate.cost_ratio=0.25", "  cost_ratio: 0.25"),
        ("gate.js_excess=null", "  js_excess:"),
    ],
)
def test_setting_one_value_changes_one_line(tmp_path, override, line):
    """Must fail if params.yaml is written so that `dvc exp run -S` loses a comment or re-flows it.

    A comment after a block list did get lost: DVC's YAML library ties it to the list's last item.
    """
    before = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(before)
    apply_overrides(tmp_path / "params.yaml", [override])
    after = (tmp_path / "params.yaml").read_text()
    assert set(after.splitlines()) - set(before.splitlines()) == {line}
    assert len(after.splitlines()) == len(before.splitlines())
    load_params(tmp_path / "params.yaml")
