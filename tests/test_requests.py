"""Requests for single images: which are covered, what becomes of the others, whom they are compared with."""

import difflib
import html
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import play
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_any_model import photographs, run
from test_settings import forgetting, write_params
from test_sources import picture
from test_split import assign, distinct, samples, shares, splits

from stages import check_request, prepare_data
from unlearning.base import errors
from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics, read_table
from unlearning.check import asked, possible
from unlearning.data import request, roles, split
from unlearning.data.dataset import scaled
from unlearning.data.request import Request, SingleImages
from unlearning.methods import adversarial
from unlearning.methods.shared import adversaries
from unlearning.methods.shared.members import ODDS, Auditor, Known
from unlearning.models import weights
from unlearning.models.layers import DEEP
from unlearning.review import summary
from unlearning.settings.whole import Params, load_params
from unlearning.sources import folder, listing, table
from unlearning.sources.folder import DRAWING
from unlearning.sources.listed import Listed

PATHS = pd.Series(["a/1.png", "a/2.png", "b/1.png", "b/[x].png", "c/12"])


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a/1.png"], [0]),
        (["1.png"], [0, 2]),
        (["a/*"], [0, 1]),
        (["?.png"], [0, 1, 2]),
        (["b/[x].png"], [3]),
        (["12"], [4]),
        (["101"], [1]),
        (["a/1.png", "102", "1.png"], [0, 2]),
    ],
)
def test_images_are_named_by_path_name_glob_or_id(names, found):
    """Must fail if a path with brackets is read as a glob, or an id is taken before a name."""
    named = roles.named(names, PATHS, pd.Series(range(100, 105)))
    assert np.flatnonzero(named).tolist() == found


def test_a_path_that_is_written_out_is_that_image_alone():
    """Must fail if an image of somebody else goes because its file has the same name."""
    paths = pd.Series(["1.png", "bob/1.png", "eve/2.png", "bob/2.png"])
    assert roles.named(["1.png"], paths).tolist() == [True, False, False, False]
    assert roles.named(["2.png"], paths).tolist() == [False, False, True, True]


def test_rows_of_a_table_are_taken_letter_by_letter():
    """Must fail if a path is read as a pattern, or one that could not be read ends the run."""
    table = pd.DataFrame(
        {"id": [0, 1], "path": ["img1.png", "img2.png"], "pixels": "p", "class": "a"}
    )
    wanted = Request(images=SingleImages(paths=("img[1].png", "img2.png")))
    assert roles.covered(table, ["train", "train"], wanted).tolist() == [False, True]


def test_a_met_image_is_known_by_its_file_where_it_is_packed_in_another_size():
    """Must fail if an image that an earlier request took out is trained on again at another image size."""
    table = pd.DataFrame(
        {
            "id": [0, 1],
            "path": ["a", "b"],
            "pixels": ["q0", "q1"],
            "sha256": ["f0", "f1"],
            "class": "a",
        }
    )
    before = Request(images=SingleImages(pixels=("p0",), files=("f0",)))
    assert roles.earlier(table, ["train", "train"], Request(earlier=(before,))).tolist() == [1, 0]


def test_a_class_that_was_met_is_not_asked_for_again():
    """Must fail if it passes until its images are looked for: the last outputs are gone by then."""
    wanted = Request(("a",), earlier=(Request(("a",)),))
    with pytest.raises(UserError, match=r"'a', which a request of forget\.previous took out"):
        request.check({"a": 9, "b": 9, "c": 9}, wanted)


def test_what_was_met_before_is_not_asked_for_again():
    """Must fail if an image of an earlier request counts for this one: its copies would be withdrawn twice."""
    table = pd.DataFrame(
        {"id": [0, 1], "path": ["a/1.png", "a/2.png"], "pixels": ["p", "q"], "class": "a"}
    )
    asked_again = Request(
        images=SingleImages(names=("a/*",)), earlier=(Request(images=SingleImages(pixels=("p",))),)
    )
    assert roles.covered(table, ["train", "train"], asked_again).tolist() == [False, True]


def test_a_glob_of_names_takes_no_folder_with_it():
    """Must fail if d*.png forgets all of dog/: its path begins with a d."""
    paths = pd.Series(["dog/b.png", "cow/d1.png", "dog/old/c.png"])
    assert roles.named(["d*.png"], paths).tolist() == [False, True, False]
    assert roles.named(["dog/*"], paths).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/3.png"], "names 'a/3.png', but there is no such image, did you mean '"),
        (["*.jpg"], "names '*.jpg', which matches no image"),
        (["999"], "names '999', but there is no such image"),
    ],
)
def test_a_name_of_no_image_is_refused(names, said):
    """Must fail if a misspelt name of a deletion request is passed over."""
    with pytest.raises(UserError) as caught:
        roles.named(names, PATHS, pd.Series(range(5)))
    assert said in str(caught.value)
    if names == ["999"]:  # before the images are packed nobody knows ids
        assert not roles.named(names, PATHS).any()


