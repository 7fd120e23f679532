"""What so many images can tell: forgotten, kept, failed, or nothing."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from unlearning.audit.assessment import Accuracies, assess, kept_against, loss_p_value
from unlearning.audit.words import Verdict

CHANCE = 1 / 9
SURE = 0.0  # that a loss is no chance


def found(forget=0.0, retain=0.95, original_forget=0.9, original_retain=0.95, forget_images=40,
          retain_images=200, chance=CHANCE):  # fmt: skip
    return assess(
        Accuracies(
            forget,
            retain,
            original_forget,
            original_retain,
            original_retain,
            forget_images,
            retain_images,
            chance,
            SURE,
        )
    )


@pytest.mark.parametrize(
    ("forget", "retain", "word"),
    [
        (0.0, 0.95, Verdict.FORGOTTEN_AND_KEPT),
        (0.02, 0.94, Verdict.FORGOTTEN_AND_KEPT),
        (0.0, 0.92, Verdict.DAMAGED),
        (0.021, 0.95, Verdict.STILL_KNOWN),
        (0.5, 0.5, Verdict.BOTH),
    ],
)
def test_the_assessment_asks_for_both_forgetting_and_keeping(forget, retain, word):
    """Must fail if one of the two conditions is dropped, or a bound moves."""
    assert found(forget, retain) == word


@pytest.mark.parametrize("images", [300, 850, 1000])
def test_a_loss_of_exactly_two_points_is_kept_whatever_the_original(images):
    """Must fail if binary rounding of an accuracy decides on which side of the bound 0.02 lies."""
    for right in range(images // 2, images + 1):
        word = found(
            retain=(right - images // 50) / images,
            original_retain=right / images,
            retain_images=images,
        )
        assert word == Verdict.FORGOTTEN_AND_KEPT


@pytest.mark.parametrize(
    ("images", "original", "word"),
    [
        # All n right: the lower bound is 0.05^(1/n), the upper one of 0 right is 1 - 0.05^(1/n).
        (1, 1.0, Verdict.TOO_FEW_IMAGES),  # 0.050 < 0.950
        (4, 1.0, Verdict.TOO_FEW_IMAGES),  # 0.473 < 0.527
        (5, 1.0, Verdict.FORGOTTEN_AND_KEPT),  # 0.549 > 0.451
        # Half of them right: 5 of 10 have a lower bound of 0.222, 10 of 20 of 0.302.
        (10, 0.5, Verdict.TOO_FEW_IMAGES),  # upper bound 0.259
        (12, 0.5, Verdict.FORGOTTEN_AND_KEPT),  # 0.245 > 0.221; two-sided, 0.211 or 0.265
        (20, 0.5, Verdict.FORGOTTEN_AND_KEPT),  # upper bound 0.139
        (20, 0.9, Verdict.FORGOTTEN_AND_KEPT),
        (37, 34 / 37, Verdict.FORGOTTEN_AND_KEPT),
    ],
)
def test_few_forget_images_make_no_success(images, original, word):
    """Must fail if a class of one test image is called forgotten, or a bound is two-sided or Wald's."""
    assert found(original_forget=original, forget_images=images) == word


def test_few_images_do_not_hide_a_failure():
    """Must fail if a model that knows all three images is not called so."""
    assert found(forget=1.0, original_forget=1.0, forget_images=3) == Verdict.STILL_KNOWN


@pytest.mark.parametrize(
    ("original", "images", "word"),
    [(0.0, 40, Verdict.NOTHING_TO_FORGET), (0.02, 50, Verdict.NOTHING_TO_FORGET),
     (0.0, 5, Verdict.NOTHING_TO_FORGET), (0.0, 4, Verdict.TOO_FEW_IMAGES)],
)  # fmt: skip
def test_nothing_is_forgotten_where_nothing_was_known(original, images, word):
    """Must fail if the original's own accuracy is not looked at, or four images tell that it knows nothing."""
    assert found(original_forget=original, forget_images=images) == word


def test_of_single_images_too_few_images_are_no_sign_of_chance():
    """Must fail if an original that is right on each of 4 images is said to know no better than chance."""
    few = Accuracies(1.0, 1.0, 1.0, 1.0, 1.0, 10, 4, 0.5, SURE)
    assert assess(few, of_images=True) == Verdict.TOO_FEW_IMAGES
    guessing = replace(few, original_retain=0.5, retain_images=20)
    assert assess(guessing, of_images=True) == Verdict.ORIGINAL_AT_CHANCE


@pytest.mark.parametrize(
    ("original", "images", "chance", "word"),
    [
        (0.0, 20, 0.5, Verdict.ORIGINAL_AT_CHANCE),
        # P(at least 14 of 20) = 0.058 by coin tosses, of 15 0.021.
        (14 / 20, 20, 0.5, Verdict.ORIGINAL_AT_CHANCE),
        (15 / 20, 20, 0.5, Verdict.FORGOTTEN_AND_KEPT),
        # Always naming a class of nine tenths is no knowledge.
        (0.9, 200, 0.9, Verdict.ORIGINAL_AT_CHANCE),
        # Of 4 coin tosses all come right with probability 0.0625, of 5 with 0.031.
        (1.0, 4, 0.5, Verdict.TOO_FEW_IMAGES),
        (1.0, 5, 0.5, Verdict.FORGOTTEN_AND_KEPT),
    ],
)
def test_an_original_at_chance_has_nothing_to_keep(original, images, chance, word):
    """Must fail if retain accuracy 0.000 before and 0.500 after is called forgotten and kept."""
    word_found = found(
        retain=max(original, 0.5),
        original_retain=original,
        retain_images=images,
        chance=chance,
    )
    assert word_found == word


