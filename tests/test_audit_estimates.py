"""A figure with its interval over images, and models side by side."""

import math

import numpy as np
import pytest

from unlearning.audit.compare import Figure, Panel, mean_of_references, relative
from unlearning.audit.estimates import Estimate, average, estimate, needs
from unlearning.audit.words import Unmeasured


def exact(value: float) -> Estimate:
    """Return a figure without sampling error."""
    return Estimate(value, np.full(1001, value))


def panel(subject, *references):
    return Panel({"unlearned": subject}, {str(n): value for n, value in enumerate(references)})


def test_the_interval_is_that_of_the_binomial():
    """Must fail if images are drawn without replacement (no width), or the wrong quantiles are taken."""
    found = estimate(np.mean, np.repeat([1.0, 0.0], [300, 700]))
    low, high = found.interval
    assert found.value == pytest.approx(0.3)
    # 1.96 standard errors, sqrt(0.3 * 0.7 / 1000) each.
    assert (low, high) == pytest.approx((0.2716, 0.3284), abs=0.004)


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


def test_a_divergence_is_measured_to_all_references_and_among_them():
    """Must fail if a reference is compared with itself, or the subject enters the references' mean."""
    found = relative(panel(10.0, 1.0, 2.0, 4.0), lambda p, q: exact(abs(p - q)))
    assert found.values.subjects["unlearned"].value == pytest.approx((9 + 8 + 6) / 3)
    assert found.values.references["0"].value == pytest.approx((1 + 3) / 2)
    assert mean_of_references(found.values) == pytest.approx(2.0)
    assert found.excess("unlearned", ["0", "1", "2"]).value == pytest.approx(23 / 3 - 2)


def test_a_reference_is_held_against_the_others_alone():
    """Must fail if all references enter the mean, whichever are chosen."""
    found = relative(panel(10.0, 1.0, 2.0, 4.0), lambda p, q: exact(abs(p - q)))
    assert found.excess("2", ["0", "1"]).value == pytest.approx((3 + 2) / 2 - 1)
    alone = Figure(panel(exact(0.5), exact(0.1), exact(0.2), exact(0.6)))
    assert alone.excess("2", ["0", "1"]).value == pytest.approx(0.6 - 0.15)
    assert alone.excess("unlearned", ["0", "1", "2"]).value == pytest.approx(0.2)


def test_the_variance_between_references_is_that_of_the_models():
    """Must fail if a divergence's means are taken for the models' own parts: theirs is (1/2)² of it here."""
    alone = Figure(panel(exact(0.5), exact(0.1), exact(0.2), exact(0.6)))
    assert alone.variance(["0", "1", "2"]) == (pytest.approx(0.07), 2)
    # d(i, j) = own(i) + own(j), so that each model's own part is known: 0.1, 0.2, 0.6.
    between = relative(panel(0.5, 0.1, 0.2, 0.6), lambda p, q: exact(p + q))
    assert between.variance(["0", "1", "2"]) == (pytest.approx(0.07), 2)


def test_too_few_references_say_nothing_of_their_variance():
    """Must fail if a variance of 0 is made up from one model, or from one divergence."""
    alone = Figure(panel(exact(0.5), exact(0.1), exact(0.2)))
    between = relative(panel(0.5, 0.1, 0.2), lambda p, q: exact(p + q))
    assert alone.variance(["0"])[1] == between.variance(["0", "1"])[1] == 0
    assert between.excess("unlearned", ["0"]) == Unmeasured.NO_FLOOR
    assert alone.excess("unlearned", ["0"]).value == pytest.approx(0.4)


def test_without_references_every_figure_says_so():
    """Must fail if an empty mean becomes NaN."""
    between, alone = relative(panel(1), lambda p, q: exact(0.0)), Figure(panel(exact(0.5)))
    assert between.values.subjects["unlearned"] == Unmeasured.NO_REFERENCE
    assert (
        between.excess("unlearned", []) == alone.excess("unlearned", []) == Unmeasured.NO_REFERENCE
    )
    assert mean_of_references(alone.values) == Unmeasured.NO_REFERENCE


def test_what_was_not_measured_has_no_excess():
    """Must fail if a string is compared with a number."""
    for figure in (
        Figure(panel(Unmeasured.NEEDS_20, exact(0.4), exact(0.4))),
        Figure(panel(exact(0.4), exact(0.4), Unmeasured.NEEDS_20)),
    ):
        assert figure.excess("unlearned", ["0", "1"]) == Unmeasured.NEEDS_20


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_stops_the_audit(value):
    """Must fail if a NaN goes on: no limit is below it, so it would read as inside."""
    with pytest.raises(ValueError, match="a figure is"):
        Estimate(value, np.zeros(3))
