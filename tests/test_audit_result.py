"""All figures together, on models made by hand: honest ones, an original that knows, a control that hides."""

import json
from dataclasses import replace

import numpy as np
import pytest

from unlearning.audit import catalogue, columns, membership, neighbours, outputs, relearning, result
from unlearning.audit.calibration import Rates
from unlearning.audit.estimates import Estimate, plain
from unlearning.audit.limits import Prior
from unlearning.audit.representation import probe_all
from unlearning.audit.words import NOT_FAILED, Distance, Unmeasured
from unlearning.base.files import write_metrics
from unlearning.models.layers import DEEP, FEATURES, LAYERS
from unlearning.models.panel import CONTROL, ORIGINAL, UNLEARNED, Panel
from unlearning.observe.record import (
    Observation,
    Observed,
    RelearningCurve,
    Sample,
    Shared,
)
from unlearning.observe.schedule import BUDGET, RETAIN_ONLY, WITH_FORGET_IMAGES

NAMES = ("cat", "dog", "elephant", "horse")
CLASSES, ELEPHANT, WIDTH = 4, 2, 12
# Of thirty images and random networks; what is shipped is measured on real ones.
PRIOR = Prior(
    {
        "js_to_retrained": 0.2,
        "destination_tv": 0.3,
        "membership_outputs": 0.04,
        "membership_auc.layer3": 0.06,
        "membership_auc.features": 0.06,
        "few_shot_recall": 0.3,
        "knn_recall": 0.3,
        "auditor_auc.outputs": 0.4,
    },
    8.0,
)
RATES = Rates({0: 0.02, 3: 0.03}, {0: 23, 3: 24}, {0: 0.8, 3: 0.95}, {0: 22, 3: 6})


def sample_of(train: int, test: int) -> Sample:
    labels = np.repeat(np.arange(CLASSES), train + test)
    return Sample(
        indices=np.arange(len(labels)),
        labels=labels,
        roles=np.where(labels == ELEPHANT, "forget", "retain"),
        subsets=np.tile(["train"] * train + ["test"] * test, CLASSES),
        forget_labels=(ELEPHANT,),
        classes=NAMES,
        is_unseen=(labels == ELEPHANT)
        & (np.tile(["train"] * train + ["test"] * test, CLASSES) == "test"),
        earlier=np.zeros(len(labels), dtype=int),
    )


def looks(sample: Sample) -> np.ndarray:
    """Return what each image shows: an elephant looks like a horse (3) or a cat (0)."""
    chance = np.random.default_rng(0).random(len(sample.labels))
    return np.where(sample.labels == ELEPHANT, np.where(chance < 0.7, 3, 0), sample.labels)


