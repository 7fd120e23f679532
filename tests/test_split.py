"""Each image has one subset and one role; a request that cannot be met is refused beforehand."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_settings import write_params

from stages import check_request, split_dataset
from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics, read_table, write_table
from unlearning.data import SUBSETS, request, roles, split
from unlearning.data.request import Request
from unlearning.settings.split import SplitParams
from unlearning.sources.folder import DRAWING

FORGET = Request(("b",))
CLASSES = ("a", "b", "c", "d")


def shares(validation: float = 0.2, test: float = 0.2, seed: int = 0) -> SplitParams:
    return SplitParams(validation=validation, test=test, seed=seed)


def assign(
    images: pd.DataFrame,
    params: SplitParams,
    asked: Request,
    withdrawn: Mapping[int, int] = MappingProxyType({}),
) -> pd.DataFrame:
    """Return subsets and roles, as the stage has them."""
    return roles.assign(images, split.subsets(images, params), asked, withdrawn)


def table(*images: tuple[str, str]) -> pd.DataFrame:
    """Return samples.csv's columns that matter, from (class, pixels) of each image."""
    return pd.DataFrame(
        [{"id": i, "class": name, "pixels": pixels} for i, (name, pixels) in enumerate(images)]
    )


def distinct(**counts: int) -> pd.DataFrame:
    """Return samples whose pixels all differ, so many per class."""
    return table(*((name, f"{name}{i}") for name, n in counts.items() for i in range(n)))


def owned(images: pd.DataFrame) -> dict[str, int]:
    """Return how many distinct images each class has, if one of several counts for the smallest of them."""
    files = images["class"].value_counts()
    rank = images["class"].map({name: (files[name], name) for name in files.index})
    owner = images.assign(rank=rank).groupby("pixels")["rank"].min()
    return {name: sum(each[1] == name for each in owner) for name in files.index}


splits = st.builds(
    SplitParams,
    validation=st.floats(0.01, 0.48),
    test=st.floats(0.01, 0.48),
    seed=st.integers(0, 2**32 - 1),
)


@st.composite
def samples(draw: st.DrawFn, copies: bool = True) -> pd.DataFrame:
    """Draw 3 to 4 classes of 3 to 40 distinct images, and copies of some under any class."""
    names = CLASSES[: draw(st.integers(3, 4))]
    images = [(name, f"{name}{i}") for name in names for i in range(draw(st.integers(3, 40)))]
    if copies:
        pixels = st.sampled_from([pixels for _, pixels in images])
        images += draw(st.lists(st.tuples(st.sampled_from(names), pixels), max_size=12))
    made = table(*images)
    assume(all(count >= 3 for count in owned(made).values()))
    return made


@settings(deadline=None, max_examples=60)
@given(samples(), splits)
def test_every_image_has_one_subset_and_the_role_of_its_class(images, params):
    """Must fail if an image is lost or repeated, or its role is another class's."""
    assigned = assign(images, params, FORGET)
    assert assigned.columns.tolist() == ["id", "subset", "role"]
    assert assigned["id"].tolist() == images["id"].tolist()
    assert set(assigned["subset"]) == {"train", "validation", "test"}
    expected = ["forget" if name == "b" else "retain" for name in images["class"]]
    assert assigned["role"].tolist() == expected


@settings(deadline=None, max_examples=60)
@given(samples(copies=False), splits, st.data())
def test_with_a_model_at_hand_each_image_stays_where_it_was(images, params, data):
    """Must fail if images that were deleted or added move others: what was trained on would test.

    Or if each image is remembered by itself: no cut says then where a new one belongs.
    """
    subset = split.subsets(images, params)["subset"]
    held = split.held(images, subset, params)
    assert not held.others
    gone = data.draw(st.sets(st.sampled_from(range(len(images)))))
    new = table(*[(name, f"{name}new{i}") for name in CLASSES[:3] for i in range(3)])
    after = pd.concat([images.drop(index=sorted(gone)), new.assign(id=new["id"] + len(images))])
    try:
        again = split.subsets(after, params, held).set_index("id")["subset"]
    except UserError:
        assume(False)
    stayed = images.index.difference(sorted(gone))
    assert again.loc[stayed].tolist() == subset.loc[stayed].tolist()