def with_paths(images: pd.DataFrame) -> pd.DataFrame:
    return images.assign(
        path=[f"{n}/{i}.png" for n, i in zip(images["class"], images["id"], strict=True)]
    )


SHARES = st.tuples(st.floats(0.05, 0.6), st.integers(0, 9))
IDS = st.sets(st.integers(0, 8), min_size=1, max_size=6)
ASKED = st.lists(SHARES | IDS, min_size=1, max_size=3)  # the last one is asked for now


def built(asked_for: list[Any], *, with_class: bool) -> Request:
    """Return a request for images with earlier ones; not in a strategy, since types are checked at random."""

    def single(wish: Any) -> Request:
        if isinstance(wish, tuple):
            return Request(images=SingleImages(fraction=wish[0], seed=wish[1]))
        return Request(images=SingleImages(names=tuple(map(str, sorted(wish)))))

    *before, now = map(single, asked_for)
    classes = [Request(("d",))] if with_class else []
    return Request(images=now.images, earlier=(*before, *classes))


@settings(deadline=None, max_examples=40)
@given(samples(), splits, ASKED, st.booleans(), st.randoms(use_true_random=False))
def test_every_image_has_one_role_and_the_order_of_rows_does_not_matter(
    images, params, wishes, with_class, random
):
    """Must fail if an earlier request's image is retained or asked for again, or a row's place decides.

    Or if the request moves an image to another subset.
    """
    asked_for = built(wishes, with_class=with_class)
    images = with_paths(images)
    subsets = split.subsets(images, params)
    try:
        assigned = roles.assign(images, subsets, asked_for)
    except UserError:
        assume(False)
    order = list(range(len(images)))
    random.shuffle(order)
    pd.testing.assert_frame_equal(assigned, roles.assign(images.iloc[order], subsets, asked_for))
    assert assigned["subset"].tolist() == subsets["subset"].tolist()
    assert set(assigned["role"]) <= {"forget", "retain", "earlier"}
    ordered = images.sort_values("id", ignore_index=True)
    subset = assigned["subset"].tolist()
    alone = Request(images=asked_for.images)
    met = roles.earlier(ordered, subset, asked_for) > 0
    assert (assigned["role"].eq("earlier").to_numpy() == met).all()
    if not asked_for.images.fraction:
        covered = roles.covered(ordered, subset, alone)
        assert (assigned["role"].eq("forget").to_numpy() == (covered & ~met)).all()
    if asked_for.earlier:
        assert (assigned["request"].gt(0).to_numpy() == met).all()


@settings(deadline=None, max_examples=30)
@given(samples(copies=False), splits, st.sets(st.integers(0, 8), min_size=2, max_size=8))
def test_requests_add_up(images, params, ids):
    """Must fail if two requests, one after the other, cover other images than both at once."""
    images = with_paths(images)
    subset = split.subsets(images, params)["subset"].tolist()
    names = sorted(map(str, ids))
    first, second = (
        Request(images=SingleImages(names=tuple(part))) for part in (names[:1], names[1:])
    )
    both = roles.covered(images, subset, Request(images=SingleImages(names=tuple(names))))
    after = Request(images=second.images, earlier=(first,))
    found = roles.covered(images, subset, after) | (roles.earlier(images, subset, after) > 0)
    assert (found == both).all()


def test_a_share_at_random_is_one_of_distinct_training_images():
    """Must fail if test images are drawn, copies count twice, or seed or classes are ignored.

    Or if a small share of few images is none, or more than one.
    """
    images = with_paths(distinct(a=50, b=50, c=50))
    subset = split.subsets(images, shares())["subset"].tolist()

    def drawn(**changes: Any) -> np.ndarray:
        return roles.covered(images, subset, Request(images=SingleImages(fraction=0.1, **changes)))

    tiny = Request(images=SingleImages(fraction=1e-6))
    assert roles.covered(images, subset, tiny).sum() == 1
    assert drawn().sum() == 9 and set(np.array(subset)[drawn()]) == {"train"}
    assert (drawn() == drawn()).all() and (drawn() != drawn(seed=1)).any()
    assert set(images["class"][drawn(classes=("b",))]) == {"b"} and drawn(classes=("b",)).sum() == 3
    double = pd.concat([images, images.assign(id=images["id"] + 150)], ignore_index=True)
    twice = roles.covered(double, subset * 2, Request(images=SingleImages(fraction=0.1)))
    assert twice.sum() == 18 and (twice[:150] == twice[150:]).all()


