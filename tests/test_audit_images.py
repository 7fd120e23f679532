"""The audit of a request for single images, on models made by hand: honest ones, and one that remembers."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from test_audit_result import CLASSES, NAMES, RATES, WIDTH  # fmt: skip

from unlearning.audit import catalogue, evaluation, gap, membership, result
from unlearning.audit.assessment import Accuracies, assess
from unlearning.audit.compare import depending
from unlearning.audit.estimates import Estimate
from unlearning.audit.limits import Prior, Reading
from unlearning.audit.verdict import verdict
from unlearning.audit.words import Distance, Unmeasured, Verdict
from unlearning.base.files import write_metrics
from unlearning.data.request import Request, SingleImages
from unlearning.models.layers import LAYERS
from unlearning.models.panel import ORIGINAL, UNLEARNED, Panel
from unlearning.observe.record import Observation, Observed, Sample, Shared
from unlearning.observe.views import sample

PRIOR = Prior(
    {
        "forget_accuracy": 0.05,
        "js_to_retrained": 0.2,
        "membership_outputs": 0.04,
        "membership_auc.likelihood_ratio": 0.04,
        "membership_auc.layer3": 0.06,
        "membership_auc.features": 0.06,
        "auditor_auc.outputs": 0.4,
    },
    8.0,
)
MEASURES = membership._measures(10)


def likelihood_ratio(odds, is_member):
    split = partial(membership._split, np.zeros(len(is_member), dtype=int), is_member)
    found = membership._against_references(odds, split, MEASURES)
    return found["membership_auc.likelihood_ratio"]


MEMBERS, KEPT, TEST = 12, 12, 24  # of each class


def sample_of() -> Sample:
    """Return, of each of four classes, training images to forget and to retain, and test images."""
    each = ["forget"] * MEMBERS + ["retain"] * (KEPT + TEST)
    subsets = np.tile(["train"] * (MEMBERS + KEPT) + ["test"] * TEST, CLASSES)
    count = len(subsets)
    return Sample(
        np.arange(count),
        np.repeat(np.arange(CLASSES), MEMBERS + KEPT + TEST),
        np.tile(each, CLASSES),
        subsets,
        (),
        NAMES,
        subsets == "test",
        np.zeros(count, dtype=int),
    )


def model(sample: Sample, seed: int, remembers: bool) -> Observation:
    """Return one that is unsure of what it never saw, but certain of images that it remembers."""
    random, pictures = np.random.default_rng(seed), np.random.default_rng(99)
    seen = (sample.subsets == "train") & ((sample.roles == "retain") | remembers)
    ease = np.where(seen, 6.0, pictures.normal(2.0, 1.5, len(seen)))
    logits = random.normal(size=(len(seen), CLASSES)) * 0.3
    logits[np.arange(len(seen)), sample.labels] += ease
    features = random.normal(size=(len(seen), WIDTH)) + 4 * np.eye(WIDTH)[sample.labels]
    features[:, -1] += 4.0 * seen
    layers = {name: features.astype(np.float32) for name in LAYERS}
    right = logits.argmax(axis=1) == sample.labels
    accuracy = {
        role: float(right[(sample.roles == role) & (sample.subsets == "train")].mean())
        for role in ("forget", "retain")
    }
    return Observation(logits.astype(np.float32), layers, accuracy)


def observed_of(references: int = 3, unlearned: bool = False, original: bool = True) -> Observed:
    sample = sample_of()
    subjects = {
        UNLEARNED: model(sample, 4, remembers=unlearned),
        ORIGINAL: model(sample, 2, remembers=original),
    }
    retrained = {str(seed): model(sample, 10 + seed, remembers=False) for seed in range(references)}
    judged = len(sample.judged)
    shared = Shared(
        np.zeros((judged, CLASSES), np.float32),
        np.zeros(CLASSES),
        {name: np.full(judged, 0.05) for name in ("extractor", UNLEARNED)},
    )
    return Observed(sample, Panel(subjects, retrained), shared)


@pytest.fixture(scope="module", autouse=True)
def fewer_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unlearning.audit.estimates.RESAMPLES", 100)
        yield


def metrics_of(observed: Observed) -> dict:
    found = result.figures(observed)
    return result.metrics(found, result.judge(found, observed, PRIOR), observed, RATES)


def test_an_honest_model_is_not_told_apart_and_the_original_is():
    """Must fail if forgetting is measured by accuracy 0."""
    found = metrics_of(observed_of())
    assert found["request"] == "images"
    assert found["verdict"] == Verdict.NOT_TOLD_APART
    assert found["verdicts"] == {ORIGINAL: Verdict.TOLD_APART}
    assert found["original"] == {"memory": "outside"}
    assert found["worst_forget_accuracy"] > 0.5
    assert found["membership_auc"]["likelihood_ratio"] == pytest.approx(0.5, abs=0.1)


def test_a_model_that_still_remembers_is_told_apart():
    """Must fail if only the original is looked at."""
    assert metrics_of(observed_of(unlearned=True))["verdict"] == Verdict.TOLD_APART


def test_where_the_original_remembers_nothing_that_is_said():
    """Must fail if a model is praised for forgetting what nobody remembered."""
    found = metrics_of(observed_of(original=False))
    assert found["verdict"] == found["verdicts"][ORIGINAL] == Verdict.NOR_THE_ORIGINAL


@pytest.mark.parametrize("references", [0, 1])
def test_without_references_nothing_that_needs_them_is_judged(references):
    """Must fail if a figure that needs retrained models is made up, or a mean over none crashes."""
    found = metrics_of(observed_of(references))
    assert found["verdict"] == Verdict.NOT_CONTRADICTED
    reason = Unmeasured.NO_REFERENCE if references == 0 else None
    if reason:
        assert found["membership_auc"]["likelihood_ratio"] == reason
        assert found["gap"] == reason


def test_figures_of_a_class_are_left_out():
    """Must fail if probes for a class or relearning are shown where no class is forgotten."""
    found = result.figures(observed_of())
    families = {catalogue.family(name) for name in found}
    assert not families & {"few_shot_recall", "knn_recall", "relearn_passes", "cka_to_original"}
    deciding = {name for name in found if catalogue.decides(name, of_images=True)}
    assert deciding == set(PRIOR.spreads)
    rows = result.table(found, result.judge(found, observed_of(), PRIOR)[UNLEARNED])
    assert {row["figure"] for row in rows if row["decisive"] == "yes"} == deciding


def test_a_verdict_needs_the_levels_that_single_images_have():
    """Must fail if representation or relearning is asked for, or one level is enough."""
    kept = Accuracies(0.9, 0.9, 1.0, 0.9, 0.9, 50, 100, 0.25, 0.0)
    inside = {name: Reading(0.0, 1.0, Distance.INSIDE) for name in PRIOR.spreads}
    assert verdict(kept, inside, of_images=True) == Verdict.NOT_TOLD_APART
    del inside["auditor_auc.outputs"]
    assert verdict(kept, inside, of_images=True) == Verdict.LIKENESS_UNKNOWN
    outside = inside | {"auditor_auc.outputs": Reading(2.0, 1.0, Distance.OUTSIDE)}
    assert verdict(kept, outside, of_images=True) == Verdict.TOLD_APART


@pytest.mark.parametrize(
    ("forget", "retain", "original", "word"),
    [
        (0.9, 0.9, 0.9, Verdict.KEPT),
        (0.0, 0.9, 0.9, Verdict.KEPT),
        (0.9, 0.87, 0.9, Verdict.DAMAGED),
        (0.9, 0.26, 0.26, Verdict.ORIGINAL_AT_CHANCE),
    ],
)
def test_accuracy_says_whether_the_rest_was_kept(forget, retain, original, word):
    """Must fail if single images count as still known because their class is."""
    found = Accuracies(forget, retain, 1.0, original, original, 50, 100, 0.25, 0.0)
    assert assess(found, of_images=True) == word


@pytest.mark.parametrize(
    ("back", "retain", "word"),
    [
        (0.02, 0.9, Verdict.KEPT),
        (0.03, 0.9, Verdict.STILL_KNOWN),
        (0.03, 0.87, Verdict.BOTH),
    ],
)
def test_a_class_that_comes_back_is_a_failure_whatever_is_asked(back, retain, word):
    """Must fail if a request for single images hides that an earlier one no longer holds."""
    found = Accuracies(0.5, retain, 1.0, 0.9, 0.9, 50, 100, 0.25, 0.0, back=back)
    assert assess(found, of_images=True) == word


def test_the_likelihood_ratio_is_taken_against_other_models():
    """Must fail if a retrained model is compared with itself, or with the original."""
    is_member = np.repeat([True, False], 10)
    shift = np.where(is_member, 1.0, 0.0)
    base = np.linspace(-2, 2, 20)
    odds = Panel({ORIGINAL: base + shift}, {"1": base, "2": base + 0.5})
    found = likelihood_ratio(odds, is_member).values
    assert isinstance(found.subjects[ORIGINAL], Estimate)
    assert found.subjects[ORIGINAL].value == 1.0
    assert [found.references[seed].value for seed in "12"] == [0.5, 0.5]
    alone = likelihood_ratio(Panel({ORIGINAL: base}, {"1": base}), is_member)
    assert alone.values.references["1"] == Unmeasured.NO_FLOOR


def test_the_likelihood_ratio_of_a_retrained_model_is_what_it_would_be_in_the_unlearned_ones_place():
    """Must fail if models that are not chosen enter, or the chosen are held against the judged one: then the
    verdict's error rates are those of a figure that no audit has.
    """
    random = np.random.default_rng(0)
    odds = dict(zip("1234", random.normal(size=(4, 60)), strict=True))
    is_member = np.repeat([True, False], 30)
    of_four = likelihood_ratio(Panel({}, odds), is_member)
    found = of_four.excess("3", ["1", "2"])
    two = Panel({UNLEARNED: odds["3"]}, {seed: odds[seed] for seed in "12"})
    placed = likelihood_ratio(two, is_member)
    expected = placed.excess(UNLEARNED, ["1", "2"])
    assert isinstance(found, Estimate) and isinstance(expected, Estimate)
    assert found.value == expected.value
    np.testing.assert_array_equal(found.resampled, expected.resampled)
    assert of_four.variance(["1", "2"]) == placed.variance(["1", "2"])


def test_the_likelihood_ratio_moves_more_than_the_models_do():
    """Must fail if a model's distance from the others is taken for that from the mean of all: of two it is
    twice as large, of three one and a half times.
    """
    own = {"1": 0.1, "2": 0.2, "3": 0.6}

    def to_others(model: str, references: Collection[str]) -> Estimate:
        others = [own[each] for each in references if each != model]
        return Estimate(own[model] - float(np.mean(others)), np.zeros(3))

    found = depending(Panel({}, own), to_others, membership.own_part)
    for seeds in (["1", "2"], ["1", "2", "3"]):
        variance, degrees = found.variance(seeds)
        assert variance == pytest.approx(np.var([own[each] for each in seeds], ddof=1))
        assert degrees == len(seeds) - 1


def test_log_odds_by_hand():
    """Must fail if certainty overflows, or another class's probability is taken."""
    probs = np.array([[0.8, 0.2], [0.5, 0.5], [1.0, 0.0]])
    found = membership.log_odds(probs, np.array([0, 1, 0]))
    np.testing.assert_allclose(found[:2], [np.log(4), 0], atol=1e-12)
    assert np.isfinite(found[2]) and found[2] > 27


