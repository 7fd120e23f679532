"""Could this be one more retrained model? Limits by hand, their prior by simulation, and the rate of errors."""

import math

import numpy as np
import pytest

from unlearning.audit import calibration, catalogue
from unlearning.audit.calibration import Rates, error_rates, fit
from unlearning.audit.compare import Figure, relative
from unlearning.audit.estimates import Estimate
from unlearning.audit.limits import Prior, readings, scale
from unlearning.audit.words import Unmeasured
from unlearning.base.errors import UserError
from unlearning.models.panel import UNLEARNED, Panel

# Of the first any difference counts, of the others only higher values.
TWO_SIDED, HIGHER, IN_SHARE = "membership_auc.features", "membership_outputs", "destination_tv"
# Retrained models differ in the third in proportion to what they have: 0.06 of 0.5.
PRIOR = Prior({TWO_SIDED: 0.03, HIGHER: 0.03, IN_SHARE: 0.06, "js_to_retrained": 0.03}, 6.0)


def exact(value: float) -> Estimate:
    """Return a figure without noise of images."""
    return Estimate(value, np.full(1001, value))


def noisy(value: float, deviation: float) -> Estimate:
    """Return a figure whose values over resampled images have this standard deviation."""
    spread = np.linspace(-1, 1, 1001)
    return Estimate(value, value + deviation * spread / spread.std())


def figure(subject: Estimate, *references: float) -> Figure:
    return Figure(
        Panel({UNLEARNED: subject}, {str(n): exact(value) for n, value in enumerate(references)})
    )


def reading(figures, name, references=3, prior=PRIOR):
    return readings(figures, UNLEARNED, [str(n) for n in range(references)], prior)[name]


@pytest.mark.parametrize(
    ("name", "subject", "distance", "limit", "word"),
    # Of 0.4, 0.5, 0.6: mean 0.5, variance 0.01 with 2 degrees. Moderated: (6 x 0.0009 + 2 x 0.01) / 8 =
    # 0.003175; of one more model's excess 4/3 of it, root 0.065064. Student's t, 8 degrees: 2.306 at 97.5 %,
    # 1.8595 at 95 %.
    [
        (TWO_SIDED, 0.64, 0.14, 0.15004, "inside"),
        (TWO_SIDED, 0.34, 0.16, 0.15004, "outside"),
        (HIGHER, 0.63, 0.13, 0.12099, "outside"),
        (HIGHER, 0.30, -0.20, 0.12099, "inside"),
        (IN_SHARE, 0.63, 0.13, 0.12099, "outside"),
        (IN_SHARE, 0.30, -0.20, 0.12099, "inside"),
    ],
)
def test_limits_by_hand(name, subject, distance, limit, word):
    """Must fail if the prior is left out, degrees are not added, or a sign is turned round."""
    found = reading({name: figure(exact(subject), 0.4, 0.5, 0.6)}, name)
    assert found.distance == pytest.approx(distance)
    assert found.limit == pytest.approx(limit, abs=1e-5)
    assert found.reading == word


def test_noise_of_images_widens_the_limit():
    """Must fail if it is left out, or not brought to one model: variance 0.04² / (4/3) = 0.0012."""
    found = reading({TWO_SIDED: figure(noisy(0.5, 0.04), 0.4, 0.5, 0.6)}, TWO_SIDED)
    moderated = (6 * (0.0009 + 0.0012) + 2 * 0.01) / 8
    assert found.limit == pytest.approx(2.306004 * math.sqrt(moderated * 4 / 3), rel=1e-4)


def test_the_error_is_shared_among_the_figures_that_could_be_measured():
    """Must fail if each figure errs at 5 %, or what was not measured takes its share: 3.0158 at 1 - 0.05/6."""
    one = figure(exact(0.5), 0.4, 0.5, 0.6)
    nothing = Figure(Panel({UNLEARNED: Unmeasured.NEEDS_10}, one.values.references))
    found = {
        TWO_SIDED: one,
        HIGHER: one,
        IN_SHARE: one,
        "js_to_retrained": nothing,
        "confidence_mean": one,
    }
    assert not catalogue.decides("confidence_mean")
    limit = 0.065064 * 3.015763
    assert reading(found, TWO_SIDED).limit == pytest.approx(limit, rel=1e-3)
    assert reading(found, "js_to_retrained").reading == Unmeasured.NEEDS_10
    assert "confidence_mean" not in readings(found, UNLEARNED, ["0", "1"], PRIOR)