@pytest.mark.parametrize(
    ("retain", "before", "word"),
    [
        # The model before this request had 0.90.
        (0.87, None, Verdict.DAMAGED),
        (0.87, 0.88, Verdict.FORGOTTEN_AND_KEPT),  # what the last game had gained may go
        (0.89, 0.92, Verdict.DAMAGED),  # a loss of 0.02 and another of 0.01
        (0.90, 0.92, Verdict.FORGOTTEN_AND_KEPT),
    ],
)
def test_after_other_requests_what_is_kept_is_held_against_the_first_model(retain, before, word):
    """Must fail if losses that are small each add up unseen, or a gain by chance must be kept for ever."""
    known = Accuracies(0.0, retain, 0.9, 0.9, before or 0.9, 40, 200, CHANCE, SURE)
    assert assess(known) == word
    of_images = {Verdict.FORGOTTEN_AND_KEPT: Verdict.KEPT}.get(word, word)
    assert assess(known, of_images=True) == of_images


@pytest.mark.parametrize(
    ("retain", "retrained", "word"),
    [
        (0.87, 0.89, Verdict.FORGOTTEN_AND_KEPT),  # the original has 0.90
        (0.86, 0.89, Verdict.DAMAGED),
        (0.88, 0.95, Verdict.FORGOTTEN_AND_KEPT),  # what others gain is no demand
        (0.87, 0.95, Verdict.DAMAGED),
    ],
)
def test_what_retrained_models_lose_as_well_is_no_damage(retain, retrained, word):
    """Must fail if a model retrained on fewer images is called damaged, or one must gain what others did."""
    against = kept_against(np.array([0.9]), np.array([retrained])).item()
    known = Accuracies(0.0, retain, 0.9, 0.9, against, 40, 200, CHANCE, SURE)
    assert assess(known) == word


@pytest.mark.parametrize(
    ("retrained", "same_recipe", "against"),
    [(0.60, 0.62, 0.93), (0.60, 0.60, 0.95), (0.97, 0.96, 0.95), (0.60, None, 0.60)],
)
def test_a_poor_recipe_of_the_references_excuses_no_damage(retrained, same_recipe, against):
    """Must fail if a stranger's model of 0.95 may fall to what our recipe makes of its images."""
    same_recipe = None if same_recipe is None else np.array([same_recipe])
    found = kept_against(np.array([0.95]), np.array([retrained]), same_recipe)
    assert found == pytest.approx([against])


def test_what_is_held_against_a_model_is_said_of_each_image():
    """Must fail if the lower of two is taken image by image: less than either model knows."""
    before, retrained = np.array([1.0, 1.0, 0.0, 1.0]), np.array([0.5, 0.5, 1.0, 0.5])
    assert kept_against(before, retrained).tolist() == [0.5, 0.5, 1.0, 0.5]
    assert kept_against(before, retrained, np.array([1.0, 0.5, 1.0, 0.5])).tolist() == [
        0.5,
        1,
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("p_value", "forget", "word"),
    [
        (0.049, 0.0, Verdict.DAMAGED),
        (0.051, 0.0, Verdict.TOO_FEW_IMAGES),
        (0.049, 0.5, Verdict.BOTH),
        (0.051, 0.5, Verdict.STILL_KNOWN),
    ],
)
def test_a_loss_that_may_be_chance_is_no_damage_and_no_success(p_value, forget, word):
    """Must fail if one image in 45 damages a model, or if few images hide what it lost."""
    known = Accuracies(forget, 0.85, 0.9, 0.9, 0.9, 40, 45, CHANCE, p_value)
    assert assess(known) == word
    of_images = replace(known, back=forget)
    assert assess(of_images, of_images=True) == word
    assert assess(replace(known, forget=0.0, retain=0.88)) == Verdict.FORGOTTEN_AND_KEPT


@pytest.mark.parametrize(
    ("lost", "kept", "gained", "p_value"),
    [
        (0, 9, 0, 1.0),
        (1, 0, 0, 0.5),
        (5, 0, 0, 1 / 32),
        (3, 42, 0, 0.125),  # by t alone 0.042
        (2, 7, 2, 0.5),
        # By hand: mean 0.1, variance (0.2 - 0.01) * 100 / 99, t = 0.1 / sqrt(0.0019191...) = 2.2827.
        (15, 80, 5, student.sf(2.2827, 99)),
    ],
)
def test_how_probable_a_loss_is_by_chance(lost, kept, gained, p_value):
    """Must fail if the test is two-sided or unpaired, or t alone is believed where few images differ."""
    differences = np.repeat([1.0, 0.0, -1.0], [lost, kept, gained])
    assert loss_p_value(differences) == pytest.approx(p_value, rel=1e-3)


def test_images_lost_in_part_count_in_part():
    """Must fail if a fifth lost of each of five images is as sure as five lost."""
    assert loss_p_value(np.full(5, 0.2)) == 0.5
    assert loss_p_value(np.full(10, 0.5)) == 1 / 32


@pytest.mark.parametrize("images", [20, 45, 200])
def test_of_models_that_are_alike_one_in_twenty_is_called_damaged_at_most(images):
    """Must fail if two points decide by themselves: of 45 images a quarter of all models lose these."""
    draws = np.random.default_rng(0)
    knows = draws.beta(8, 1, (400, images, 1))  # some images are hard for every model
    models = (draws.random((400, images, 4)) < knows).astype(float)
    lost = models[..., :3].mean(axis=2) - models[..., 3]
    found = [loss_p_value(each) < 0.05 and each.mean() > 0.02 for each in lost]
    assert np.mean(found) < 0.05
    hurt = lost + models[..., 3] * (draws.random(lost.shape) < 0.3)
    assert np.mean([loss_p_value(each) < 0.05 for each in hurt]) > (0.6 if images < 45 else 0.9)