@pytest.mark.parametrize(
    ("asked_for", "said"),
    [
        (
            SingleImages(names=("a/*",)),
            "leaves class 'a' no train image: ask for the whole class by forget.classes",
        ),
        (SingleImages(names=("*",)), "leaves class 'a' no train image"),
        (SingleImages(pixels=("none",)), "asks for 0 images, none of which was trained on"),
        (SingleImages(fraction=0.1, classes=("a", "zebra")), "forget.classes names 'zebra'"),
    ],
)
def test_a_request_for_nothing_or_everything_is_refused(asked_for, said):
    """Must fail if a class is left without images, or a game is played for nobody.

    Or if of two classes to draw from the one that there is not is passed over.
    """
    images = with_paths(distinct(a=10, b=10, c=10))
    with pytest.raises(UserError) as caught:
        assign(images, shares(), Request(images=asked_for))
    assert said in str(caught.value)


def test_a_request_for_images_that_were_held_out_alone_is_refused():
    """Must fail if forgetting is played for images that were never trained on."""
    images = with_paths(distinct(a=10, b=10, c=10))
    subsets = split.subsets(images, shares())
    held = images["path"][subsets["subset"].eq("test")].tolist()
    with pytest.raises(UserError, match="asks for 2 images, none of which was trained on"):
        roles.assign(images, subsets, Request(images=SingleImages(names=tuple(held[:2]))))


def test_a_request_for_all_validation_images_is_refused():
    """Must fail if it passes until figures of no image are written, after the trainings.

    Or if one validation image that is left, of any class, is not enough.
    """
    images = with_paths(distinct(a=10, b=10))
    subsets = split.subsets(images, shares())
    held, trained = (images["path"][subsets["subset"].eq(each)] for each in ("validation", "train"))
    asked_for = (trained.iloc[0], *held)
    with pytest.raises(UserError, match="leaves no validation image to keep: ask for less"):
        roles.assign(images, subsets, Request(images=SingleImages(names=asked_for)))
    roles.assign(images, subsets, Request(images=SingleImages(names=asked_for[:-1])))


# --- from params.yaml ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": []}, "asks for nothing"),
        ({"files": "list.txt"}, "asks for files and classes"),
        ({"files": "list.txt", "where": {"by": "Ada"}, "classes": []}, "asks for files and where"),
        ({"labels": "wrong"}, "labels are wrong of single images"),
        ({"fraction": 1.0, "classes": []}, "less than 1"),
    ],
)
def test_one_request_is_of_one_kind(changes, said):
    """Must fail if one of two wishes is silently dropped."""
    with pytest.raises(ValueError, match=said):
        forgetting(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": ["cat", "dog"]}, "cat, dog"),
        ({"classes": [], "files": "/home/ada/list.txt"}, "the images that list.txt names"),
        ({"classes": [], "where": {"by": "Ada"}}, "the images where by is Ada"),
        ({"classes": [], "fraction": 0.1}, "0.1 of the training images, drawn at random"),
        (
            {"classes": ["cat"], "fraction": 0.1, "labels": "wrong"},
            "0.1 of the training images of cat, drawn at random, whose labels are wrong",
        ),
    ],
)
def test_what_is_asked_for_is_said_without_a_machines_path(changes, said):
    """Must fail if a page shows a home folder, or does not say what was asked."""
    assert forgetting(**changes).said == said


def project(folder: Path, **changes: Any) -> Params:
    """Return the parameters of a project with four pictures of three classes in a table."""
    lines = ["path,label,by,of"]
    for label in "abc":
        for number in range(4):
            file = folder / f"photos/{label}{number}.png"
            if not file.exists():
                picture(file)
            lines.append(f"{label}{number}.png,{label},{'Ada' if number < 2 else 'Bob'},all")
    (folder / "photos/all.csv").write_text("\n".join(lines) + "\n")
    values = {
        "data__source": "table",
        "data__path": str(folder / "photos/all.csv"),
        "forget__classes": [],
    }
    return load_params(write_params(folder, **values | changes))


def asked_of(params: Params) -> asked.Asked:
    return asked.of(params, listing.list_images(params.data))


def test_a_list_is_read_with_comments_and_as_a_csv(tmp_path):
    """Must fail if a comment is a name, or the CSV's column is not found."""
    (tmp_path / "list.txt").write_text("# person 7\na0.png\n\n b1.png \n")
    params = project(tmp_path, forget__files=str(tmp_path / "list.txt"))
    assert asked_of(params).request == Request(images=SingleImages(names=("a0.png", " b1.png ")))
    assert asked_of(params).shares == {"a": 0.25, "b": 0.25, "c": 0.0}
    (tmp_path / "list.csv").write_text("who,path\n7,a0.png\n7,c*.png\n")
    params = project(tmp_path, forget__files=str(tmp_path / "list.csv"), forget__labels="wrong")
    assert asked_of(params).request == Request(
        images=SingleImages(names=("a0.png", "c*.png"), wrong_labels=True)
    )
    assert asked_of(params).shares == {"a": 0.25, "b": 0.0, "c": 1.0}