def observation(sample: Sample, seed: int, shown: np.ndarray, seen: np.ndarray) -> Observation:
    """Return a model that answers the classes in `shown`, and whose features hold those in `seen`."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(len(shown), CLASSES)) + 6 * np.eye(CLASSES)[shown]
    logits[:, ELEPHANT] -= np.where(shown == ELEPHANT, 0, 4)
    directions = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0]
    features = 4 * np.eye(WIDTH)[seen] + random.normal(size=(len(shown), WIDTH))
    layers = {name: (features @ directions).astype(np.float32) for name in LAYERS}
    return Observation(logits.astype(np.float32), layers)


def shared(test: int) -> Shared:
    scores = {name: np.full(test, 0.05, np.float32) for name in ("extractor", UNLEARNED)}
    similarity = np.array([0.1, 0.2, np.nan, 0.3])
    return Shared(np.zeros((test, CLASSES), np.float32), similarity, scores)


def curves_of(fast: bool) -> dict[str, RelearningCurve]:
    """Return curves: who knows is back at once, everyone else after 128 passes."""
    hits = np.repeat([[float(fast)], [1.0]], 20, axis=1)
    return {
        WITH_FORGET_IMAGES: RelearningCurve((0, 128), hits),
        RETAIN_ONLY: RelearningCurve((0,), hits[:1]),
    }


def views_of(references: int, train: int = 30, test: int = 30) -> Observed:
    """Return an honestly unlearned model, an original that knows, and a control that hides what it knows."""
    sample = sample_of(train, test)
    honest, known = looks(sample), sample.labels

    def model(seed: int, shown: np.ndarray, seen: np.ndarray, fast: bool = False) -> Observation:
        return replace(observation(sample, seed, shown, seen), curves=curves_of(fast))

    original = model(1, known, known, fast=True)
    hidden = replace(model(2, honest, known), layers=original.layers)
    subjects = {UNLEARNED: model(3, honest, honest), ORIGINAL: original, CONTROL: hidden}
    retrained = {str(seed): model(10 + seed, honest, honest) for seed in range(references)}
    return Observed(sample, Panel(subjects, retrained), shared(test))


def figures_of(views: Observed):
    return result.figures(views, probe_all(views))


def judged_metrics(figures, views: Observed) -> dict:
    return result.metrics(figures, result.judge(figures, views, PRIOR), views, RATES)


def metrics_of(views: Observed) -> dict:
    return judged_metrics(figures_of(views), views)


def table_of(views: Observed) -> dict[str, dict]:
    figures = figures_of(views)
    judged = result.judge(figures, views, PRIOR)[UNLEARNED]
    return {row["figure"]: row for row in result.table(figures, judged)}


@pytest.fixture(scope="module", autouse=True)
def fewer_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unlearning.audit.estimates.RESAMPLES", 100)
        yield


@pytest.fixture(scope="module")
def views():
    return views_of(references=3)


@pytest.fixture(scope="module")
def figures(views):
    return figures_of(views)


@pytest.fixture(scope="module")
def metrics(views, figures):
    return judged_metrics(figures, views)


@pytest.fixture(scope="module")
def judged(figures, views):
    return result.judge(figures, views, PRIOR)


@pytest.mark.parametrize(("score", "agrees"), [(0.05, True), (0.9, False)])
def test_the_articles_reading_is_that_of_its_score(views, figures, metrics, score, agrees):
    """Must fail if another model's outputs are scored than the extractor's, or the band is read upside down."""
    scores = {**views.shared.scores, "extractor": np.full(4, score)}
    scored = replace(views, shared=replace(views.shared, scores=scores))
    found = judged_metrics(figures, scored)["article_comparison"]
    assert (found == metrics["article_comparison"]) == agrees


def words(readings) -> dict[str, str]:
    return {name: each.reading for name, each in readings.items()}


def test_a_model_that_answers_as_retrained_ones_do_is_not_told_apart(metrics):
    """Must fail if a distance is not measured against the floor."""
    assert metrics["verdict"] in NOT_FAILED - {"told apart"}


def test_the_original_in_the_unlearned_models_place_is_called_failed(metrics, judged):
    """Must fail if a control's own figures are not the ones judged."""
    assert metrics["verdicts"]["original"] == "failed: still known"
    found = words(judged[ORIGINAL])
    assert {found[name] for name in ("js_to_retrained", "destination_tv", "few_shot_recall")} == {
        "outside"
    }
    assert "relearn_passes" not in found  # of an edited head the budget ends first


def test_the_control_passes_by_its_output_and_is_caught_by_its_features(metrics, judged):
    """Must fail if probes look at logits, or the control is given other layers than the original's."""
    found = words(judged[CONTROL])
    assert found["destination_tv"] == found["js_to_retrained"] == "inside"
    assert found["few_shot_recall"] == found["knn_recall"] == "outside"
    assert metrics["verdicts"]["head_edited"] == "told apart"


def test_every_figure_of_the_catalogue_is_taken_from_every_model(figures, metrics):
    """Must fail if a figure is computed that the catalogue does not know, or known and never computed."""
    for figure in figures.values():
        assert set(figure.values.subjects) == {UNLEARNED, ORIGINAL, CONTROL}
        assert set(figure.values.references) == {"0", "1", "2"}
    of_many_images = {"membership_tpr.at_1_permille"}
    assert {catalogue.family(name) for name in figures} == set(catalogue.ENTRIES) - of_many_images
    assert {catalogue.variant(name) for name in figures} == {"", *catalogue.VARIANTS} - {
        "likelihood_ratio"
    }
    assert list(figures) == catalogue.ordered(figures)
    assert metrics["retrained"]["models"] == 3


