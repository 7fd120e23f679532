"""Without retrained models: limits by hand, and what is contradicted of models made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from test_audit_images import observed_of
from test_audit_result import PRIOR, RATES, fewer_resamples, metrics_of, views_of  # noqa: F401
from test_limits import exact, noisy

from unlearning.audit import attacks, representation, result
from unlearning.audit.compare import Figure
from unlearning.audit.estimates import plain
from unlearning.audit.limits import Prior
from unlearning.audit.words import Unmeasured, Verdict
from unlearning.models.layers import DEEP
from unlearning.models.panel import CONTROL, ORIGINAL, UNLEARNED, Panel

FEATURES, OUTPUTS = "membership_auc.features", "membership_auc.true_class_probability"


def read(**values):
    figures = {
        name.replace("__", "."): Figure(Panel({UNLEARNED: value}, {}))
        for name, value in values.items()
    }
    return attacks.readings(
        figures, UNLEARNED, Prior({FEATURES: 0.03, "membership_outputs": 0.04}, 6.0)
    )


@pytest.mark.parametrize(
    ("value", "limit", "word"),
    # Student's t, 6 degrees, 95 %: 1.94318. Of images and seeds together: root of 0.04² + 0.03² = 0.05.
    [
        (exact(0.558), 1.94318 * 0.03, "inside"),
        (exact(0.559), 1.94318 * 0.03, "outside"),
        (noisy(0.597, 0.04), 1.94318 * 0.05, "inside"),
        (noisy(0.598, 0.04), 1.94318 * 0.05, "outside"),
        (exact(0.1), 1.94318 * 0.03, "inside"),
    ],
)
def test_an_attack_on_members_is_held_against_a_coin_toss(value, limit, word):
    """Must fail if noise of images or of seeds is left out, or an attack that errs counts."""
    found = read(membership_auc__features=value)[FEATURES]
    assert (found.limit, found.reading) == (pytest.approx(limit, rel=1e-4), word)
    assert found.distance == pytest.approx(value.value - 0.5)


def test_the_error_is_shared_by_what_could_be_measured():
    """Must fail if each has 5 % of its own, or one takes a share that has no bound, or a fixed limit."""
    found = read(
        membership_auc__features=exact(0.5),
        membership_auc__true_class_probability=exact(0.5),
        few_shot_recall=exact(0.5),  # of which no bound is known
        kept_few_shot_recall=Unmeasured.NEEDS_10,
        returned_accuracy=exact(0.0),
    )
    assert found[FEATURES].limit == pytest.approx(2.44691 * 0.03, rel=1e-4)  # 97.5 %
    assert found[OUTPUTS].limit == pytest.approx(2.44691 * 0.04, rel=1e-4)
    assert found["few_shot_recall"].reading == Unmeasured.NEEDS_10
    assert found["returned_accuracy"].limit == 0.02


@pytest.mark.parametrize(("forget", "word"), [(0.47, "inside"), (0.48, "outside")])
def test_a_class_is_held_against_the_kept_ones(forget, word):
    """Must fail if it is held against 0, by the retrained models' prior, or without noise: 1.943 x 0.04."""
    found = read(few_shot_recall=noisy(forget, 0.04), kept_few_shot_recall=exact(0.4))[
        "few_shot_recall"
    ]
    assert (found.reading, found.limit) == (word, pytest.approx(1.94318 * 0.04, rel=1e-4))


@pytest.mark.parametrize(("returned", "word"), [(0.02, "inside"), (0.03, "outside")])
def test_a_class_that_comes_back_was_there(returned, word):
    """Must fail if retain images may bring a class back."""
    assert read(returned_accuracy=exact(returned))["returned_accuracy"].reading == word


def test_the_lower_quartile_is_of_kept_classes_each_in_the_place_of_a_forget_class():
    """Must fail if the forget class is among them, or the mean is taken: the quartile of 0, 1 and 1 is 0.5."""
    views = views_of(0)
    sample = views.sample
    place = sample.labels.copy()
    place[(sample.labels == 0) & (sample.subsets == "test")] = 1  # they look like another class
    features = 9.0 * np.eye(12)[place] + np.random.default_rng(0).normal(size=(len(place), 12))
    view = replace(
        views.models.subjects[ORIGINAL],
        layers=dict.fromkeys(views.models.subjects[ORIGINAL].layers, features),
    )
    probed = representation.probe_all(replace(views, models=Panel({ORIGINAL: view}, {}))).subjects[
        ORIGINAL
    ]
    assert plain(probed.kept_few_shot) == plain(probed.kept_neighbours) == 0.5


def remembering(view, sample):
    """Return the model with something in its features that only members have."""
    mark = np.where(np.isin(np.arange(len(sample.labels)), sample.members), 6.0, 0.0)
    layers = dict(view.layers)
    for layer in DEEP:
        layers[layer] = layers[layer] + mark[:, None] * np.eye(layers[layer].shape[1])[0]
    return replace(view, layers=layers)


@pytest.mark.parametrize("references", [0, 1])
def test_a_model_that_remembers_is_contradicted_and_an_honest_one_is_not(references):
    """Must fail if without references nothing is said, or only the outputs are attacked."""
    views = views_of(references)
    models, sample = views.models, views.sample
    marked = {name: remembering(models.subjects[name], sample) for name in (ORIGINAL, CONTROL)}
    marked[CONTROL] = replace(marked[CONTROL], layers=marked[ORIGINAL].layers)
    panel = Panel({UNLEARNED: models.subjects[UNLEARNED], **marked}, models.references)
    found = metrics_of(replace(views, models=panel))
    assert found["verdict"] == Verdict.NOT_CONTRADICTED
    assert found["verdicts"] == {ORIGINAL: Verdict.STILL_KNOWN, CONTROL: Verdict.CONTRADICTED}
    assert found["original"]["memory"] == "outside"
    assert found["error_rates"] == RATES.at(0)
    assert found["decisive"] == {"inside": 6, "outside": 0}

    forgetful = remembering(models.subjects[UNLEARNED], sample)
    found = metrics_of(
        replace(views, models=replace(panel, subjects={**panel.subjects, UNLEARNED: forgetful}))
    )
    assert found["verdict"] == Verdict.CONTRADICTED


@pytest.mark.parametrize(
    ("remembers", "original", "words"),
    [
        (False, True, (Verdict.NOT_CONTRADICTED, Verdict.CONTRADICTED)),
        (True, True, (Verdict.CONTRADICTED, Verdict.CONTRADICTED)),
        (False, False, (Verdict.NOT_CONTRADICTED, Verdict.NOT_CONTRADICTED)),
    ],
)
def test_single_images_are_judged_by_members_and_others(remembers, original, words):
    """Must fail if probes for a class are waited for, or an original that knows nothing is contradicted."""
    observed = observed_of(0, remembers, original)
    found = result.figures(observed)
    prior = Prior(
        dict.fromkeys(("membership_outputs", "membership_auc.layer3", FEATURES), 0.03), 8.0
    )
    judged = result.judge(found, observed, prior)
    assert set(judged[UNLEARNED]) == {OUTPUTS, "membership_auc.layer3", FEATURES}
    metrics = result.metrics(found, judged, observed, RATES)
    assert (metrics["verdict"], metrics["verdicts"][ORIGINAL]) == words
