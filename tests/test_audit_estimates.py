"""A figure with its interval over images, and models side by side with their floor."""

import numpy as np
import pytest

from unlearning.audit.compare import Panel, mean_of_references, own, relative
from unlearning.audit.estimates import Estimate, average, estimate, needs
from unlearning.audit.words import Unmeasured

# A figure of which any difference counts, or only higher, or only lower values.
BY_DIRECTION = {0: "confidence_mean", 1: "forget_accuracy", -1: "retain_accuracy"}


def exact(value: float) -> Estimate:
    """Return a figure without sampling error."""
    return Estimate(value, np.full(1001, value))


def noisy(value: float, half_width: float) -> Estimate:
    """Return a figure whose 95 % interval reaches half_width to both sides."""
    return Estimate(value, value + half_width * np.linspace(-1, 1, 1001) / 0.95)


def panel(subject, *references):
    return Panel({"unlearned": subject}, {str(n): value for n, value in enumerate(references)})


def test_the_interval_is_that_of_the_binomial():
    """Must fail if images are drawn without replacement (no width), or the wrong quantiles are taken."""
    found = estimate(np.mean, np.repeat([1.0, 0.0], [300, 700]))
    low, high = found.interval
    assert found.value == pytest.approx(0.3)
    # 1.96 standard errors, sqrt(0.3 * 0.7 / 1000) each.
    assert (low, high) == pytest.approx((0.2716, 0.3284), abs=0.004)
    assert found.half_width == pytest.approx((high - low) / 2)


def test_the_same_images_give_the_same_interval_and_differences_are_paired():
    """Must fail if each estimate draws its own images: equal models would seem to differ."""
    values = np.random.default_rng(1).random(50)
    difference = estimate(np.mean, values + 0.25) - estimate(np.mean, values)
    assert isinstance(difference, Estimate)
    assert difference.interval == pytest.approx((0.25, 0.25))


def test_groups_are_resampled_one_by_one():
    """Must fail if the second group is drawn with the first one's rows."""
    ups, downs = np.arange(20.0), np.arange(30.0)
    found = estimate(lambda a, b: float(a.mean() - b.mean() + len(a) * 100 + len(b)), ups, downs)
    assert found.value == pytest.approx(9.5 - 14.5 + 2030)
    assert (np.abs(found.resampled - 2030) < 20).all()


def test_too_few_images_are_said_to_be_too_few():
    """Must fail if the smaller group is not looked at, or `least` itself is too few."""
    assert estimate(np.mean, np.ones(9)) == "not measured: needs 10 images"
    assert isinstance(estimate(np.mean, np.ones(10)), Estimate)
    assert estimate(np.mean, np.ones(50), np.ones(19), least=20) == needs(20)


def test_a_mean_over_models_is_not_measured_where_one_of_them_is_not():
    """Must fail if a string is left out of the mean."""
    assert average([exact(0.2), exact(0.4)]).value == pytest.approx(0.3)
    assert average([exact(0.2), Unmeasured.NEEDS_20]) == Unmeasured.NEEDS_20


@pytest.mark.parametrize(
    ("value", "word"),
    # Floor 0.2 (0.4 and 0.6), margin 0.1. Distance: mean of |x - 0.4| and |x - 0.6|.
    [(0.5, "inside"), (0.799, "inside"), (0.801, "near"), (0.999, "near"), (1.001, "outside")],
)
def test_readings_change_at_floor_plus_margin_and_twice_floor_plus_margin(value, word):
    """Must fail if the margin is doubled too, left out, or the floor is not the references' own."""
    reading = own(BY_DIRECTION[0], panel(noisy(value, 0.1), exact(0.4), exact(0.6))).readings[
        "unlearned"
    ]
    assert reading.floor == pytest.approx(0.2)
    assert reading.margin == pytest.approx(0.1, abs=0.001)
    assert reading.reading == word


def test_equal_figures_are_inside_a_floor_of_zero():
    """Must fail if rounding noise counts as a difference."""
    third = exact(0.1 + 0.2)
    assert (
        own(BY_DIRECTION[0], panel(exact(0.3), third, third)).readings["unlearned"].reading
        == "inside"
    )


