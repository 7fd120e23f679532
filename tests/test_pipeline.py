"""The pipeline's contract: what dvc.yaml declares is what the stages import, read and write."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path, PurePath

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml

from unlearning.base.errors import UserError
from unlearning.settings.data import DataParams
from unlearning.settings.distributed import DistributedParams
from unlearning.settings.forget import ForgetParams
from unlearning.settings.game import GameParams
from unlearning.settings.gate import GateParams
from unlearning.settings.load import load
from unlearning.settings.machine import MachineParams
from unlearning.settings.model import ModelParams
from unlearning.settings.original import OriginalParams
from unlearning.settings.report import ReportParams
from unlearning.settings.retrain import RetrainParams
from unlearning.settings.split import SplitParams
from unlearning.settings.whole import Params, load_params

ROOT = Path(__file__).parent.parent
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = GRAPH["stages"]
SECTIONS = (
    DataParams, DistributedParams, ForgetParams, GameParams, GateParams, MachineParams, ModelParams,
    OriginalParams, ReportParams, RetrainParams, SplitParams,
)  # fmt: skip


def imported_files(path: Path) -> set[Path]:
    """Return the project's files that this file imports itself; all methods, where it loads one by name."""
    names, files = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "methods.load":
            files |= set((ROOT / "src/unlearning/methods").glob("*.py"))
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            stem = ROOT / "src" / Path(*parts[:length])
            files |= {
                file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.exists()
            }
    return files


def test_a_method_is_known_to_be_imported_where_it_is_loaded_by_its_name():
    """Must fail if only import statements count: a room that a method alone imports would be missed in deps."""
    found = import_closure(ROOT / "stages/adversarial_train.py")
    assert {f"src/unlearning/methods/{name}.py" for name in ("adversarial", "article")} <= found


def import_closure(path: Path) -> set[str]:
    """Return everything of the project that is loaded with this file, relative to the root."""
    found: set[Path] = set()
    waiting = {path}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= imported_files(file) - found
    return {file.relative_to(ROOT).as_posix() for file in found}


def rooms(path: Path) -> set[str]:
    """Return the rooms of code that a script imports: folders of the library, files of settings and stages.

    Packages that hold a docstring alone are left out.
    """
    files = import_closure(path) | import_closure(ROOT / "stages/__init__.py")
    found = set()
    for file in files:
        parts = Path(file).parts
        body = ast.parse((ROOT / file).read_text()).body
        in_room = parts[0] == "src" and len(parts) > 3
        if in_room and parts[2] != "settings":
            found.add("/".join(parts[:3]))
        elif len(body) > 1 or not file.endswith("__init__.py"):
            found.add(file)
    if "src/unlearning/settings/whole.py" in found:
        found = {name for name in found if "/settings/" not in name} | {"src/unlearning/settings"}
    return found


def stage_tree(name: str) -> ast.Module:
    return ast.parse((ROOT / "stages" / f"{name}.py").read_text())


def read_params(name: str) -> set[str]:
    """Return the top-level keys of params.yaml that a stage's script reads, by the sections that it loads.

    Of knobs at the top level those alone that it reads, unless it hands them on as a whole.
    """
    tree = stage_tree(name)
    imported = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    keys: set[str] = set()
    for call, target in loads(tree):
        section = getattr(importlib.import_module(imported[call]), call)
        keys |= {section.key} if section.key else read_of(tree, target) or set(section.model_fields)
    return keys