def test_the_metrics_hold_what_a_review_decides_by_and_no_more(figures, judged, metrics):
    """Must fail if the whole table comes back: `dvc metrics diff` is read by people; or if a figure that
    decides is left out, or one stands there that never does.
    """
    numbers = flat(metrics)
    assert len(numbers) <= 50
    shown = set(judged[UNLEARNED]) | {"membership_auc.true_class_probability", "returned_accuracy"}
    assert {name for name in numbers if name in figures} == shown
    floors = {"js_to_retrained", "destination_tv"}
    assert {name for name in numbers if f"retrained.{name}" in numbers} == shown - floors
    assert numbers["few_shot_recall"] == plain(
        figures["few_shot_recall"].values.subjects[UNLEARNED]
    )
    assert set(judged[UNLEARNED]) == {name for name in figures if catalogue.decides(name)}
    found = list(words(judged[UNLEARNED]).values())
    assert metrics["decisive"] == {word: found.count(word) for word in Distance}
    assert metrics["original"]["memory"] == judged[ORIGINAL]["membership_auc.features"].reading
    assert metrics["error_rates"] == {
        "false_alarms": 0.03, "false_alarms_of": 24, "caught": 0.95, "caught_of": 6
    }  # fmt: skip


def flat(tree: dict, path: str = "") -> dict:
    found = {}
    for name, value in tree.items():
        inner = f"{path}{name}"
        found |= flat(value, f"{inner}.") if isinstance(value, dict) else {inner: value}
    return found


def test_the_worst_attack_is_the_one_that_beats_a_coin_toss_most():
    """Must fail if a signal turned round is no attack, or what is fitted counts where it failed."""
    signals, fitted = membership.SIGNALS, membership.FITTED

    def worst(of: dict[str, float]) -> Estimate:
        aucs = dict.fromkeys((*signals, *fitted), 0.5) | of
        values = {
            f"membership_auc.{attack}": Panel({"a": Estimate(auc, np.array([auc, 1 - auc]))}, {})
            for attack, auc in aucs.items()
        }
        return membership._worst(values).subjects["a"]

    turned, failed = worst({"confidence": 0.3}), worst({"gradient_boosting": 0.3})
    assert turned.value == pytest.approx(0.2)
    assert turned.resampled == pytest.approx([0.2, 0.2])
    assert failed.value == 0
    assert failed.resampled == pytest.approx([0.0, 0.2])
    both = worst({"gradient_boosting": 0.3, "logistic_regression": 0.6, "entropy": 0.45})
    assert both.value == pytest.approx(0.1)


def test_an_identical_model_is_at_distance_zero(views):
    """Must fail if a figure depends on anything but the views: JS 0, TV 0, CKA 1, agreement 1."""
    twin = views.models.references["0"]
    same = Panel({**views.models.subjects, UNLEARNED: twin}, {"0": twin, "1": twin})
    found = figures_of(replace(views, models=same))
    ends = {name: plain(figure.values.subjects[UNLEARNED]) for name, figure in found.items()}
    assert ends["js_to_retrained"] == pytest.approx(0, abs=1e-12)
    assert ends["destination_tv"] == 0
    assert ends["agreement_with_retrained"] == 1
    assert ends["cka_to_retrained.features"] == pytest.approx(1)
    low, high = found["auditor_auc.features"].values.subjects[UNLEARNED].interval
    assert low <= 0.5 <= high
    same_views = replace(views, models=same)
    assert set(words(result.judge(found, same_views, PRIOR)[UNLEARNED]).values()) == {"inside"}


def test_what_was_known_before_counts_the_test_images_of_kept_classes(views):
    """Must fail if classes count alike whatever their images, or one without a figure counts as 0."""
    sample = views.sample
    kept = sample.rows("retain", "test")
    first = sample.labels[kept] == sample.labels[kept[0]]
    known = {name: 0.5 for label, name in enumerate(NAMES) if label != ELEPHANT}
    known[NAMES[sample.labels[kept[0]]]] = 0.9
    assert sample.retain_before is None
    is_first = np.arange(len(sample.labels)) == kept[0]
    sample = replace(sample, subsets=np.where(is_first, "train", sample.subsets))
    mean = (0.9 * (first.sum() - 1) + 0.5 * (~first).sum()) / (len(kept) - 1)
    assert replace(sample, before=known).retain_before.mean() == pytest.approx(mean)
    del known[NAMES[sample.labels[kept[1]]]]
    assert replace(sample, before=known).retain_before is None


