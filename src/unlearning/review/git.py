"""What Git and DVC say of a folder that may be a stranger's, as text; their complaints as one line.

Neither may run anything that the folder brings along. Git is asked only for what it keeps (names, ancestors,
contents) and for names of new files, never to look into a file: that would run filters and hooks. Only
`certificate`, made in one's own workspace, also asks for `git status`, which does. DVC runs in a Python that
takes no module from the current folder or the environment, opens no connection and starts no program; in a
copy of a branch it opens no file outside of it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from unlearning.base.errors import UserError
from unlearning.base.files import MOST_BYTES
from unlearning.base.reading import refuse_conflict

# An audit hook hears of each before it happens, whichever library asks. Source: Python's "Audit events table".
GUARDED_DVC = """
import os, sys
FORBIDDEN = (
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
    "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "pty.spawn",
)
FOLDER = os.environ.get("ONLY_FOLDER")
PYTHON = [os.path.realpath(path) for path in sys.path]
def elsewhere(path):
    # A number is a file that is open already. psutil counts the cores in /proc/stat.
    if FOLDER is None or isinstance(path, int) or path in ("/proc/stat", os.devnull):
        return False
    folders = tuple(os.path.join(folder, "") for folder in (FOLDER, *PYTHON))
    return not os.path.join(os.path.realpath(os.fsdecode(path)), "").startswith(folders)
def guard(event, arguments):
    if event in FORBIDDEN or (event == "open" and elsewhere(arguments[0])):
        # An exception would be taken for a file that is missing.
        os.write(2, f"it asks for {event} {str(arguments)[:200]!r}, which is not allowed here".encode())
        os._exit(1)
sys.addaudithook(guard)
from dvc.cli import main
sys.exit(main(sys.argv[1:]))
"""
# Of the repository's own configuration, whatever could start a program or reach another machine.
GIT_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.pager=cat",
    "core.sshCommand=false",
    "credential.helper=",
    "log.showSignature=false",
    "protocol.allow=never",
)
# No fetching of what a partial clone lacks, by any protocol.
GIT_ENVIRONMENT = {
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
}

# What DVC reads of itself, and how it begins to say why it fails.
GRAPH = "dvc.yaml"
OWN_FILES = (GRAPH, "dvc.lock")
MISTAKE = "ERROR: "
# Where DVC, and fsspec for it, look for the configuration of a person and of the machine.
CONFIG_FOLDERS = ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "FSSPEC_CONFIG_DIR")

# The stage that runs every time: DVC alone would call no run finished.
GUARD = "check_request"


def git(root: Path, *command: str) -> str:
    """Return what a git command prints, without the spaces around it.

    Raises: UserError with git's complaint.
    """
    return _git(root, *command).decode("utf-8", "replace").strip()


def committed(root: Path, commit: str, name: str) -> bytes:
    """Return a file of `root` as a commit has it. Raises: UserError if there is none, or a huge one."""
    file = f"{commit}:./{name}"  # without ./ it counts from Git's top, of which root may be a subfolder
    size = int(git(root, "cat-file", "-s", file))
    if size > MOST_BYTES:
        raise UserError(f"{name} of {commit} has {size} bytes")
    return _git(root, "cat-file", "blob", file)


def ever(root: Path) -> set[tuple[str, str]]:
    """Return hash and path, from Git's top, of each file that a branch, tag, experiment or the reflog had."""
    # Not rev-list --objects: it names a content once, by the path that it has last.
    told = _git(
        root, "log", "--all", "--reflog", "--root", "-c", "--raw", "--no-renames", "--no-abbrev", "--format=",
        "-z",
    )  # fmt: skip
    listed = iter(told.decode("utf-8", "surrogateescape").split("\0"))
    found = set()
    for about in listed:
        # A colon for each parent, then modes and hashes: of the parents, and last of the file.
        fields = about.lstrip(":").split()
        if parents := len(about) - len(about.lstrip(":")):
            path, mode, blob = next(listed), fields[parents], fields[2 * parents + 1]
            if mode.startswith("100"):
                found.add((blob, path))
    return found