def test_a_copy_that_goes_or_comes_moves_no_image():
    """Must fail if an image that was trained on because it had a copy tests once the copy is gone."""
    once = [(name, f"{name}{i}") for name in "abc" for i in range(20)]
    images = table(*once, *[("a", f"a{i}") for i in range(9)])
    params = SplitParams(validation=0.2, test=0.4, seed=0)
    subset = split.subsets(images, params)["subset"]
    held = split.held(images, subset, params)
    assert held.others
    again = split.subsets(images[:60], params, held)["subset"]
    assert again.tolist() == subset[:60].tolist()
    more = table(*once * 2)
    assert split.subsets(more, params, held)["subset"][:60].tolist() == subset[:60].tolist()


def test_another_seed_than_that_of_the_model_at_hand_is_refused():
    """Must fail if the images are dealt anew, those among them that its model was trained on."""
    images = table(*[(name, f"{name}{i}") for name in "abc" for i in range(9)])
    params = SplitParams(validation=0.2, test=0.4, seed=0)
    held = split.held(images, split.subsets(images, params)["subset"], params)
    with pytest.raises(UserError, match=r"split\.seed is 1, but the last request"):
        split.subsets(images, params.model_copy(update={"seed": 1}), held)


@settings(deadline=None, max_examples=60)
@given(samples(), splits)
def test_images_with_the_same_pixels_share_a_subset(images, params):
    """Must fail if images are split one by one, or each class for itself."""
    table = images.merge(assign(images, params, FORGET), on="id")
    assert table.groupby("pixels")["subset"].nunique().max() == 1


@settings(deadline=None, max_examples=60)
@given(samples(copies=False), splits)
def test_each_class_is_split_within_one_image_of_its_shares(images, params):
    """Must fail if the split is drawn over all classes together, or rounds always down."""
    table = images.merge(assign(images, params, FORGET), on="id")
    for _, own in table.groupby("class"):
        sizes = own["subset"].value_counts()
        for subset, share in (("validation", params.validation), ("test", params.test)):
            # One image at least; a small class may give up to two of its own for the others.
            assert sizes[subset] >= 1
            if len(own) * min(params.validation, params.test) >= 1:
                assert abs(sizes[subset] - len(own) * share) < 1
        assert sizes["train"] >= 1