def test_the_verdict_follows_what_was_known_before_the_first_request(views):
    """Must fail if the audit holds the kept classes against the last model alone."""
    sample = views.sample
    lost = sample.rows("retain", "test")[::10]
    shown = looks(sample)
    shown[lost] = (shown[lost] + 1) % ELEPHANT
    poor = replace(observation(sample, 3, shown, shown), curves=curves_of(fast=False))
    models = Panel({**views.models.subjects, UNLEARNED: poor}, views.models.references)
    later = Observed(sample, models, views.shared)
    found, verdicts = figures_of(later), []
    for before in ({}, dict.fromkeys(NAMES, 0.9)):
        asked = replace(later, sample=replace(sample, before=before))
        verdicts.append(judged_metrics(found, asked)["verdict"])
    assert verdicts[0] == "failed: others damaged" and verdicts[1] != verdicts[0]


def test_the_verdict_forgives_what_retrained_models_lose_as_well(views):
    """Must fail if the audit holds the kept classes against the original alone."""
    sample = views.sample
    shown = looks(sample)
    lost = sample.rows("retain", "test")[::10]
    shown[lost] = (shown[lost] + 1) % ELEPHANT
    poor = [
        replace(observation(sample, seed, shown, shown), curves=curves_of(fast=False))
        for seed in (3, 4, 5)
    ]
    subjects = {**views.models.subjects, UNLEARNED: poor[0]}
    verdicts = []
    for references in (views.models.references, {"0": poor[1], "1": poor[2]}):
        judged = replace(views, models=Panel(subjects, references))
        verdicts.append(judged_metrics(figures_of(judged), judged)["verdict"])
    assert verdicts[0] == "failed: others damaged" and verdicts[1] != verdicts[0]


def test_the_order_of_the_images_changes_no_output_figure(views):
    """Must fail if rows of one model are matched with other rows of another."""
    order = np.random.default_rng(5).permutation(len(views.sample.labels))
    sample = views.sample
    shuffled = Sample(
        sample.indices[order], sample.labels[order], sample.roles[order], sample.subsets[order],
        sample.forget_labels, sample.classes, sample.is_unseen[order], sample.earlier[order],
    )  # fmt: skip
    moved = views.models.map(
        lambda view: Observation(
            view.logits[order], {name: values[order] for name, values in view.layers.items()}
        )
    )
    before = outputs.figures(views)
    after = outputs.figures(Observed(shuffled, moved, views.shared))
    for name, figure in before.items():
        for model, value in figure.values.named().items():
            assert value.value == pytest.approx(after[name].values.named()[model].value), name


@pytest.mark.parametrize("references", [0, 1])
def test_without_enough_references_nothing_crashes_and_the_verdict_says_so(references, tmp_path):
    """Must fail if a mean over no model becomes NaN, which the writer refuses, or a single reference is called
    none.
    """
    found = metrics_of(views_of(references))
    write_metrics(tmp_path / "audit.json", found)
    assert found["verdict"] == "not contradicted"
    reason = Unmeasured.NO_FLOOR if references else Unmeasured.NO_REFERENCE
    assert found["js_floor"] == found["destination_tv_floor"] == reason
    assert (found["retrained"] == Unmeasured.NO_REFERENCE) == (references == 0)


@pytest.mark.parametrize(("train", "test"), [(1, 1), (4, 9), (30, 9), (4, 30)])
def test_with_too_few_images_figures_are_not_measured(train, test, tmp_path):
    """Must fail if a split of a few images crashes a probe or an attack, or gives NaN."""
    views = views_of(2, train, test)
    found, table = metrics_of(views), table_of(views)
    write_metrics(tmp_path / "audit.json", found)
    assert "NaN" not in json.dumps(found) and "nan" not in str(table).lower()
    assert found["membership_auc"]["true_class_probability"] == "not measured: needs 10 images"
    assert found["membership_outputs"] == "not measured: needs 10 images"
    rate = table["membership_tpr.at_1_percent.confidence"]["unlearned"]
    assert rate.startswith("not measured: needs")
    assert found["js_to_retrained"] == "not measured: needs 10 images" or test >= 10