def test_the_gap_by_hand():
    """Must fail if differences cancel, MIA enters the tug of war, or a factor is left out."""
    model, retrained = [1.0, 0.9, 0.5, 0.2], [0.5, 1.0, 0.5, 0.6]
    assert gap.average_gap(model, retrained) == pytest.approx((0.5 + 0.1 + 0.0 + 0.4) / 4)
    assert gap.tug_of_war(model, retrained) == pytest.approx(0.5 * 0.9 * 1.0)
    assert gap.average_gap(model, model) == 0 and gap.tug_of_war(model, model) == 1


def test_the_gap_of_retrained_models_is_that_to_the_others():
    """Must fail if a retrained model is among those it is compared with."""
    observed = observed_of()
    found = gap.metrics(result.figures(observed), observed)
    assert isinstance(found, dict)
    assert found["average"] < found[ORIGINAL]["average"]
    assert found["retrained"]["average"] > 0
    twins = dict.fromkeys("01", observed.models.references["0"])
    alike = replace(observed, models=Panel(observed.models.subjects, twins))
    same = gap.metrics(result.figures(alike), alike)
    assert isinstance(same, dict) and same["retrained"] == {"average": 0.0, "tug_of_war": 1.0}


def test_the_evaluation_holds_both_accuracies_beside_retraining():
    """Must fail if test accuracy is that of the forget images, or the retrained models' is not given."""
    found = evaluation.forget_figures(observed_of())
    assert found["images"] == MEMBERS * CLASSES
    assert {"train_accuracy", "train_accuracy_spread", "test_accuracy"} <= set(found["retrained"])
    assert found["original"]["train_accuracy"] > found["train_accuracy"]