@pytest.mark.parametrize(
    ("name", "unit"),
    [("few_shot_recall", 0.2), ("knn_recall", 0.4), ("auditor_auc.outputs", 0.01), ("membership_outputs", 1.0)],
)  # fmt: skip
def test_a_spread_is_in_its_figures_unit(name, unit):
    """Must fail if a spread is taken as it stands: of references at 0.2, half above 0.5 being none."""
    assert scale(name, figure(exact(0.2), 0.1, 0.2, 0.3), ["0", "1", "2"]) == pytest.approx(unit)


def test_two_references_and_equal_ones_still_have_a_limit():
    """Must fail if two references that happen to agree leave no room: each other model would lie outside."""
    found = reading({TWO_SIDED: figure(exact(0.53), 0.5, 0.5)}, TWO_SIDED, references=2)
    # (6 x 0.0009 + 0) / 7, 3/2 of it; Student's t, 7 degrees: 2.364624.
    assert found.limit == pytest.approx(2.364624 * math.sqrt(0.0054 / 7 * 1.5), rel=1e-4)
    assert found.reading == "inside"
    equal = relative(Panel({UNLEARNED: 0.3}, {"0": 0.1 + 0.2, "1": 0.3}), lambda p, q: exact(p - q))
    tight = Prior({"js_to_retrained": 0.0}, 6.0)
    assert reading({"js_to_retrained": equal}, "js_to_retrained", 2, tight).reading == "inside"


def runs_of(sets: int, models: int, random, seed_spread=0.03, noise=0.02, degrees=30.0, shift=0.0):
    """Return runs whose spread between seeds differs from set to set as the prior says."""
    names = (TWO_SIDED, HIGHER, IN_SHARE)
    found = []
    for _ in range(sets):
        run = {}
        for name in names:
            total = math.sqrt((seed_spread**2 + noise**2) * degrees / random.chisquare(degrees))
            values = 0.5 + total * random.normal(size=models + 1)
            drawn = [Estimate(v, v + noise * random.normal(size=200)) for v in values]
            away = Estimate(drawn[0].value + shift, drawn[0].resampled + shift)
            run[name] = Figure(
                Panel(
                    {UNLEARNED: drawn[0], "original": away},
                    {str(n): drawn[n] for n in range(1, models + 1)},
                )
            )
        found.append(run)
    return found


def run_with(name: str, found: Figure):
    """Return a run in which this figure alone is not the same for all references."""
    equal = figure(exact(0.5), 0.5, 0.5, 0.5)
    return dict.fromkeys((TWO_SIDED, HIGHER, IN_SHARE), equal) | {name: found}


def noisy_figure(deviation: float, *references: float) -> Figure:
    return Figure(
        Panel(
            {UNLEARNED: exact(0.5)},
            {str(n): noisy(v, deviation if n == 0 else 0.0) for n, v in enumerate(references)},
        )
    )


def test_the_prior_is_the_largest_spread_without_the_noise_of_images():
    """Must fail if noise is not taken off, the mean of the runs is taken, or a spread is not in its unit."""
    wide, narrow = figure(exact(0.5), 0.4, 0.5, 0.6), figure(exact(0.5), 0.49, 0.5, 0.51)
    assert fit([run_with(TWO_SIDED, wide), run_with(TWO_SIDED, narrow)]).spreads[
        TWO_SIDED
    ] == pytest.approx(0.1)
    assert fit([run_with(IN_SHARE, wide)]).spreads[IN_SHARE] == pytest.approx(0.1 / 0.5)
    # The first reference alone is noisy: of the excesses' variances, 0.06² (1, 1/4, 1/4), the mean is 0.0018;
    # a single model has 1 / (1 + 1/2) of it, and 0.01 - 0.0012 are left.
    noised = fit([run_with(TWO_SIDED, noisy_figure(0.06, 0.4, 0.5, 0.6))]).spreads[TWO_SIDED]
    assert noised == pytest.approx(math.sqrt(0.01 - 0.0012))
    # Noise beyond all variance leaves a tenth of it.
    drowned = fit([run_with(TWO_SIDED, noisy_figure(0.9, 0.4, 0.5, 0.6))]).spreads[TWO_SIDED]
    assert drowned == pytest.approx(math.sqrt(0.001))