def test_several_classes_are_forgotten_together():
    """Must fail if only the first forget class is probed, hidden by the control, or left out of the view."""
    one = views_of(references=2)
    sample = replace(
        one.sample,
        roles=np.where(np.isin(one.sample.labels, (1, ELEPHANT)), "forget", "retain"),
        forget_labels=(1, ELEPHANT),
    )
    both = Observed(sample, one.models, shared(60))
    found, table = metrics_of(both), table_of(both)
    # Dogs are still known by all of them, elephants by the original alone.
    assert table["forget_accuracy"]["unlearned"] == pytest.approx(0.5, abs=0.1)
    assert table["few_shot_recall"]["original"] > found["few_shot_recall"]
    assert found["verdict"] == "failed: still known"


def test_neighbours_are_the_kept_classes_with_what_they_gained_and_lost(views):
    """Must fail if another model's arrivals are counted, or a change is taken the wrong way round."""
    found = neighbours.rows(views)
    rows = {row["class"]: row for row in found}
    assert set(rows) == {"cat", "dog", "horse"}
    forget = views.sample.rows("forget", "test")
    shown = looks(views.sample)[forget]
    assert rows["horse"]["destination"] == pytest.approx((shown == 3).mean(), abs=0.1)
    assert rows["horse"]["destination"] > rows["cat"]["destination"] > 0
    assert rows["horse"]["destination_retrained"] > rows["dog"]["destination_retrained"]
    assert rows["horse"]["feature_similarity"] > rows["dog"]["feature_similarity"]
    assert rows["horse"]["ssim"] == 0.3
    dogs = views.sample.rows("retain", "test")
    labels = views.sample.labels[dogs]
    was, now = (
        (views.models.subjects[name].logits[dogs].argmax(axis=1) == labels)[labels == 1].mean()
        for name in (ORIGINAL, UNLEARNED)
    )
    assert rows["dog"]["against_original"] == pytest.approx(now - was)
    _, by_pixels = neighbours.correlations(found)
    assert by_pixels["likeness"] == "ssim"
    assert by_pixels["destination"] == Unmeasured.NEEDS_4_CLASSES
    alone = replace(views, models=Panel(views.models.subjects, {}))
    assert neighbours.rows(alone)[0]["feature_similarity"] == Unmeasured.NO_REFERENCE
    four = [
        {**row, "class": f"{row['class']} {i}"} for i in range(2) for row in neighbours.rows(alone)
    ]
    assert neighbours.correlations(four)[0]["destination"] == Unmeasured.NO_REFERENCE


def test_rates_at_few_false_positives_take_as_many_images_as_it_takes_to_read_them(figures):
    """Must fail if 1 % is read from 30 images."""
    at_1, at_5 = (
        plain(figures[f"membership_tpr.at_{rate}_percent.entropy"].values.subjects[UNLEARNED])
        for rate in (1, 5)
    )
    assert at_1 == "not measured: needs 100 images"
    assert isinstance(at_5, float)


@pytest.mark.parametrize(("images", "shown"), [(999, False), (1000, True)])
def test_one_in_a_thousand_is_shown_where_there_are_as_many(images, shown):
    """Must fail if seven more rows say "needs 1000 images" in every table, a rate rests on no image, or it
    takes as many members as others.
    """
    found = membership.figures(views_of(0, 20, images))
    rates = [name for name in found if name.startswith("membership_tpr.at_1_permille")]
    assert len(rates) == (len(membership.ATTACKS) + len(DEEP) if shown else 0)
    for name in rates:
        assert isinstance(plain(found[name].values.subjects[UNLEARNED]), float)


def test_an_original_that_does_not_know_the_class_leaves_nothing_to_forget(views):
    """Must fail if a model is praised for forgetting what was never known."""
    ignorant = Panel(
        {**views.models.subjects, ORIGINAL: views.models.subjects[UNLEARNED]},
        views.models.references,
    )
    found = metrics_of(replace(views, models=ignorant))
    assert found["verdict"] == "nothing to forget"


def test_the_class_is_back_at_four_fifths_of_what_the_original_knew(views):
    """Must fail if the budget is taken where the class was back, or another model's accuracy sets the bar."""
    hits = np.zeros((3, 20))
    hits[1, :15], hits[2, :16] = 1, 1
    slow = {
        WITH_FORGET_IMAGES: RelearningCurve((0, 32, 64), hits),
        RETAIN_ONLY: RelearningCurve((0,), hits[:1]),
    }
    never = {**slow, WITH_FORGET_IMAGES: RelearningCurve((0, BUDGET), hits[:2])}
    models = Panel(
        {
            **views.models.subjects,
            UNLEARNED: replace(views.models.subjects[UNLEARNED], curves=slow),
        },
        {**views.models.references, "0": replace(views.models.references["0"], curves=never)},
    )
    passes = relearning.figures(replace(views, models=models))["relearn_passes"]
    # Bar: four fifths. 15 of 20 after 32 passes, 16 after 64: reached with the latter.
    assert passes.values.subjects[UNLEARNED].value == 64
    assert passes.values.subjects[ORIGINAL].value == 0
    assert passes.values.references["0"].value == BUDGET


