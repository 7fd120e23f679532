"""What lies in a folder of images is seen however it got there, and only what changed is read again."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_settings import VALID
from test_tree import data_params, touch

from unlearning.base.files import atomic
from unlearning.sources import contents
from unlearning.sources.folder import DRAWING


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a tree of two class folders, one of them a link, whose files were left alone for a while."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contents, "SETTLED", -(10**18))
    touch(tmp_path, "store/a.jpg", "store/deep/b.jpg", "photos/dog/c.jpg", "elsewhere/a.jpg")
    (tmp_path / "photos/cat").symlink_to(tmp_path / "store")
    (tmp_path / "photos/dog/single.jpg").symlink_to(tmp_path / "store/a.jpg")
    return tmp_path / "photos"


def seen(photos: Path) -> object:
    return contents.of(data_params(path=str(photos)))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a picture is added behind a link": lambda root: touch(root, "store/d.jpg"),
    "a picture behind a link is taken away": lambda root: (root / "store/deep/b.jpg").unlink(),
    "a picture behind a link is another": lambda root: (root / "store/deep/b.jpg").write_bytes(
        b"y"
    ),
    "a picture is renamed": lambda root: (root / "store/deep/b.jpg").rename(
        root / "store/deep/e.jpg"
    ),
    "a picture is moved": lambda root: (root / "store/deep/b.jpg").rename(
        root / "photos/dog/b.jpg"
    ),
    "a linked picture is another": lambda root: (root / "store/a.jpg").write_bytes(b"y"),
    "a link is broken": lambda root: (root / "store/a.jpg").unlink(),
    "a pipe is added": lambda root: os.mkfifo(root / "store/pipe"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen_and_undone(photos, change):
    """Must fail if links are not followed, names do not count, or an old hash is taken for a new file's."""
    first = seen(photos)
    copy = shutil.copytree(
        photos.parent, photos.parent.parent / f"{photos.parent.name}-copy", symlinks=True
    )
    CHANGES[change](photos.parent)
    assert seen(photos) != first
    for name in ("store", "photos"):
        shutil.rmtree(photos.parent / name)
        shutil.copytree(copy / name, photos.parent / name, symlinks=True)
    assert seen(photos) == first


def test_a_link_that_leads_elsewhere_is_seen(photos):
    """Must fail if what is remembered of a path outlives what it leads to."""
    first = seen(photos)
    (photos.parent / "elsewhere/a.jpg").write_bytes(b"y")
    (photos / "dog/single.jpg").unlink()
    (photos / "dog/single.jpg").symlink_to(photos.parent / "elsewhere/a.jpg")
    assert seen(photos) != first


def test_other_bytes_under_the_old_size_and_time_are_seen(photos):
    """Must fail if the time that a program can set is all that is looked at."""
    first = seen(photos)
    file = photos / "dog/c.jpg"
    before = file.stat()
    file.write_bytes(b"y")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert seen(photos) != first


def test_times_and_clutter_do_not_count(photos):
    """Must fail if a copy of the folder, or one that a file browser looked at, counts as another."""
    first = seen(photos)
    os.utime(photos / "dog/c.jpg", (1, 1))
    touch(photos, "dog/.DS_Store", "cat/Thumbs.db", "notes.txt")
    assert seen(photos) == first
    assert seen(shutil.copytree(photos, photos.parent / "copy")) == first


def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that grows by each file that is read."""
    read = []
    original = contents._sha256

    def counted(path):
        read.append(path)
        return original(path)

    monkeypatch.setattr(contents, "_sha256", counted)
    return read


def test_only_what_changed_is_read_again(photos, monkeypatch):
    """Must fail if each run reads every picture, or forgets one that it did not have to read."""
    os.mkfifo(photos / "dog/pipe")
    first = seen(photos)
    read = reads(monkeypatch)
    assert seen(photos) == first
    assert read == []
    (photos / "dog/c.jpg").write_bytes(b"y")
    seen(photos)
    assert [path.name for path in read] == ["c.jpg"]
    seen(photos)
    assert len(read) == 1


def test_a_file_that_was_just_written_is_not_remembered(photos, monkeypatch):
    """Must fail if a second change within a tick of the clock can pass unseen."""
    monkeypatch.setattr(contents, "SETTLED", 3 * 10**9)
    seen(photos)
    read = reads(monkeypatch)
    seen(photos)
    assert len(read) == 4


@pytest.mark.parametrize("kept", [False, True])
def test_a_file_that_could_not_be_read_is_read_again(photos, monkeypatch, kept):
    """Must fail if an error of a share or of rights is remembered as what the file holds.

    Or if it is believed where an earlier version has kept it.
    """
    whole = seen(photos)
    remembered = contents.MEMORY.read_text()
    contents.MEMORY.unlink()
    with monkeypatch.context() as while_away:
        while_away.setattr(contents, "sha256", lambda _: (_ for _ in ()).throw(OSError(5, "")))
        assert seen(photos) != whole
    if kept:
        entries = {path: [*entry[:-1], "EIO"] for path, entry in json.loads(remembered).items()}
        contents.MEMORY.write_text(json.dumps(entries))
    assert seen(photos) == whole


@pytest.mark.parametrize("memory", [b"", b"[]", b"{", b"\xff", b'{"a": 1}', b"[1"])
def test_a_damaged_memory_costs_time_alone(photos, memory):
    """Must fail if a file of scratch/ decides over a run."""
    first = seen(photos)
    contents.MEMORY.write_bytes(memory)
    assert seen(photos) == first


def test_two_processes_that_look_at_once_both_end(photos, monkeypatch):
    """Must fail if both write the memory under one temporary name: the second takes the first one's away."""
    look = "contents.digest(['dog/c.jpg'], Path('photos'), contents.MEMORY)"
    words = f"from pathlib import Path; from unlearning.sources import contents; {look}"

    @contextmanager
    def slowly(path: Path, **options: bool) -> Iterator[Path]:
        with atomic(path, **options) as temporary:
            yield temporary
            subprocess.run([sys.executable, "-c", words], check=True)

    monkeypatch.setattr(contents, "atomic", slowly)
    seen(photos)
    assert len(json.loads(contents.MEMORY.read_text())) == 4


def test_what_is_no_file_is_not_opened(photos):
    """Must fail if a pipe, a socket, a device or a ring of links is waited for, or fails."""
    os.mkfifo(photos / "dog/pipe")
    (photos / "dog/zero").symlink_to("/dev/zero")
    (photos / "dog/ring").symlink_to(photos / "dog/ring")
    (photos / "dog/up").symlink_to(photos)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("photos/dog/socket")
        assert (
            contents.of(data_params(path="photos"))["files"] == 2 + 2 + 4 + 2
        )  # `up` leads to cat


def test_a_name_that_is_no_utf_8_counts(photos):
    """Must fail if such a name cannot be hashed, or two of them are one."""
    found = []
    for name in (b"\xff.jpg", b"\xfe.jpg"):
        file = photos / "dog" / os.fsdecode(name)
        file.write_bytes(b"x")
        found.append(seen(photos))
        file.unlink()
    assert found[0] != found[1]


def test_drawn_images_need_no_look(tmp_path, monkeypatch):
    """Must fail if the guard's file changes for images that are drawn."""
    monkeypatch.chdir(tmp_path)
    drawn = data_params(**VALID["data"] | {"source": "synthetic", "path": DRAWING})
    assert contents.of(drawn) == {}
    assert not contents.MEMORY.exists()