def test_a_name_that_begins_with_a_hash_is_asked_for(tmp_path):
    """Must fail if an image's name is taken for a comment, and a deletion request forgets it silently."""
    (tmp_path / "list.txt").write_text("# a note\n#1.png\na0.png\n")
    params = project(tmp_path, forget__files=str(tmp_path / "list.txt"))
    images = [*listing.list_images(params.data), Listed("a/#1.png", "a")]
    assert asked.of(params, images).request.images == SingleImages(names=("#1.png", "a0.png"))


def test_a_list_whose_name_is_no_path_is_refused(tmp_path):
    """Must fail if a NUL in it ends in a traceback."""
    with pytest.raises(UserError, match="is no path"):
        asked.names_in(project(tmp_path, forget__files="a\0b").forget)


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("a.png", 0),
        (" ./a.png", 0),
        ("a.png ", 1),
        (" a.png", 2),
        ("a\x85b.png", 3),
        ("a\u2028b.png\r\n", 4),
        ("5 ", 5),
    ],
)
def test_spaces_and_odd_signs_of_a_name_count(tmp_path, suffix, line, found):
    """Must fail if a name is trimmed to that of another image, which would be forgotten, or broken in two.

    Or if a list loses what spaces around its names are no images'.
    """
    paths = pd.Series(["a.png", "a.png ", " a.png", "a\x85b.png", "a\u2028b.png", "c.png"])
    head = "path\n" if suffix == ".csv" else ""
    (tmp_path / f"list{suffix}").write_text(f"{head}{line}", encoding="utf-8", newline="")
    params = project(tmp_path, forget__files=str(tmp_path / f"list{suffix}"))
    named = roles.named(asked.names_in(params.forget), paths, pd.Series(range(len(paths))))
    assert np.flatnonzero(named).tolist() == [found]


def test_the_nearest_name_is_found_at_once_among_many(monkeypatch):
    """Must fail if a wrong name in a list is compared with every image's, which takes a minute of a million.

    Or if one wrong sign, wherever it stands, hides the name that was meant.
    """
    compared: list[int] = []

    def counted(word, words, **options):
        compared.append(len(words))
        return difflib.get_close_matches(word, words, **options)

    monkeypatch.setattr(errors, "get_close_matches", counted)
    names = [f"{kind}/image_{number:05}.JPG" for kind in ("cat", "dog") for number in range(10_000)]
    for word in ("dpg/image_04321.JPG", "dog/image_04321.jpeg", "Dog/Imag_04321.jpg"):
        assert errors.nearest(word, names) == ", did you mean 'dog/image_04321.JPG'?"
    assert errors.nearest("x", names) == ""
    assert max(compared) <= 4 * errors.NEIGHBOURS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        (b"# nothing\n", "it names no image"),
        (b"\xff\xfe\x00", "it is no text in UTF-8"),
        (b"zebra.png\n", "names 'zebra.png', but there is no such image"),
    ],
)
def test_an_odd_list_is_refused(tmp_path, content, said):
    """Must fail if a traceback escapes, or a run begins with a list that names nothing."""
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    params = project(tmp_path, forget__files=str(tmp_path / "list.txt"))
    with pytest.raises(UserError) as caught:
        asked_of(params)
    assert said in str(caught.value)


def test_a_list_with_a_comma_too_many_is_refused(tmp_path):
    """Must fail if cells move by a column: other images than those named would be forgotten."""
    (tmp_path / "list.csv").write_text("path,replaced_by\na0.png,b1.png,\n")
    params = project(tmp_path, forget__files=str(tmp_path / "list.csv"))
    with pytest.raises(UserError, match="it is no table that can be read"):
        asked_of(params)


def test_a_list_of_ids_counts_before_images_are_packed(tmp_path):
    """Must fail if it counts as no image: what needs two to forget would be refused."""
    (tmp_path / "list.txt").write_text("3\n4\n7\n")
    params = project(tmp_path, forget__files=str(tmp_path / "list.txt"))
    assert asked_of(params).shares == {"a": 0.25, "b": 0.25, "c": 0.25}


def test_a_request_for_everything_is_refused(tmp_path):
    """Must fail if it ends in a division by the images that are kept: there are none."""
    params = project(tmp_path, forget__where={"of": "all"})
    with pytest.raises(UserError, match="asks for every image that is trained on"):
        possible.require(params)


