"""A tree of images is listed completely, in one order, and a wrong one is refused in one line."""

import os
from pathlib import Path

import pytest
from test_settings import VALID

from unlearning.base.errors import UserError
from unlearning.settings.data import DataParams
from unlearning.sources import listing
from unlearning.sources.folder import DRAWING, Listed, list_images, remarks, root_of
from unlearning.sources.listing import counts


def images_by_class(params: DataParams) -> dict[str, int]:
    return {
        name: sum(given.values()) for name, given in counts(listing.list_images(params)).items()
    }


def data_params(**changes: object) -> DataParams:
    return DataParams(**{**VALID["data"], **changes})


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def refusal(root: Path, **changes: object) -> str:
    with pytest.raises(UserError) as caught:
        list_images(data_params(**changes), root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_file_below_a_class_folder_is_listed_in_order(tmp_path):
    """Must fail if nested folders or odd suffixes are left out, or the order is the disk's."""
    touch(tmp_path, "dog/b.jpg", "dog/a.PNG", "cat/z/deep/er.jpeg", "cat/notes.txt", "readme.md")
    assert list_images(data_params(), tmp_path) == [
        Listed("cat/notes.txt", "cat"),
        Listed("cat/z/deep/er.jpeg", "cat"),
        Listed("dog/a.PNG", "dog"),
        Listed("dog/b.jpg", "dog"),
    ]


def test_hidden_files_and_clutter_are_left_out(tmp_path):
    """Must fail if a file that a file browser left behind counts as an image or a class."""
    touch(tmp_path, "cat/a.jpg", "dog/a.jpg")
    touch(tmp_path, ".git/x", "__MACOSX/x", "cat/.DS_Store", "cat/Thumbs.db", "dog/._a.jpg")
    touch(tmp_path, "dog/.cache/x.jpg", "dog/desktop.ini", "dog/__pycache__/x.pyc")
    listed = list_images(data_params(), tmp_path)
    assert [image.path for image in listed] == ["cat/a.jpg", "dog/a.jpg"]


def test_classes_select_rename_and_merge_folders(tmp_path):
    """Must fail if a folder that is not named stays, or a class name is the folder's."""
    touch(tmp_path, "cane/1.jpg", "elefante/1.jpg", "gatto/1.jpg", "tigre/1.jpg")
    classes = {"cane": "dog", "tigre": "cat", "gatto": "cat"}
    assert list_images(data_params(classes=classes), tmp_path) == [
        Listed("gatto/1.jpg", "cat"),
        Listed("tigre/1.jpg", "cat"),
        Listed("cane/1.jpg", "dog"),
    ]


def test_linked_folders_are_followed_and_a_ring_ends(tmp_path):
    """Must fail if links are not followed, or a link to a parent is followed for ever."""
    touch(tmp_path, "store/1.jpg", "photos/cat/2.jpg", "photos/dog/3.jpg")
    (tmp_path / "photos/cat/more").symlink_to(tmp_path / "store")
    (tmp_path / "photos/dog/ring").symlink_to(tmp_path / "photos/dog")
    listed = list_images(data_params(), tmp_path / "photos")
    assert [image.path for image in listed] == ["cat/2.jpg", "cat/more/1.jpg", "dog/3.jpg"]


def test_what_is_no_file_is_listed_to_be_named_later(tmp_path):
    """Must fail if a pipe or a dead link vanishes unnamed."""
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg")
    os.mkfifo(tmp_path / "cat/pipe.jpg")
    (tmp_path / "dog/dead.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "dog/self.jpg").symlink_to(tmp_path / "dog/self.jpg")
    listed = list_images(data_params(), tmp_path)
    assert [image.path for image in listed] == [
        "cat/1.jpg", "cat/pipe.jpg", "dog/1.jpg", "dog/dead.jpg", "dog/self.jpg"
    ]  # fmt: skip


SYSTEMS = [
    "$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "System Volume Information", "FOUND.000",
    "__MACOSX", ".Trashes", ".Spotlight-V100", ".fseventsd", ".TemporaryItems", "Network Trash Folder",
    "Temporary Items", "lost+found", "@eaDir", "#recycle", "#snapshot", "@Recycle",
    "@Recently-Snapshot", ".ipynb_checkpoints", "__pycache__",
]  # fmt: skip


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_folder_that_a_system_left_is_no_class_unless_it_is_named(tmp_path, name):
    """Must fail if the name leaves the list of clutter, if that is not said, or data.classes cannot take it."""
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / name).mkdir()
    params = data_params(path=str(tmp_path))
    assert {image.class_name for image in list_images(params, tmp_path)} == {"cat", "dog"}
    (said,) = remarks(params)
    assert f"as hidden or a system's own: {name} (to take" in said

    touch(tmp_path, f"{name}/1.jpg")
    named = data_params(path=str(tmp_path), classes={"cat": "cat", name: "junk"})
    assert {image.class_name for image in list_images(named, tmp_path)} == {"cat", "junk"}
    assert remarks(named) == []


def test_files_that_a_system_left_are_no_images(tmp_path):
    """Must fail if a name leaves the list."""
    touch(
        tmp_path, "cat/1.jpg", "dog/1.jpg", "cat/ehthumbs.db", "cat/ehthumbs_vista.db", "cat/Icon\r"
    )
    touch(tmp_path, "dog/Desktop.ini", "dog/._1.jpg", "dog/.DS_Store", "dog/THUMBS.DB")
    listed = list_images(data_params(), tmp_path)
    assert [image.path for image in listed] == ["cat/1.jpg", "dog/1.jpg"]


NFC, NFD = "\xe9l\xe9phant", "e\u0301le\u0301phant"


def test_class_names_are_composed_and_paths_are_as_on_the_disk(tmp_path):
    """Must fail if a class keeps the disk's Unicode form, or a path loses it and is not found any more."""
    touch(tmp_path, f"{NFD}/{NFD}.jpg", "dog/1.jpg")
    by_itself = list_images(data_params(), tmp_path)
    assert by_itself[-1] == Listed(f"{NFD}/{NFD}.jpg", NFC)
    for key in (NFC, NFD):
        params = data_params(classes={key: NFD, "dog": "dog"})
        assert list_images(params, tmp_path)[-1] == Listed(f"{NFD}/{NFD}.jpg", NFC)


def test_two_folders_of_one_name_are_refused_and_told_apart(tmp_path):
    """Must fail if one of them is passed over, or if both are shown alike."""
    touch(tmp_path, f"{NFC}/1.jpg", f"{NFD}/1.jpg", "cat/1.jpg", "dog/1.jpg")
    said = refusal(tmp_path)
    assert r"'e\u0301le\u0301phant' and '\xe9l\xe9phant' have one name, 'éléphant'" in said
    chosen = list_images(data_params(classes={"cat": "cat", "dog": "dog"}), tmp_path)
    assert len(chosen) == 2


def test_a_data_path_is_found_in_either_unicode_form(tmp_path):
    """Must fail if what a person types must have the disk's form."""
    touch(tmp_path, f"{NFD}/photos/cat/1.jpg", f"{NFD}/photos/dog/1.jpg")
    params = data_params(path=str(tmp_path / NFC / "photos"))
    assert images_by_class(params) == {"cat": 1, "dog": 1}
    assert root_of(params) == tmp_path / NFD / "photos"


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    """Must fail if os.walk's silence about such a folder is kept."""
    touch(tmp_path, "cat/1.jpg", "cat/private/2.jpg", "dog/1.jpg")
    scandir = os.scandir

    def locked(path):
        if Path(path).name == "private":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    assert "private' cannot be read: Permission denied" in refusal(tmp_path)


def test_a_root_that_is_no_folder_is_refused(tmp_path):
    """Must fail if a missing folder or a file is listed as an empty tree."""
    touch(tmp_path, "file")
    assert refusal(tmp_path / "photos") == (
        "params.yaml: data.path is 'photos', but there is no such folder: "
        "give the folder that holds one folder per class"
    )
    assert "but that is a file" in refusal(tmp_path / "file")


def test_a_tree_without_classes_or_files_is_refused(tmp_path):
    """Must fail if images beside the class folders, or empty folders, pass for a data set."""
    assert "it holds no folder" in refusal(tmp_path)
    touch(tmp_path, "1.jpg")
    assert "it holds no folder" in refusal(tmp_path)
    touch(tmp_path, "cat/1.jpg")
    (tmp_path / "dog/inner").mkdir(parents=True)
    assert "its folder 'dog' holds no file" in refusal(tmp_path)


def test_one_class_is_refused(tmp_path):
    """Must fail if one class passes, whether it is the only folder, selected alone or merged."""
    touch(tmp_path, "cat/1.jpg")
    assert "leave one class, 'cat'" in refusal(tmp_path)
    touch(tmp_path, "dog/1.jpg")
    assert "leave one class, 'Hund'" in refusal(tmp_path, classes={"dog": "Hund"})
    assert "leave one class, 'pet'" in refusal(tmp_path, classes={"dog": "pet", "cat": "pet"})


def test_a_class_that_is_no_folder_is_refused_with_the_nearest(tmp_path):
    """Must fail if a misspelt folder is passed over, or the folders there are stay unnamed."""
    touch(tmp_path, "elefante/1.jpg", "gatto/1.jpg")
    message = refusal(tmp_path, classes={"elefant": "elephant", "gatto": "cat"})
    assert message == (
        "params.yaml: data.classes names the folder 'elefant', but the folders are "
        "elefante, gatto, did you mean 'elefante'?"
    )
    assert "data.classes.gatto is empty" in refusal(tmp_path, classes={"gatto": " "})


def test_files_of_each_class_are_counted_for_both_sources(tmp_path, monkeypatch):
    """Must fail if merged folders overwrite each other's count, or drawn ones are not renamed."""
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "photos/a/1.jpg", "photos/a/2.jpg", "photos/b/1.jpg", "photos/c/1.jpg")
    folder = data_params(classes={"a": "x", "b": "x", "c": "y"})
    assert images_by_class(folder) == {"x": 3, "y": 1}
    drawn = data_params(
        source="synthetic", path=DRAWING, classes={"cat": "pet", "dog": "pet", "cow": "cow"}
    )
    assert images_by_class(drawn) == {"pet": 20, "cow": 10}


def test_a_path_that_belongs_to_the_other_source_is_refused(tmp_path, monkeypatch):
    """Must fail if animals are drawn although a folder was named: a forgotten data.source."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"set data\.source to folder"):
        images_by_class(data_params(source="synthetic", path="photos"))


@pytest.mark.parametrize(
    "path",
    [
        *("data/animals", "data", ".", "data/animals/cat", "data/../data"),
        *("review/photos", "dvc_plots", "scratch/photos"),
    ],
)
def test_a_folder_that_a_run_would_empty_is_refused(tmp_path, monkeypatch, path):
    """Must fail if a person's images may lie where the drawn ones are replaced, or `erase` removes all."""
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "data/animals/cat/1.jpg", "data/animals/dog/1.jpg")
    with pytest.raises(UserError, match="emptied by runs"):
        images_by_class(data_params(path=path))