def blobs(root: Path) -> set[str]:
    """Return the hashes of all files that Git has here, also of what was only staged or is reached no more."""
    told = git(root, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
    return {line.split()[0] for line in told.splitlines() if line.endswith(" blob")}


def contents(root: Path, blobs: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield hash and content of files by their hashes in Git, all from one process.

    Raises: UserError if Git lacks one.
    """
    with tempfile.TemporaryFile() as asked:
        asked.write("".join(f"{blob}\n" for blob in blobs).encode())
        asked.seek(0)
        with subprocess.Popen(
            _git_words("cat-file", "--batch"), cwd=root, env=_environment(**GIT_ENVIRONMENT), stdin=asked,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            answers = process.stdout
            assert answers is not None
            for blob in blobs:
                about = answers.readline().split()  # hash, type, size
                if len(about) != 3:
                    raise UserError(
                        f"git lacks {blob}, as a partial clone does: git fetch --refetch"
                    )
                yield blob, answers.read(int(about[2]))
                answers.read(1)  # the end of its line


def tracked(root: Path, commit: str, *below: str) -> dict[str, str]:
    """Return the hash of each file of a commit by its path in `root`, of those in the folder or named `below`.

    Links and submodules are left out: what they lead to is not in the commit.
    """
    listed = _git(root, "ls-tree", "-r", "-z", commit, "--", *below)
    entries = [
        entry.split("\t", 1)
        for entry in listed.decode("utf-8", "surrogateescape").split("\0")
        if entry
    ]
    return {
        name: about.split()[2]
        for about, name in entries
        if about.startswith(("100644 ", "100755 "))
    }


def listed(root: Path) -> tuple[set[str], set[str]]:
    """Return the paths of the files, links too, that Git tracks, and of the new ones that it would take in.

    Of these not those in new folders at the top, which may hold a person's photographs.
    """
    shown = _git(root, "ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard")
    entries = [
        entry.split(" ", 1)
        for entry in shown.decode("utf-8", "surrogateescape").split("\0")
        if entry
    ]
    known = {name for tag, name in entries if tag != "?"}
    folders = {name.split("/")[0] for name in known}
    new = {name for _, name in entries if "/" not in name or name.split("/")[0] in folders}
    return known, new - known


def refuse_conflicts(root: Path) -> None:
    """Raise UserError with the place of a merge conflict in what DVC reads of itself."""
    for name in OWN_FILES:
        if (root / name).is_file():
            refuse_conflict((root / name).read_text(encoding="utf-8", errors="replace"), name)


def dvc(root: Path, *command: str, only: Path | None = None) -> str:
    """Return what a DVC command prints that neither runs a stage nor needs a remote.

    `only`: the one folder, besides Python's own, whose files it may open: dvc.yaml may name others.
    Raises: UserError with its complaint, or the place of a merge conflict in what it reads of itself.
    """
    refuse_conflicts(root)
    settings = {"DVC_NO_ANALYTICS": "1"}
    if only:
        folder = os.path.realpath(only)
        settings |= dict.fromkeys(("ONLY_FOLDER", *CONFIG_FOLDERS), folder)
    # -I: no module from the current folder, PYTHONPATH or the user's own packages.
    words = [sys.executable, "-I", "-c", GUARDED_DVC, *command]
    told = _call(root, words, f"dvc {command[0]}", settings)
    return told.decode("utf-8", "replace").strip()


def _git(root: Path, *command: str) -> bytes:
    words = _git_words(*command)
    return _call(root, words, f"git {command[0]}", GIT_ENVIRONMENT)


def _git_words(*command: str) -> list[str]:
    return [
        _program("git"), *(word for setting in GIT_SETTINGS for word in ("-c", setting)), *command
    ]  # fmt: skip


def _program(name: str) -> str:
    """Return a program's absolute path. An entry of PATH such as "." would be the stranger's folder."""
    found = shutil.which(name, path=_search_path())
    if found is None:
        raise UserError(f"{name} is not installed, or not on the PATH by an absolute folder")
    return found


def _search_path() -> str:
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if Path(entry).is_absolute())


def _call(root: Path, words: list[str], name: str, settings: dict[str, str]) -> bytes:
    """Return what a program prints that runs in `root`, in `_environment`.

    Raises: UserError with the program's name and its complaint without DVC's warnings before it, but whole: the
    cause, or what to do, may stand in any line.
    """
    done = subprocess.run(
        words, cwd=root, capture_output=True, stdin=subprocess.DEVNULL, env=_environment(**settings)
    )  # fmt: skip
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip() or "it says nothing"
        complaint = " ".join(told[max(told.find(MISTAKE), 0) :].split())
        raise UserError(f"{name}: {complaint}")
    return done.stdout


def _environment(**added: str) -> dict[str, str]:
    """Return this process's environment but for what steers Git, DVC and Python."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "DVC_", "PYTHON"))
    }
    return kept | {"PATH": _search_path()} | added