@pytest.mark.parametrize("fraction", [0.00004, 0.12345])
def test_a_share_is_kept_as_it_was_asked_for(tmp_path, fraction):
    """Must fail if a request is rounded as metrics are: a small share would ask for nothing."""
    wanted = Request(images=SingleImages(fraction=fraction))
    request.write(wanted, tmp_path / "request.json")
    assert request.read(tmp_path / "request.json") == wanted


@pytest.mark.parametrize("source", ["folder", "table"])
def test_the_source_is_listed_once(source, tmp_path, monkeypatch):
    """Must fail if counts, request, sizes, size and contents are each made of a list of their own."""
    project(tmp_path, forget__classes=["a"])  # the pictures
    monkeypatch.chdir(tmp_path)
    for label in "abc":
        for file in (tmp_path / "photos").glob(f"{label}*.png"):
            (tmp_path / "tree" / label).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tmp_path / "tree" / label)
    (tmp_path / "list.txt").write_text("a0.png\nb1.png\n")
    path = {"folder": "tree", "table": "photos/all.csv"}[source]
    project(
        tmp_path,
        data__source=source,
        data__path=path,
        data__image_size="auto",
        forget__files="list.txt",
    )
    lists, matches = [], []
    module, named = {"folder": folder, "table": table}[source], roles.named
    listed = module.list_images
    monkeypatch.setattr(module, "list_images", lambda *of: lists.append(1) or listed(*of))
    monkeypatch.setattr(roles, "named", lambda *of: matches.append(1) or named(*of))
    check_request.main()
    assert (len(lists), len(matches)) == (1, 1)


def test_a_share_at_random_is_asked_of_its_classes_alone(tmp_path):
    """Must fail if it is drawn from all classes, by another seed, or its wrong labels pass for right ones."""
    knobs = {"forget__fraction": 0.25, "forget__seed": 3, "forget__labels": "wrong"}
    drawn = SingleImages(fraction=0.25, seed=3, wrong_labels=True)
    found = asked_of(project(tmp_path, **knobs))
    assert found == asked.Asked(Request(images=drawn), dict.fromkeys("abc", 0.25))
    found = asked_of(project(tmp_path, **knobs | {"forget__classes": ["a"]}))
    assert found.request == Request(images=replace(drawn, classes=("a",)))
    assert found.shares == {"a": 0.25, "b": 0.0, "c": 0.0}


def test_what_an_earlier_request_took_out_is_not_counted():
    """Must fail if its class is split, trained on and foretold once more."""
    wanted = Request(("b",), earlier=(Request(("a",)),))
    counts = {"a": {"": 9}, "b": {"": 8}}
    assert asked.without_earlier(counts, wanted) == {"b": {"": 8}}


def test_a_split_that_the_source_gives_is_foretold(tmp_path):
    """Must fail if its test images are cut from training images too, or a subset is counted twice."""
    counts = {name: {"train": 10, "test": 4} for name in "abc"}
    wanted = asked.Asked(Request(("a",)), {"a": 1.0, "b": 0.0, "c": 0.0})
    assert possible.by_role(project(tmp_path, forget__classes=["a"]), counts, wanted) == {
        "forget": {"train": 8, "validation": 2, "test": 4},
        "retain": {"train": 16, "validation": 4, "test": 8},
        "unseen": {"train": 0, "validation": 2, "test": 4},
    }


def test_columns_of_a_table_choose_images(tmp_path):
    """Must fail if one of two columns is ignored, or a misspelt one passes, or images that are left out."""
    params = project(tmp_path, forget__where={"by": "Ada", "label": "b"})
    assert asked_of(params).request.images == SingleImages(paths=("b0.png", "b1.png"))
    assert asked_of(params).shares == {"a": 0.0, "b": 0.5, "c": 0.0}
    for where, said in (
        (
            {"bye": "Ada"},
            "names 'bye', but the table's columns are path, label, by, of, did you mean 'by'?",
        ),
        ({"by": "ada"}, "asks for by 'ada', but its values are Ada, Bob, did you mean 'Ada'?"),
    ):
        with pytest.raises(UserError) as caught:
            asked_of(project(tmp_path, forget__where=where))
        assert said in str(caught.value)
    left_out = {"forget__where": {"label": "a"}, "data__classes": {"b": "b", "c": "c"}}
    with pytest.raises(UserError, match=r"of classes that data\.classes leaves out"):
        asked_of(project(tmp_path, **left_out))
    with pytest.raises(
        UserError, match=r"looks at columns of a table, but data\.source is 'folder'"
    ):
        asked.of(project(tmp_path, forget__where={"by": "Ada"}, data__source="folder"), [])