def test_a_figure_that_no_run_measures_is_refused():
    """Must fail if the largest of nothing ends in a traceback."""
    nothing = Figure(
        Panel({UNLEARNED: exact(0.5)}, {str(n): Unmeasured.NEEDS_10 for n in range(3)})
    )
    with pytest.raises(UserError, match=f"no run measures {TWO_SIDED}"):
        fit([run_with(TWO_SIDED, nothing)])


def test_of_retrained_models_one_in_twenty_is_told_apart_and_of_others_nearly_all():
    """Must fail if the smallest spread is the prior, the unlearned model is taken for a control, or choices of
    references are counted as models.
    """
    runs = runs_of(sets=8, models=5, random=np.random.default_rng(2), shift=0.3)
    found = error_rates(runs, counts=(2, 4))
    for count in (2, 4):
        assert found.false_alarms[count] < 0.06
        assert found.caught[count] > 0.95
        assert (found.false_alarms_of[count], found.caught_of[count]) == (8 * 5, 8)


def test_rates_are_those_of_the_next_fewer_references():
    """Must fail if the rate of more references than there are is quoted, or with another's number of models."""
    rates = Rates({2: 0.04, 4: 0.03}, {2: 24, 4: 12}, {2: 0.9, 4: 0.97}, {2: 6, 4: 3})
    two = {"false_alarms": 0.04, "false_alarms_of": 24, "caught": 0.9, "caught_of": 6}
    four = {"false_alarms": 0.03, "false_alarms_of": 12, "caught": 0.97, "caught_of": 3}
    assert (rates.at(3), rates.at(9)) == (two, four)


@pytest.mark.parametrize("of_images", [False, True])
def test_what_is_shipped_is_whole(tmp_path, monkeypatch, of_images):
    """Must fail if a figure that decides has no prior, what is written is not what is read, or a rate stands
    without the number of models that it rests on.
    """
    prior, rates = calibration.load(of_images=of_images)
    families = {catalogue.family(name) for name in prior.spreads}
    deciding = {
        key
        for key, each in catalogue.ENTRIES.items()
        if (each.decides_of_images if of_images else each.decides) != ()
    }
    assert families == deciding
    assert all(catalogue.decides(name, of_images=of_images) for name in prior.spreads)
    assert min(prior.spreads.values()) > 0 and set(rates.false_alarms) == (
        {0, 2} if of_images else set(calibration.COUNTS)
    )
    assert set(rates.false_alarms_of) == set(rates.caught_of) == set(rates.false_alarms)
    assert min(*rates.false_alarms_of.values(), *rates.caught_of.values()) >= 4
    file = tmp_path / "calibration.json"
    file.write_text(calibration.as_json(prior, rates))
    monkeypatch.setattr(calibration, "FILE", file)
    calibration.load.cache_clear()
    assert calibration.load(of_images=of_images) == (prior, rates)
    calibration.load.cache_clear()


def test_without_references_what_is_contradicted_counts():
    """Must fail if rates for no references are those of limits, which need some."""
    run = {TWO_SIDED: figure(exact(0.9), 0.5, 0.5)}
    assert calibration.told_apart(run, UNLEARNED, (), PRIOR)
    assert not calibration.told_apart(run, "0", (), PRIOR)


def test_too_few_runs_or_models_are_refused():
    """Must fail if seven references are asked of seven models, or a run judges itself."""
    calibration.require_models([8, 9, 8])
    with pytest.raises(UserError, match="7 retrained models, but it takes 8"):
        calibration.require_models([9, 7, 9])
    with pytest.raises(UserError, match="three runs or more"):
        calibration.require_models([9, 9])
