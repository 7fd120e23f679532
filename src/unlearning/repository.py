"""What Git and DVC say of a workspace, as text; their complaints as a person's mistake in one line."""

import subprocess
import sys
from pathlib import Path

from unlearning.errors import UserError


def git(root: Path, *command: str) -> str:
    """Return what a git command prints. Raises: UserError with git's first complaint."""
    done = _call(root, "git", *command)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[0]
        raise UserError(f"git {command[0]}: {reason}")
    return done.stdout.strip()


def dvc(root: Path, *command: str) -> str:
    """Return what a DVC command prints. Raises: UserError with its last complaint."""
    done = _call(root, sys.executable, "-m", "dvc", *command)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise UserError(f"dvc {command[0]}: {reason}")
    return done.stdout.strip()


def _call(root: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    # A stranger's file may hold any bytes.
    return subprocess.run(
        command, cwd=root, capture_output=True, encoding="utf-8", errors="replace"
    )