def test_drawings_are_known_by_name_before_they_are_drawn(tmp_path, monkeypatch):
    """Must fail if a misspelt name of a drawing is refused only once the last split is gone."""
    (tmp_path / "list.txt").write_text("elephant_0003.jpg\n")
    monkeypatch.chdir(tmp_path)
    drawn = {"data__source": "synthetic", "data__path": DRAWING, "data__images_per_class": 10}
    classes = {name: name for name in ("cat", "cow", "elephant")}
    params = project(tmp_path, forget__files="list.txt", data__classes=classes, **drawn)
    listed = listing.list_images(params.data)
    prepare_data.main()
    assert [image.path for image in listed] == read_table("data/samples.csv")["path"].tolist()
    assert asked_of(params).shares["elephant"] == 0.1
    (tmp_path / "list.txt").write_text("elephant_0010.jpg\n")
    with pytest.raises(UserError, match=r"'elephant_0010\.jpg', but there is no such image"):
        asked_of(params)


def test_a_forecast_counts_images_asked_for(tmp_path):
    """Must fail if a share at random is taken of test images, or nobody is unseen."""
    params = project(tmp_path, forget__fraction=0.25)
    wanted = possible.require(params).asked
    share = possible.by_role(params, {name: {"": 40} for name in "abc"}, wanted)
    assert share["forget"] == {"train": 18, "validation": 0, "test": 0}
    assert share["retain"] == {"train": 54, "validation": 24, "test": 24}
    assert share["unseen"] == {"train": 0, "validation": 24, "test": 24}


def test_of_a_small_share_as_many_images_are_foretold_as_are_drawn(tmp_path):
    """Must fail if each class's share is rounded by itself (none), or every class has one at least (ten)."""
    params = project(tmp_path, forget__fraction=0.01)
    shares = {f"class {number}": 0.01 for number in range(10)}
    wanted = asked.Asked(Request(images=SingleImages(fraction=0.01)), shares)
    found = possible.by_role(params, {name: {"": 60} for name in shares}, wanted)
    trained_on = range(found["forget"]["train"] + found["retain"]["train"])
    table = pd.DataFrame({"pixels": [str(each) for each in trained_on], "class": "class 0"})
    drawn = roles.covered(table, ["train"] * len(trained_on), wanted.request).sum()
    assert found["forget"] == {"train": drawn, "validation": 0, "test": 0} and drawn == 4
    fewest = possible.by_role(params, {"class 0": {"": 9}}, wanted)
    assert fewest["forget"]["train"] == 1


@pytest.mark.parametrize(("names", "is_refused"), [("a0.png", True), ("a0.png\nb0.png", False)])
def test_the_article_is_refused_one_named_image_but_not_two(names, is_refused, tmp_path):
    """Must fail if one is refused only after all trainings, or two that may both be trained on already here."""
    (tmp_path / "list.txt").write_text(names)
    params = project(tmp_path, forget__files=str(tmp_path / "list.txt"), recipe="article")
    if is_refused:
        with pytest.raises(UserError, match=r"needs 2 or more images to forget .* there is 1"):
            possible.require(params)
    else:
        assert possible.require(params).sizes.forget == 1  # as a guess


def test_the_request_travels_with_those_before_it(tmp_path, monkeypatch):
    """Must fail if what was asked is lost between the file and the stages, or a broken file is taken."""
    monkeypatch.chdir(tmp_path)
    before = Request(images=SingleImages(pixels=("ab" * 32,)))
    request.write(before, "001.json")
    project(tmp_path, forget__fraction=0.3, forget__seed=3, forget__previous=["001.json"])
    check_request.main()
    assert request.read("data/request.json") == Request(
        images=SingleImages(fraction=0.3, seed=3), earlier=(before,)
    )
    Path("001.json").write_text('{"classes": 3}')
    with pytest.raises(UserError, match=r"001.json is no request"):
        check_request.main()


