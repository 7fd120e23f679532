"""requirements.lock belongs to pyproject.toml: `make setup` installs the one, people edit the other."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tiny_project import ROOT

PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
# "name==version", its hashes, and who asks for it.
ENTRY = re.compile(
    r"^(?P<pin>[\w.\[\]-]+==[^\s;]+)[^\n]*\n(?P<rest>(?:    [^\n]*\n?)+)", re.MULTILINE
)


def faults(project: str, lock: str) -> list[str]:
    """Return what a lock lacks, holds too much, or holds otherwise than pyproject.toml asks."""
    tables = tomllib.loads(project)
    asked = [
        *tables["build-system"]["requires"],
        *tables["project"]["dependencies"],
        *tables["project"]["optional-dependencies"]["dev"],
    ]
    versions, direct, found = {}, set(), []
    for entry in ENTRY.finditer(lock):
        name, version = entry["pin"].split("==")
        name = canonicalize_name(name.partition("[")[0])
        versions[name] = version
        if "unlearning (pyproject.toml)" in entry["rest"]:
            direct.add(name)
        if "--hash=sha256:" not in entry["rest"]:
            found.append(f"{name} has no hash")
    wanted = {canonicalize_name(Requirement(text).name): Requirement(text) for text in asked}
    for name, requirement in wanted.items():
        if not requirement.specifier.contains(versions.get(name, "0")):
            found.append(f"{requirement} is locked as {versions.get(name)}")
    found += [f"nobody asks for {name}" for name in sorted(direct - set(wanted))]
    found += [
        f"an address: {line}" for line in lock.splitlines() if "://" in line or "index" in line
    ]
    return found


def test_the_lock_is_not_older_than_the_dependencies():
    """Must fail if a dependency is added to pyproject.toml, raised or taken out without `make requirements`."""
    assert faults(PROJECT, LOCK) == [], "run `make requirements`"


@pytest.mark.parametrize(
    ("project", "lock", "fault"),
    [
        (PROJECT.replace('"tqdm==', '"tqdm==9'), LOCK, "tqdm==9"),
        (PROJECT.replace('"tqdm==', '"unheard-of==1", "tqdm=='), LOCK, "unheard-of==1"),
        (re.sub(r'\n    "tqdm==.*', "", PROJECT), LOCK, "nobody asks for tqdm"),
        (PROJECT, re.sub(r"(\ntqdm==\S+ )(.*\n    --hash.*)+", r"\1", LOCK), "tqdm has no hash"),
        (PROJECT, f"--extra-index-url https://packages.example/simple\n{LOCK}", "an address"),
    ],
    ids=["raised", "added", "taken out", "without hash", "address of an index"],
)
def test_a_lock_that_does_not_belong_to_the_project_is_found_out(project, lock, fault):
    """Must fail if any of the rules above is dropped."""
    assert any(each.startswith(fault) for each in faults(project, lock))


def imported(*folders: str) -> set[str]:
    """Return the distributions whose packages the Python files of these folders import."""
    names: set[str] = set()
    for folder in folders:
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    names.add(node.module or "")
    owners = packages_distributions()
    packages = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
    # What no distribution brings are the project's own scripts and tests.
    return {canonicalize_name(owner) for name in packages for owner in owners.get(name, [])}


@pytest.mark.parametrize("folders", [("src", "stages", "benchmark"), ("tests",)])
def test_what_is_imported_is_asked_for(folders):
    """Must fail if a package that comes only with another is imported: the other may drop it, or change it."""
    project = tomllib.loads(PROJECT)["project"]
    asked = [*project["dependencies"], project["name"]]
    for extra, requirements in project["optional-dependencies"].items():
        asked += requirements if extra != "dev" or folders == ("tests",) else []
    assert (
        imported(*folders) - {canonicalize_name(Requirement(text).name) for text in asked} == set()
    )