@settings(deadline=None, max_examples=60)
@given(samples(), splits, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(images, params, random):
    """Must fail if a row's place decides where its image goes."""
    order = list(range(len(images)))
    random.shuffle(order)
    shuffled = images.iloc[order]
    pd.testing.assert_frame_equal(assign(images, params, FORGET), assign(shuffled, params, FORGET))


def test_the_seed_decides_the_split():
    """Must fail if the seed is ignored, or the same seed gives another split."""
    images = distinct(a=40, b=40, c=40)
    first, again, other = (assign(images, shares(seed=s), FORGET) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    moved = (first["subset"] != other["subset"]).mean()
    # Two independent splits 0.6/0.2/0.2 differ in 1 - (0.36 + 0.04 + 0.04) = 0.56 of the images.
    assert 0.35 < moved < 0.75


def test_another_class_does_not_reshuffle_the_others():
    """Must fail if classes share one stream of random numbers."""
    few, more = distinct(b=20, c=20, d=20), distinct(a=20, b=20, c=20, d=20)
    before = few.merge(assign(few, shares(), FORGET), on="id")
    after = more.merge(assign(more, shares(), FORGET), on="id")
    both = before.merge(after, on="pixels")
    assert len(both) == 60
    assert (both["subset_x"] == both["subset_y"]).all()


def test_new_images_leave_most_old_ones_in_their_subset():
    """Must fail if one more image draws the lots of all anew."""
    few, more = distinct(a=100, b=100, c=100), distinct(a=105, b=100, c=100)
    before = few.merge(assign(few, shares(), FORGET), on="id")
    after = more.merge(assign(more, shares(), FORGET), on="id")
    both = before.merge(after, on="pixels")
    assert (both["subset_x"] != both["subset_y"]).sum() <= 10


def test_subsets_are_mixed_within_a_class():
    """Must fail if images go to subsets by name, as a sorted folder of near-duplicates would."""
    images = distinct(a=100, b=100, c=100)
    subset = assign(images, shares(), FORGET)["subset"]
    first_half = subset[:50].value_counts(normalize=True)
    assert 0.05 < first_half["test"] < 0.35


def test_copies_train_while_there_are_enough_others():
    """Must fail if an image with many copies can fill a test subset."""
    copies = [("a", "same")] * 50
    images = table(*copies, *((name, f"{name}{i}") for name in "abc" for i in range(10)))
    for seed in range(10):
        subset = assign(images, shares(seed=seed), FORGET)["subset"]
        assert (subset[:50] == "train").all()
        assert (subset[50:60] == "test").sum() == 2


@pytest.mark.parametrize(
    ("images", "validation", "test", "expected"),
    [
        (100, 0.1, 0.2, (70, 10, 20)),
        (10, 0.15, 0.25, (6, 2, 2)),
        (10, 0.29, 0.29, (4, 3, 3)),
        (7, 0.1, 0.1, (5, 1, 1)),
        (3, 0.01, 0.01, (1, 1, 1)),
        (3, 0.49, 0.49, (1, 1, 1)),
        (4, 0.49, 0.49, (1, 1, 2)),
        (550, 0.1, 0.1, (440, 55, 55)),
        (1000, 0.001, 0.4, (599, 1, 400)),
        (1, 0.1, 0.1, (1, 0, 0)),
    ],
)
def test_sizes_by_hand(images, validation, test, expected):
    """Must fail if remainders are given to the wrong subset, or one stays empty."""
    sizes = split.subset_sizes(images, shares(validation, test), SUBSETS[1:])
    assert tuple(sizes.values()) == expected
    assert list(sizes) == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("counts", "forget", "said"),
    [
        (
            {"dog": 9, "elephant": 9, "cat": 9},
            ["elefant"],
            "params.yaml: forget.classes names 'elefant', but the classes are "
            "cat, dog, elephant, did you mean 'elephant'?",
        ),
        ({"dog": 9, "cat": 9, "cow": 9}, ["dog", "dog"], "names 'dog' twice"),
        ({"dog": 9, "cat": 9}, ["dog", "cat"], "leaves no class of cat, dog"),
        ({"dog": 9, "cat": 9}, ["dog"], "leaves cat of cat, dog, but two or more must stay"),
        (
            {"dog": 9, "cat": 2, "cow": 9},
            ["dog"],
            "class 'cat' has 2 images, but needs 3",
        ),
    ],
)
def test_an_impossible_request_is_refused(counts, forget, said):
    """Must fail if the request passes, or the message does not name what is wrong."""
    with pytest.raises(UserError) as caught:
        request.check(counts, Request(tuple(forget)))
    assert said in str(caught.value)


def test_copies_do_not_make_a_class_large_enough():
    """Must fail if files are counted where distinct images are needed."""
    copies = [("a", "same")] * 9
    with pytest.raises(UserError, match=r"'a' has 1 distinct images \(8 more files show"):
        assign(table(*copies, *((n, f"{n}{i}") for n in "bcd" for i in range(5))), shares(), FORGET)
    with pytest.raises(UserError, match="'d' has 0 distinct images"):
        assign(
            table(*((n, f"{n}{i}") for n in "abc" for i in range(5)), *[("d", "a1")] * 6),
            shares(),
            FORGET,
        )


def test_an_image_of_two_classes_counts_for_the_smaller():
    """Must fail if the larger one, or the first by name, takes what the other cannot do without."""
    large = [(name, f"{name}{i}") for name in "ac" for i in range(9)]
    images = table(*large, ("b", "b0"), ("b", "b1"), ("b", "a0"))
    subset = split.subsets(images, shares())["subset"]
    assert set(subset[images["class"] == "b"]) == {"train", "validation", "test"}


def test_counts_by_hand():
    """Must fail if roles or subsets are mixed up, or a shared picture is not counted."""
    images = table(("b", "x"), ("b", "y"), ("c", "x"), ("c", "z"))
    assigned = pd.DataFrame(
        {
            "id": [0, 1, 2, 3],
            "subset": ["train", "test", "train", "validation"],
            "role": ["forget", "forget", "retain", "retain"],
        }
    )
    assert roles.count(images, assigned) == {
        "forget": {"train": 1, "test": 1},
        "retain": {"train": 1, "test": 0},
        "withdrawn": 0,
        "forget_images_also_retained": 1,
    }


def equal_ones(images: pd.DataFrame) -> dict[int, int]:
    """Return the images of kept classes with the pixels of an image to forget, and the first such image."""
    shown = images[images["class"] == "b"].drop_duplicates("pixels")
    both = images[images["class"] != "b"].merge(shown, on="pixels", suffixes=("", "_shown"))
    return dict(zip(both["id"], both["id_shown"], strict=True))


@settings(deadline=None, max_examples=60)
@given(samples(), splits)
def test_what_is_withdrawn_is_retained_nowhere_and_moves_nobody(images, params):
    """Must fail if a copy is retained, or the request decides who was held out from training."""
    withdrawn = equal_ones(images)
    gone = images["id"].isin(list(withdrawn)) | (images["class"] == "b")
    for name, rows in images[~gone].groupby("class"):
        held = split.subsets(images, params).set_index("id").loc[rows["id"], "subset"]
        assume({"train", "test"} <= set(held) and name)
    assume(set(images[~gone]["class"]) == set(images["class"]) - {"b"})

    table = images.merge(assign(images, params, FORGET, withdrawn), on="id").set_index("id")

    assert set(table.index[table["role"] == "withdrawn"]) == set(withdrawn)
    assert (table["role"] == "forget").equals(table["class"] == "b")
    by_role = {role: set(rows["pixels"]) for role, rows in table.groupby("role")}
    assert not by_role["retain"] & by_role["forget"]
    for asked in (FORGET, Request(("c",))):
        assert assign(images, params, asked)["subset"].equals(
            table["subset"].reset_index(drop=True)
        )


def test_an_image_whose_copy_was_trained_on_is_not_held_out():
    """Must fail if an image to forget counts as unseen though the original saw its near copy."""
    images = distinct(a=40, b=40, c=40)
    copies = dict(zip(range(30), range(40, 70), strict=True))
    subset = split.subsets(images, shares()).set_index("id")["subset"]
    role = assign(images, shares(), FORGET, copies).set_index("id")["role"]
    for number, shown in copies.items():
        assert role[number] == "withdrawn"
        seen = subset[number] == "train" and subset[shown] != "train"
        assert role[shown] == ("withdrawn" if seen else "forget")
    assert (role[[70, 79]] == "forget").all()
    held = [number for number in range(40, 80) if subset[number] == "test"]
    trained = [number for number in range(40) if subset[number] == "train"][: len(held)]
    with pytest.raises(UserError, match="class 'b' has no test image that the original never saw"):
        assign(images, shares(), FORGET, dict(zip(trained, held, strict=True)))
    with pytest.raises(
        UserError, match=r"leaves class 'a' no train image \(40 show images to forget"
    ):
        assign(images, shares(), FORGET, dict(zip(range(40), range(40, 80), strict=True)))


def test_the_split_stage_writes_the_split_and_its_counts(tmp_path, monkeypatch):
    """Must fail if the stage writes another split than `assign` gives."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, forget__classes=["b"])
    images = distinct(a=10, b=10, c=10).assign(path="x.png")
    write_table("data/samples.csv", images)
    noise = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    Path("data/images").mkdir()
    np.save("data/images/00000.npy", noise)
    request.write(FORGET, "data/request.json")
    split_dataset.main()
    written = read_table("data/split.csv")
    pd.testing.assert_frame_equal(written, assign(images, shares(), FORGET))
    assert read_metrics("metrics/split_dataset.json") == {
        "forget": {"train": 6, "test": 2},
        "retain": {"train": 12, "test": 4},
        "withdrawn": 0,
        "copies": {"equal_pixels": 0, "near_copies": 0},
        "forget_images_also_retained": 0,
    }


def photos(root: Path, **counts: int) -> None:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            Image.new("L", (4, 4), i).save(root / name / f"{i}.png")


def test_what_is_told_of_the_images_does_not_change_with_the_request(tmp_path, monkeypatch):
    """Must fail if it tells requests apart: all images would be decoded anew; or the request is not written."""
    monkeypatch.chdir(tmp_path)
    photos(Path("photos"), elephant=3, dog=3, cat=4)
    write_params(tmp_path)
    check_request.main()
    first = Path("data/source.json").read_bytes()
    assert request.read("data/request.json").classes == ("elephant",)
    write_params(tmp_path, lr=0.1, device="auto", forget__classes=["dog"])
    check_request.main()
    assert request.read("data/request.json").classes == ("dog",)
    assert Path("data/source.json").read_bytes() == first
    (Path("photos") / "dog" / "2.png").write_bytes(b"another")
    check_request.main()
    assert Path("data/source.json").read_bytes() != first
    write_params(tmp_path, data__source="synthetic", data__path=DRAWING)
    check_request.main()
    assert json.loads(Path("data/source.json").read_bytes()) == {"valid": True}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr": -1}, "lr is -1"),
        ({"data__path": "pictures"}, "data.path is 'pictures', but there is no such folder"),
        ({"data__classes": {"hund": "dog"}}, "data.classes names the folder 'hund'"),
        ({"forget__classes": ["elefant"]}, "did you mean 'elephant'?"),
        ({"forget__classes": ["mouse"]}, "class 'mouse' has 2 images"),
        ({"data__source": "synthetic", "data__path": "photos"}, "set data.source to folder"),
        (
            {"data__source": "synthetic", "data__path": DRAWING, "forget__classes": ["mouse"]},
            "but the classes are butterfly, cat, chicken",
        ),
    ],
)
def test_the_guard_refuses_before_anything_is_written(tmp_path, monkeypatch, changes, said):
    """Must fail if a mistake is left to a later stage, whose outputs DVC has then deleted."""
    monkeypatch.chdir(tmp_path)
    photos(Path("photos"), elephant=3, dog=3, cat=3, mouse=2)
    write_params(tmp_path, **changes)
    with pytest.raises(UserError) as caught:
        check_request.main()
    assert said in str(caught.value)
    assert not Path("data").exists()


def test_the_guard_asks_for_a_gpu_only_if_one_is_demanded(tmp_path, monkeypatch):
    """Must fail if `cuda` passes without a GPU, or `auto` is refused."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    photos(Path("photos"), elephant=3, dog=3, cat=3)
    write_params(tmp_path, device="auto")
    check_request.main()
    write_params(tmp_path, device="cuda")
    with pytest.raises(UserError) as caught:
        check_request.main()
    assert str(caught.value) == (
        "params.yaml: device is 'cuda', but no CUDA GPU is usable: use auto or cpu"
    )