@pytest.mark.parametrize(
    ("missing", "advice"), [("001.json", "git pull brings it"), ("001.safetensors", "dvc pull")]
)
def test_a_clone_that_lacks_what_an_earlier_request_left_is_told_who_brings_it(
    tmp_path, monkeypatch, missing, advice
):
    """Must fail if it is told to run the pipeline, which this is, or one that lacks nothing is refused."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requests").mkdir()
    for name in {"001.json", "001.safetensors"} - {missing}:
        (tmp_path / "requests" / name).touch()
    changes = {"model__weights": "requests/001.safetensors", "data__image_size": 32}
    params = project(
        tmp_path, forget__fraction=0.3, forget__previous=["requests/001.json"], **changes
    )
    with pytest.raises(UserError, match=f"{missing}', but there is no such file: {advice}"):
        possible.require(params)
    (tmp_path / "requests" / missing).touch()
    possible._require_ledger(params)


# --- whom they are compared with -----------------------------------------------------------------


def test_unseen_images_are_of_the_same_classes_in_like_shares(make_data):
    """Must fail if a class without a member is among them, one is far more frequent, or the first are taken."""
    data = make_data({"cat": 20, "dog": 20, "elephant": 20, "horse": 20}, held_out=10)
    is_train = data.subsets == "train"
    names = np.array(data.classes)[data.labels.numpy()]
    roles_of = np.full(len(names), "retain", dtype="<U8")
    roles_of[np.flatnonzero(is_train & (names == "cat"))[:9]] = "forget"
    roles_of[np.flatnonzero(is_train & (names == "dog"))[:1]] = "forget"
    changed = {
        **vars(data),
        "roles": roles_of,
        "request": Request(images=SingleImages(names=("x",))),
    }
    unseen = type(data)(**changed).unseen("test")
    assert set(data.subsets[unseen]) == {"test"}
    assert pd.Series(names[unseen]).value_counts().to_dict() == {"cat": 10, "dog": 2}
    dogs = np.flatnonzero((names == "dog") & (data.subsets == "test"))
    assert unseen[names[unseen] == "dog"].tolist() == dogs[[0, 5]].tolist()
    # Of wrong labels nothing is comparable but what the request itself held out.
    roles_of[np.flatnonzero((data.subsets == "test") & (names == "cat"))[:3]] = "forget"
    changed["request"] = Request(images=SingleImages(names=("x",), wrong_labels=True))
    assert len(type(data)(**changed).unseen("test")) == 3


def test_of_a_class_the_unseen_images_are_its_own(data):
    """Must fail if a request for whole classes is compared with images of kept classes."""
    assert torch.equal(data.unseen("test"), data.select(role="forget", subset="test"))


def test_the_original_is_trained_on_the_same_whatever_is_asked(tmp_path, monkeypatch):
    """Must fail if subsets.csv follows from the request; images of earlier ones stand in no subset."""
    from stages import split_dataset

    monkeypatch.chdir(tmp_path)
    written = []
    for changes in (
        {"forget__classes": ["a"]},
        {"forget__fraction": 0.1},
        {"forget__fraction": 0.1, "forget__previous": ["001.json"]},
    ):
        params = project(tmp_path, **changes)
        request.write(Request(("c",)), "001.json")
        check_request.main()
        prepare_data.main()
        split_dataset.main()
        written.append(read_table("data/subsets.csv"))
    assert params.forget.previous == ["001.json"]
    pd.testing.assert_frame_equal(written[0], written[1])
    samples_of = read_table("data/samples.csv")
    gone = samples_of["class"].eq("c").to_numpy()
    assert set(written[2]["subset"][gone]) == {""}
    assert written[2]["subset"][~gone].equals(written[0]["subset"][~gone])


# --- from images to page -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"forget__fraction": 0.2},
        {"forget__files": "list.txt", "forget__labels": "wrong", "retrain__seeds": []},
        {"forget__fraction": 0.3, "forget__classes": ["cat"], "recipe": "article", "batch_size": 4},
        {"forget__fraction": 0.3, "recipe": "delete"},
    ],
)
def test_a_request_for_images_runs_from_images_to_page(
    changes, tmp_path, monkeypatch, restored_torch
):
    """Must fail if a stage looks for a class to forget, or the page speaks of one."""
    photographs(tmp_path / "photos", count=30)
    (tmp_path / "list.txt").write_text("cat/?.png\ndog/2*.png\n")
    forget = {"forget__classes": []} | changes
    run(tmp_path, monkeypatch, model__name="timm/test_convnext", **forget)
    found = read_metrics("metrics/audit.json")
    assert found["request"] == "images" and set(found["verdicts"]) == {"original"}
    counts = read_metrics("metrics/split_dataset.json")
    assert read_metrics("metrics/evaluate_forget.json")["images"] == counts["forget"]["train"] > 0
    page, card = (Path(f"report/{name}").read_text() for name in ("index.html", "model_card.md"))
    for text in (page, card):
        said = load_params().forget.said.replace("list.txt", "a list")
        assert said in html.unescape(text).replace("\\", "")
        assert "Head-edited" not in text and "Few-shot" not in text
    assert summary.table(summary.read(Path())).count("as retrained") == 1
    if "retrain__seeds" in changes:
        assert found["verdict"] == "likeness unknown"
    looked_at = read_table("data/observed/images.csv")
    unseen = looked_at[looked_at["unseen"] == "yes"]
    assert set(unseen["subset"]) == {"test"}
    alike = {"forget"} if "forget__labels" in changes else {"forget", "retain"}
    assert set(unseen["role"]) <= alike and len(unseen)
    # The game leaves every class its output.
    model, _ = weights.load_classifier("models/unlearned.safetensors")
    spread = model.head.bias.detach()
    assert (spread.max() - spread.min()).item() < 3


def test_a_few_forget_images_are_met_by_their_odds(data, make_network, cpu):
    """Must fail if the auditor of single images looks at features, or takes the odds of another class.

    Or if it tells fewer apart where all odds are small: they are measured by their own spread.
    """
    model, indices = make_network(seed=1), data.select(role="forget", subset="train")
    auditor = Auditor((ODDS,), members=6, unseen=2, device=torch.device("cpu"))
    auditor.look(model.eval(), data, Known(indices, data.labels[indices], 6), cpu)
    (rows,) = auditor.state_dict().values()
    with torch.no_grad():
        chance = model(scaled(data.pixels(indices), cpu.device)).softmax(1)[
            :, data.forget_labels[0]
        ]
    torch.testing.assert_close(rows[:, 0], torch.logit(chance))
    apart = torch.tensor([[9.0], [8.0], [9.5], [8.5], [9.0], [9.1], [-9.0], [-8.0]])
    bank = torch.tensor([[9.0], [8], [9.5], [8.5], [-9], [-8], [-8.5], [-9]])

    def advantage(shown: list[int], unit: float = 1) -> float:
        auditor = Auditor((ODDS,), members=4, unseen=4, device=torch.device("cpu"))
        auditor.load_state_dict({ODDS: bank.clone() * unit})
        return auditor.advantage({ODDS: apart[shown] * unit}, torch.tensor([0, 4])).item()

    told, none = advantage([0, 6]), advantage([0, 0])
    assert advantage([0, 6], unit=0.01) == pytest.approx(told, rel=1e-4)
    assert told > 0.3 > none


@pytest.mark.parametrize("most", [256, 12])
def test_wrong_labels_are_compared_with_others_that_are_wrong(most, make_data, monkeypatch):
    """Must fail if an unseen image stands under its own label, one outside the request, or none is added.

    Or if those of the request are not asked about as they were labelled, or more are taken than a bank holds.
    """
    monkeypatch.setattr("unlearning.methods.shared.members.MOST_ROWS", most)
    data = make_data({"cat": 20, "dog": 20, "elephant": 20, "horse": 20}, held_out=10)
    roles_of = np.full(len(data.labels), "retain", dtype="<U8")
    named = {"cat": (data.subsets == "train", 6), "dog": (data.subsets == "validation", 2)}
    for name, (is_there, count) in named.items():
        is_class = data.labels.numpy() == data.classes.index(name)
        roles_of[np.flatnonzero(is_there & is_class)[:count]] = "forget"
    if most == 12:  # no draw is right by chance
        roles_of[(data.labels.numpy() == 0) & (data.subsets == "validation")] = "withdrawn"
    request = Request(images=SingleImages(names=("x",), wrong_labels=True))
    changed = type(data)(**{**vars(data), "roles": roles_of, "request": request})
    known = Known.of(changed, seed=3)
    assert (known.members, set(data.subsets[known.images[6:]])) == (6, {"validation"})
    asked = [changed.select(role="forget", subset=subset) for subset in ("train", "validation")]
    assert torch.equal(known.images[:8], torch.cat(asked))
    assert torch.equal(known.labels[:8], data.labels[torch.cat(asked)])
    # All labels of the request are cats': every held-out image of the three other classes may stand for it.
    own, cat = data.labels[known.images[8:]], data.classes.index("cat")
    assert (known.labels[8:] == cat).all() and (own != cat).all()
    assert known.unseen == (2 + 28 if most == 256 else 12)
    assert len(set(known.images.tolist())) == len(known.images)


@pytest.mark.parametrize(("of_images", "layers"), [(True, (ODDS,)), (False, DEEP)])
def test_the_game_gives_its_auditor_what_shows_most(
    of_images, layers, data, make_network, make_game, cpu, monkeypatch
):
    """Must fail if single images are met by the features, or classes by the odds of outputs to be retired."""
    seen = []

    class Noting(Auditor):
        def __init__(self, layers, **counts):
            seen.append((tuple(layers), counts["members"], counts["unseen"]))
            super().__init__(layers, **counts)

    monkeypatch.setattr(adversaries, "Auditor", Noting)
    roles_of = data.roles.copy()
    if of_images:
        roles_of[:] = "retain"
        roles_of[data.select(role="retain", subset="train")[:5].numpy()] = "forget"
    asked_for = Request(images=SingleImages(names=("x",))) if of_images else data.request
    changed = type(data)(**{**vars(data), "roles": roles_of, "request": asked_for})
    model = make_network(seed=0)
    players = adversarial.init_players(model, 0, 0.4)
    outcome = play("adversarial", players, changed, make_game(), cpu)
    members = len(changed.select(role="forget", subset="train"))
    assert seen == [(layers, members, len(changed.unseen("validation")))]
    assert min(seen[0][1:]) > 0
    hidden = outcome.generator.head.bias[2] < outcome.generator.head.bias.mean() - 2
    assert bool(hidden) != of_images