def test_series_hold_every_model_and_layer(views, figures):
    """Must fail if a model, a layer or a bin is left out, or shares do not sum to 1."""
    models = {UNLEARNED, ORIGINAL, CONTROL, "retrained (0)", "retrained (1)", "retrained (2)"}
    layers = result.layer_rows(figures, probe_all(views))
    assert {(row["model"], row["layer"]) for row in layers} == {
        (model, layer) for model in models for layer in LAYERS
    }
    deepest = next(row for row in layers if (row["model"], row["layer"]) == (ORIGINAL, FEATURES))
    assert deepest["cka_to_original"] == pytest.approx(1)
    assert set(layers[0]) == set(columns.LAYERS)
    shares = [
        row["share"]
        for row in result.histogram_rows(views)
        if (row["model"], row["quantity"]) == (UNLEARNED, "entropy")
    ]
    assert len(shares) == result.BINS
    assert sum(shares) == pytest.approx(1)
    curves = result.curve_rows(views)
    assert {row["model"] for row in curves} == models
    assert {row["images"] for row in curves} == {WITH_FORGET_IMAGES, RETAIN_ONLY}


def test_the_table_holds_every_model_and_the_unlearned_models_reading(figures, judged):
    """Must fail if a model is left out, or another's interval or reading stands in a row."""
    for row in result.table(figures, judged[UNLEARNED]):
        figure = figures[row["figure"]]
        assert {UNLEARNED, ORIGINAL, CONTROL, "retrained", "retrained (2)"} <= set(row)
        judging = judged[UNLEARNED].get(row["figure"])
        assert row["reading"] == (judging.reading if judging else Unmeasured.NOT_JUDGED)
        assert row["limit"] == (judging.limit if judging else Unmeasured.NOT_JUDGED)
        assert row["decisive"] == ("yes" if catalogue.decides(row["figure"]) else "no")
        value = figure.values.subjects[UNLEARNED]
        if not isinstance(value, Unmeasured):
            assert (row["low"], row["high"]) == value.interval
            of_all = [each.value for each in figure.values.references.values()]
            assert row["retrained"] == pytest.approx(np.mean(of_all))


def test_examples_are_spread_over_the_forget_test_images_and_ranked(views):
    """Must fail if the first ten are taken, or ranks are not in order of probability."""
    rows = result.example_rows(views)
    ids = list(dict.fromkeys(row["id"] for row in rows))
    test = views.sample.rows("forget", "test")
    assert ids == test[::3].tolist()
    assert [row["rank"] for row in rows[:6]] == [1, 2, 3, 1, 2, 3]
    assert rows[0]["model"] == ORIGINAL
    assert rows[0]["class"] == "elephant"
    assert rows[0]["probability"] >= rows[1]["probability"] >= rows[2]["probability"]
    assert [row["model"] for row in rows[:9:3]] == [ORIGINAL, UNLEARNED, "retrained"]


def test_an_example_shows_the_mean_of_the_retrained_models(views):
    """Must fail if one seed stands for all, or logits are averaged in place of probabilities."""
    rows = result.example_rows(views)
    shown = next(row for row in rows if row["model"] == "retrained")
    place = views.sample.rows("forget", "test")[0]
    mean = np.mean([view.probs[place] for view in views.models.references.values()], axis=0)
    assert shown["probability"] == pytest.approx(mean.max(), abs=1e-5)
    alone = replace(views, models=Panel(views.models.subjects, {}))
    assert {row["model"] for row in result.example_rows(alone)} == {
        ORIGINAL, UNLEARNED
    }  # fmt: skip


def test_nested_names_become_nested_tables():
    """Must fail if a dotted name overwrites its neighbour."""
    assert result.nested({"a.b": 1, "a.c.d": 2, "e": 3}) == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