def loads(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the schemas that a script loads, with the name of the variable that holds each, if there is one."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        target = node.targets[0]
        pairs = [(target, node.value)]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(target.elts, node.value.elts, strict=True))
        for variable, value in pairs:
            if is_load(value) and isinstance(variable, ast.Name):
                yield value.args[0].id, variable.id
    assigned = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign)}
    assigned |= {
        id(value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        for value in node.value.elts
    }
    for node in ast.walk(tree):
        if is_load(node) and id(node) not in assigned:
            yield node.args[0].id, ""


def is_load(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load"


def read_of(tree: ast.Module, variable: str) -> set[str]:
    """Return the attributes that a script reads of a variable; none if it hands it on as a whole."""
    nodes = list(ast.walk(tree))
    of = [
        node
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == variable
    ]
    uses = [
        node
        for node in nodes
        if isinstance(node, ast.Name) and node.id == variable and isinstance(node.ctx, ast.Load)
    ]
    return {node.attr for node in of} if len(of) == len(uses) else set()


def outputs(stage: dict) -> list[str]:
    entries = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@pytest.mark.parametrize("name", STAGES)
def test_deps_name_exactly_the_rooms_that_a_stage_imports(name):
    """Must fail if a room is missing from deps (stale results) or stands there for nothing."""
    declared = {dep for dep in STAGES[name]["deps"] if dep.startswith(("src/", "stages/"))}
    assert declared == rooms(ROOT / "stages" / f"{name}.py")


def test_an_edit_of_the_gates_schema_trains_nothing():
    """Must fail if settings become one file, or a stage that trains loads all of params.yaml."""
    stale = {
        name
        for name, stage in STAGES.items()
        if {"src/unlearning/settings", "src/unlearning/settings/gate.py"} & set(stage["deps"])
    }
    assert stale == {"check_request", "report"}


@pytest.mark.parametrize("name", ["evaluate_retain", "evaluate_forget", "audit", "report"])
def test_who_judges_runs_no_network(name):
    """Must fail if a stage after `observe` imports PyTorch: an edit of a word would wait for it."""
    code = f"import sys, stages.{name}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_rooms_import_one_another_in_one_direction():
    """Must fail if two rooms need each other: neither could be read, or tested, alone."""
    graph: dict[str, set[str]] = {}
    for path in (ROOT / "src/unlearning").rglob("*.py"):
        room = path.relative_to(ROOT / "src/unlearning").parts[0]
        others = {
            file.relative_to(ROOT / "src/unlearning").parts[0] for file in imported_files(path)
        }
        graph.setdefault(room, set()).update(others - {room, "__init__.py"})
    TopologicalSorter(graph).prepare()
    assert len(graph) >= 12


@pytest.mark.parametrize("room", sorted((ROOT / "src/unlearning").glob("*/"), key=str))
def test_a_room_says_what_it_holds(room):
    """Must fail if a room has no docstring: a stranger guesses a room from the tree alone."""
    if room.name != "__pycache__":
        assert ast.get_docstring(ast.parse((room / "__init__.py").read_text()))


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


@pytest.mark.parametrize("name", STAGES)
def test_the_docstring_names_no_file_that_the_stage_does_not_have(name):
    """Must fail if a file is renamed and the docstring goes on naming it: no `data/audit_figures.csv`."""
    known = [PurePath(path) for path in (*STAGES[name]["deps"], *outputs(STAGES[name]))]
    text = ast.get_docstring(stage_tree(name)) or ""
    for said in re.findall(r"\b(?:data|metrics|models|plots|report)/[\w*./<>-]*\w", text):
        assert any(
            path.match(said) or path.is_relative_to(said) or PurePath(said).is_relative_to(path)
            for path in known
        ), said


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


@pytest.mark.parametrize("name", ["params.yaml", "dvc.lock", "metrics/audit.json", "plots/x.csv"])
@pytest.mark.parametrize("mark", ["<<<<<<< HEAD", ">>>>>>> theirs"])
def test_make_repro_begins_nothing_where_a_merge_left_both_sides(tmp_path, name, mark):
    """Must fail if a room that Git keeps for a run is not searched: the run would stop in the middle."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in ("params.yaml", "dvc.yaml", "dvc.lock", "metrics/audit.json", "plots/x.csv"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(f"{mark}\n" if file == name else "\n")
    for command in ("git init --quiet", "git add ."):
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    # Without an installation, of which this folder has none.
    begun = subprocess.run(
        ["make", "--old-file=setup", "repro"], cwd=tmp_path, text=True, capture_output=True
    )
    assert begun.returncode and f"{name}:1:{mark}\n" in begun.stdout
    assert "a merge conflict is left there" in begun.stderr


def test_freezing_a_stage_changes_one_line(tmp_path):
    """Must fail if a desc or title is so long that DVC breaks it: `dvc freeze` would rewrite many lines."""
    before = (ROOT / "dvc.yaml").read_text()
    (tmp_path / "dvc.yaml").write_text(before)
    with modify_yaml(tmp_path / "dvc.yaml") as graph:
        graph["stages"]["observe"]["frozen"] = True
    after = (tmp_path / "dvc.yaml").read_text()
    assert after.replace("    frozen: true\n", "") == before


def test_lists_of_dependencies_are_sorted():
    """Must fail if deps stand in another order than DVC and people expect."""
    for name, stage in STAGES.items():
        assert stage["deps"] == sorted(stage["deps"]), name


def test_the_committed_params_are_valid_and_every_key_is_commented():
    """Must fail if params.yaml lacks a key, has one too many, or a value stands without a comment."""
    params = load_params(ROOT / "params.yaml")
    assert isinstance(params, Params)
    said = ""
    for above, line in pairwise((ROOT / "params.yaml").read_text().splitlines()):
        is_below_comment = above.strip().startswith("#")
        if line.strip().startswith("#"):
            said = f"{said}\n{line}" if is_below_comment else line
        key = re.match(r"( *)([a-z_0-9]+): *(.*)$", line)
        if key and key.group(3) and key.group(2) != "seed":
            # Those of lists and mappings stand together, above the first, and name each.
            is_named = f"\n  # {key.group(2)}: " in f"\n{said}"
            assert is_below_comment or is_named, f"{line!r} has no comment above it"


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


def collections() -> Iterator[tuple[str, str]]:
    """Yield each key of params.yaml that holds a list or a mapping, or may, with "array" or "object"."""
    for schema in SECTIONS:
        for name, shape in schema.model_json_schema()["properties"].items():
            for kind in shape.get("anyOf", [shape]):
                if kind.get("type") in ("array", "object"):
                    yield f"{schema.key}.{name}", kind["type"]


COLLECTIONS = dict(collections())


@pytest.mark.parametrize("key", COLLECTIONS)
def test_filling_and_emptying_a_list_or_a_mapping_keeps_every_comment(tmp_path, key):
    """Must fail if a comment stands below one: DVC's YAML library ties it to the last item.

    With that item, from the second change on, the comment is gone.
    """
    changes = {
        "array": (f"{key}=[a]", f"{key}=[b,c]", f"{key}=[]"),
        "object": (f"+{key}.a=b", f"~{key}.a"),
    }
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    before = comments(path)
    for override in changes[COLLECTIONS[key]]:
        apply_overrides(path, [override])
        assert comments(path) == before, override


def comments(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.lstrip().startswith("#")]


@pytest.mark.parametrize("schema", SECTIONS, ids=lambda each: each.__name__)
def test_a_section_alone_is_the_section_of_the_whole(schema):
    """Must fail if a stage is given other values than were checked, or a section stands under another key."""
    path = ROOT / "params.yaml"
    whole = load_params(path)
    part = getattr(whole, schema.key) if schema.key else whole
    for name in schema.model_fields:
        assert getattr(load(schema, path), name) == getattr(part, name)


def test_a_section_is_refused_for_its_own_mistakes_alone(tmp_path):
    """Must fail if a stage that does not read a section ends by its mistake, or a key loses its section."""
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("js_excess: 0.05", "js_exces: 0.05"))
    assert load(OriginalParams, tmp_path / "params.yaml").epochs
    with pytest.raises(
        UserError, match=r"unknown key 'gate\.js_exces', did you mean 'gate\.js_excess'"
    ):
        load(GateParams, tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text(text.replace("gate:", "gates:"))
    with pytest.raises(UserError, match="key 'gate' is missing"):
        load(GateParams, tmp_path / "params.yaml")
