"""What pip installs from this folder is the whole library."""

import shutil
from pathlib import Path

from setuptools import Distribution
from tiny_project import ROOT


def test_an_installed_copy_has_every_file_of_the_library(tmp_path, monkeypatch):
    """Must fail if a template, a stylesheet or the measured error rates stay behind: nothing works without."""
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    library = shutil.copytree(
        ROOT / "src/unlearning",
        tmp_path / "src/unlearning",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    monkeypatch.chdir(tmp_path)
    distribution = Distribution({"script_name": "setup.py"})
    distribution.parse_config_files()
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    installed = {Path(path).relative_to("build/lib") for path in build.get_outputs(False)}
    there = {path.relative_to(library.parent) for path in library.rglob("*") if path.is_file()}
    assert installed == there
