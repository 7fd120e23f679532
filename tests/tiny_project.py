"""This project in a temporary Git clone, with parameters so small that a run takes seconds."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Regular expression in params.yaml: what stands there instead. A network of 2 MB: a run writes six of them.
TINY = {
    "name: resnet18": "name: timm/test_resnet",
    "images_per_class: .*": "images_per_class: 12",
    "image_size: .*": "image_size: 32",
    "(original:(?:\n.*?)*?epochs): .*": r"\1: 1",
    "(?<=\n)epochs: .*": "epochs: 1",
    "  - 3\n  - 4\n": "",
}
# In the repositories that tests make each command of DVC would start a process that reports it to DVC's makers.
os.environ["DVC_NO_ANALYTICS"] = "1"
# The environment's own programs come first on the path.
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
    "PYTHONHASHSEED": "0",
}


def run(clone: Path, *command: str, fails: bool = False) -> str:
    """Return what a command prints."""
    done = subprocess.run(
        command,
        cwd=clone,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert (done.returncode != 0) == fails, f"{command}: {done.returncode}\n{done.stdout}"
    return done.stdout


def stages_run(shown: str) -> set[str]:
    """Return the stages that DVC ran, by what it printed."""
    return set(re.findall(r"^Running stage '(\w+)'", shown, re.MULTILINE))


def change_params(folder: Path, changes: Mapping[str, str]) -> None:
    """Put into its params.yaml what stands there instead of each expression, all of which must match."""
    params = (folder / "params.yaml").read_text()
    for pattern, replacement in changes.items():
        params, count = re.subn(pattern, replacement, params, count=1)
        assert count == 1, pattern
    (folder / "params.yaml").write_text(params)


def make_clone(folder: Path, changes: Mapping[str, str] = TINY) -> Path:
    """Return `folder` as a Git repository with this tree's files and small parameters, nothing run yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (
            (ROOT / name).is_file()
            and name != "dvc.lock"
            and not name.startswith(("metrics/", "plots/"))
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    change_params(folder, changes)
    # plots/.gitignore keeps the pictures out of Git.
    shutil.copytree(
        ROOT / "plots", folder / "plots", ignore=lambda _, names: set(names) - {".gitignore"}
    )
    run(folder, "git", "init", "--quiet", "--initial-branch=main")
    return folder