def test_earlier_requests_are_tested_again():
    """Must fail if a class that comes back is not named, its images are counted as kept ones, or a request for
    single images passes for one for classes.
    """
    observed = observed_of()
    sample = observed.sample
    is_first = sample.labels == 0
    earlier = np.where(is_first & (sample.subsets == "test"), 1, 0)
    roles = np.where(is_first, "earlier", sample.roles)
    again = replace(observed, sample=replace(sample, earlier=earlier, roles=roles))
    judged = len(again.sample.judged)
    random = np.zeros((judged, CLASSES), np.float32)
    again = replace(again, shared=replace(observed.shared, random_logits=random))
    (found,) = result.earlier(again).values()
    rows = np.flatnonzero(earlier)
    logits = observed.models.subjects[UNLEARNED].logits[rows]
    assert found["accuracy"] == pytest.approx((logits.argmax(axis=1) == 0).mean())
    assert found["request"] == "classes"
    trained = replace(again.sample, earlier=np.where(is_first & (sample.subsets == "train"), 1, 0))
    assert result.earlier(replace(again, sample=trained))["1"]["request"] == "images"
    assert 0 < found["retrained"] < 1
    assert not set(rows) & {*again.sample.rows("retain", "test"), *again.sample.rows(None, "test")}
    roles[(sample.labels == 1) & (sample.subsets == "test")] = "forget"
    # A class that is back, whatever is asked for next.
    assert result.worst_forget_accuracy(again, UNLEARNED) < 1  # of the images asked for alone
    prior = result.judge(result.figures(again), again, PRIOR)
    told = result.metrics(result.figures(again), prior, again, RATES)
    assert told["verdict"] in {Verdict.STILL_KNOWN, Verdict.BOTH}
    of_class = replace(again, sample=replace(again.sample, forget_labels=(1,), roles=roles))
    assert result.worst_forget_accuracy(of_class, UNLEARNED) >= found["accuracy"]