@pytest.mark.parametrize(("only_worse", "distance"), [(0, 0.3), (-1, 0.3), (1, 0.0)])
def test_only_the_worse_direction_counts_where_there_is_one(only_worse, distance):
    """Must fail if the sign is turned round: a better accuracy would be held against the model."""
    found = own(BY_DIRECTION[only_worse], panel(exact(0.6), exact(0.9), exact(0.9)))
    assert found.readings["unlearned"].distance == pytest.approx(distance)


@pytest.mark.parametrize("references", [(0.6, 0.9), (0.9, 0.6)])
def test_the_floor_of_a_one_sided_figure_does_not_depend_on_the_order_of_the_seeds(references):
    """Must fail if each pair is taken once: the floor would be 0 or 0.3, by the order of the seeds."""
    found = own(BY_DIRECTION[-1], panel(exact(0.5), *map(exact, references)))
    assert found.readings["unlearned"].floor == pytest.approx(0.15)


def test_the_floor_is_the_mean_over_all_pairs():
    """Must fail if only neighbours are compared, or the largest difference is taken."""
    found = own(BY_DIRECTION[0], panel(exact(0.5), exact(0.1), exact(0.2), exact(0.6))).readings[
        "unlearned"
    ]
    assert found.floor == pytest.approx((0.1 + 0.5 + 0.4) / 3)
    assert found.distance == pytest.approx((0.4 + 0.3 + 0.1) / 3)


def test_a_divergence_is_measured_to_all_references_and_among_them():
    """Must fail if a reference is compared with itself, or the subject enters the floor."""
    found = relative(panel(10.0, 1.0, 2.0, 4.0), lambda p, q: exact(abs(p - q)))
    reading = found.readings["unlearned"]
    assert found.values.subjects["unlearned"].value == pytest.approx((9 + 8 + 6) / 3)
    assert found.values.references["0"].value == pytest.approx((1 + 3) / 2)
    assert reading.distance == pytest.approx((9 + 8 + 6) / 3)
    assert reading.floor == pytest.approx((1 + 3 + 2) / 3)
    assert mean_of_references(found.values) == pytest.approx(2.0)


def test_a_similarity_is_counted_from_where_equals_stand():
    """Must fail if 1 - x is taken for the value, or the value for the distance."""
    found = relative(panel(0, 1, 2), lambda p, q: exact(0.9 if 0 in (p, q) else 0.95), equal_at=1)
    assert found.values.subjects["unlearned"].value == pytest.approx(0.9)
    assert found.readings["unlearned"].distance == pytest.approx(0.1)
    assert found.readings["unlearned"].floor == pytest.approx(0.05)


def test_without_references_every_reading_says_so():
    """Must fail if an empty mean becomes NaN."""
    for figure in (
        own(BY_DIRECTION[0], panel(exact(0.5))),
        relative(panel(1), lambda p, q: exact(0.0)),
    ):
        reading = figure.readings["unlearned"]
        assert {reading.distance, reading.floor, reading.reading} == {Unmeasured.NO_REFERENCE}
    assert (
        relative(panel(1), lambda p, q: exact(0.0)).values.subjects["unlearned"]
        == Unmeasured.NO_REFERENCE
    )
    assert (
        mean_of_references(own(BY_DIRECTION[0], panel(exact(0.5))).values)
        == Unmeasured.NO_REFERENCE
    )


def test_one_reference_gives_a_distance_but_no_floor():
    """Must fail if a floor of 0 is made up from one model."""
    reading = own(BY_DIRECTION[0], panel(exact(0.5), exact(0.4))).readings["unlearned"]
    assert (reading.distance, reading.floor, reading.reading) == (
        pytest.approx(0.1), Unmeasured.NO_FLOOR, Unmeasured.NO_FLOOR
    )  # fmt: skip


def test_what_was_not_measured_has_no_reading():
    """Must fail if a string is compared with a number."""
    reading = own(BY_DIRECTION[0], panel(Unmeasured.NEEDS_20, exact(0.4), exact(0.4))).readings[
        "unlearned"
    ]
    assert reading.reading == Unmeasured.NEEDS_20