def test_without_an_unseen_image_words_stand_for_their_accuracy(tmp_path):
    """Must fail if the mean over no image is written, which is no number, or the forget images' own is lost."""
    observed = observed_of()
    nothing = np.zeros(len(observed.sample.labels), dtype=bool)
    alone = replace(observed, sample=replace(observed.sample, is_unseen=nothing))
    found = evaluation.forget_figures(alone)
    write_metrics(tmp_path / "evaluate_forget.json", found)
    assert found["test_accuracy"] == found["original"]["test_accuracy"] == "none held out"
    assert found["retrained"]["test_accuracy_spread"] == "none held out"
    assert 0 < found["retrained"]["train_accuracy"] < found["original"]["train_accuracy"]
    assert evaluation.words(alone)["assessment"] == Verdict.KEPT
    assert metrics_of(alone)["membership_outputs"] == Unmeasured.NEEDS_10


def test_what_was_withdrawn_with_a_class_is_no_sign_that_it_is_back(data):
    """Must fail if a copy under another class, which is known as that class, counts as the class forgotten."""
    earlier = np.where(data.roles == "forget", 1, 0)
    roles_of = np.where(data.roles == "forget", "earlier", "retain")
    copy = data.select(role="retain", subset="test")[:1].numpy()
    earlier[copy], roles_of[copy] = 1, "earlier"
    asked_for = Request(images=SingleImages(names=("x",)), earlier=(data.request,))
    roles_of[data.select(role="retain", subset="train")[:1].numpy()] = "forget"
    found = sample(replace(data, roles=roles_of, request=asked_for, earlier=earlier))
    tested = found.of_earlier(1)
    assert set(found.labels[tested]) == set(data.forget_labels) and len(tested)
    assert not set(found.indices) & set(copy.tolist())
