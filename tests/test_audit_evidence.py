"""All figures together, on models made by hand: honest ones, an original that knows, a control that hides."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from unlearning.audit import evidence, relearning, result, series, verdict
from unlearning.audit.evidence import CONTROL, ORIGINAL, UNLEARNED, Views
from unlearning.audit.observation import FEATURES, LAYERS, Observation, Sample
from unlearning.audit.panel import Panel
from unlearning.audit.relearning import Curve
from unlearning.files import write_metrics
from unlearning.versions import Versions
from unlearning.words import SUCCESSES, Unmeasured

CLASSES, ELEPHANT, WIDTH = 4, 2, 12
ARTICLE = "excellent"


def sample_of(train: int, test: int) -> Sample:
    labels = np.repeat(np.arange(CLASSES), train + test)
    return Sample(
        indices=torch.arange(len(labels)),
        labels=labels,
        roles=np.where(labels == ELEPHANT, "forget", "retain"),
        subsets=np.tile(["train"] * train + ["test"] * test, CLASSES),
        forget_labels=(ELEPHANT,),
        class_count=CLASSES,
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
    layers = {name: (features @ directions).astype(np.float32) for name in LAYERS.values()}
    return Observation(torch.from_numpy(logits).float(), layers)


def views_of(references: int, train: int = 30, test: int = 30) -> Views:
    """Return an honestly unlearned model, an original that knows, and a control that hides what it knows."""
    sample = sample_of(train, test)
    honest, known = looks(sample), sample.labels
    original = observation(sample, 1, shown=known, seen=known)
    hidden = Observation(observation(sample, 2, shown=honest, seen=known).logits, original.layers)
    return Views(
        sample,
        Panel(
            {
                UNLEARNED: observation(sample, 3, shown=honest, seen=honest),
                ORIGINAL: original,
                CONTROL: hidden,
            },
            {
                str(seed): observation(sample, 10 + seed, honest, honest)
                for seed in range(references)
            },
        ),
        torch.zeros(test, CLASSES),
    )


def curves_of(views: Views) -> dict[str, Panel[Curve]]:
    """Return curves: who knows is back at once, everyone else after 128 passes."""

    def curve(fast: bool) -> Curve:
        return Curve((0, 128), np.repeat([[float(fast)], [1.0]], 20, axis=1))

    names = views.models.subjects
    with_forget = Panel(
        {name: curve(name == ORIGINAL) for name in names},
        {seed: curve(False) for seed in views.models.references},
    )
    return {
        evidence.WITH_FORGET_IMAGES: with_forget,
        evidence.RETAIN_ONLY: with_forget.map(lambda each: Curve((0,), each.hits[:1])),
    }


def figures_of(views: Views):
    return {
        **evidence.output_figures(views),
        **evidence.membership_figures(views),
        **evidence.representation_figures(views, evidence.probe_all(views)),
        **evidence.relearning_figures(curves_of(views), back_at=0.8),
        **evidence.auditor_figures(views),
    }


def metrics_of(views: Views) -> dict:
    return result.metrics(figures_of(views), views, {}, ARTICLE)


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
    return result.metrics(figures, views, {}, ARTICLE)


def readings(figures, subject: str) -> dict[str, str]:
    return {name: figure.readings[subject].reading for name, figure in figures.items()}


def test_a_model_that_answers_as_retrained_ones_do_is_not_told_apart(metrics):
    """Must fail if a distance is not measured against the floor."""
    assert metrics["verdict"] in SUCCESSES - {"told apart"}


def test_the_original_in_the_unlearned_models_place_is_called_failed(metrics, figures):
    """Must fail if a control's own figures are not the ones judged."""
    assert metrics["verdicts"]["original"] == "failed: still known"
    found = readings(figures, ORIGINAL)
    assert {found[name] for name in ("js_to_retrained", "destination_tv", "few_shot_recall")} == {
        "outside"
    }
    assert found["relearn_passes"] == "outside"


def test_the_control_passes_by_its_output_and_is_caught_by_its_features(metrics, figures):
    """Must fail if probes look at logits, or the control is given other layers than the original's."""
    found = readings(figures, CONTROL)
    assert found["forget_accuracy"] == found["js_to_retrained"] == "inside"
    assert found["few_shot_recall"] == found["knn_recall"] == found["probe_recall"] == "outside"
    assert found["cka_to_original.features"] == "outside"
    assert metrics["verdicts"]["head_edited"] == "told apart"


def test_every_figure_has_a_value_of_every_model_and_a_level(figures, metrics):
    """Must fail if a figure is added without a level, or a model is left out of one."""
    for name, figure in figures.items():
        assert set(figure.values.subjects) == {UNLEARNED, ORIGINAL, CONTROL}
        assert set(figure.values.references) == {"0", "1", "2"}
        assert verdict.level_of(name) in verdict.LEVELS
    assert {verdict.level_of(name) for name in figures} == set(verdict.LEVELS)
    assert metrics["readings"].keys() == figures.keys()
    assert metrics["retrained"]["models"] == 3


def test_an_identical_model_is_at_distance_zero(views):
    """Must fail if a figure depends on anything but the views: JS 0, TV 0, CKA 1, agreement 1."""
    twin = views.models.references["0"]
    same = Panel({**views.models.subjects, UNLEARNED: twin}, {"0": twin, "1": twin})
    found = figures_of(Views(views.sample, same, views.random_logits))
    ends = {name: series.plain(figure.values.subjects[UNLEARNED]) for name, figure in found.items()}
    assert ends["js_to_retrained"] == pytest.approx(0, abs=1e-12)
    assert ends["destination_tv"] == 0
    assert ends["agreement_with_retrained"] == 1
    assert ends["cka_to_retrained.features"] == pytest.approx(1)
    low, high = found["auditor_auc.features"].values.subjects[UNLEARNED].interval
    assert low <= 0.5 <= high
    assert set(readings(found, UNLEARNED).values()) <= {"inside", "not measured: needs 100 images"}


def test_the_order_of_the_images_changes_no_output_figure(views):
    """Must fail if rows of one model are matched with other rows of another."""
    order = np.random.default_rng(5).permutation(len(views.sample.labels))
    sample = views.sample
    shuffled = Sample(
        sample.indices[torch.from_numpy(order)], sample.labels[order], sample.roles[order],
        sample.subsets[order], sample.forget_labels, sample.class_count,
    )  # fmt: skip
    moved = views.models.map(
        lambda view: Observation(
            view.logits[torch.from_numpy(order)],
            {name: values[order] for name, values in view.layers.items()},
        )
    )
    before = evidence.output_figures(views)
    after = evidence.output_figures(Views(shuffled, moved, views.random_logits))
    for name, figure in before.items():
        for model, value in figure.values.named().items():
            assert value.value == pytest.approx(after[name].values.named()[model].value), name


@pytest.mark.parametrize("references", [0, 1])
def test_without_enough_references_nothing_crashes_and_the_verdict_says_so(references, tmp_path):
    """Must fail if a mean over no model becomes NaN, which the writer refuses."""
    found = metrics_of(views_of(references))
    write_metrics(tmp_path / "audit.json", found)
    assert found["verdict"] == "likeness unknown"
    assert found["js_floor"] == (Unmeasured.NO_FLOOR if references else Unmeasured.NO_REFERENCE)
    assert (found["retrained"] == Unmeasured.NO_REFERENCE) == (references == 0)


@pytest.mark.parametrize(("train", "test"), [(1, 1), (4, 9), (30, 9), (4, 30)])
def test_with_too_few_images_figures_are_not_measured(train, test, tmp_path):
    """Must fail if a split of a few images crashes a probe or an attack, or gives NaN."""
    found = metrics_of(views_of(2, train, test))
    write_metrics(tmp_path / "audit.json", found)
    text = json.dumps(found)
    assert "NaN" not in text
    assert found["membership_auc"]["confidence"] == "not measured: needs 10 images"
    assert found["membership_tpr"]["at_1_percent"]["confidence"].startswith("not measured: needs")
    assert found["js_to_retrained"] == "not measured: needs 10 images" or test >= 10


def test_several_classes_are_forgotten_together():
    """Must fail if only the first forget class is probed, hidden by the control, or left out of the view."""
    one = views_of(references=2)
    sample = replace(
        one.sample,
        roles=np.where(np.isin(one.sample.labels, (1, ELEPHANT)), "forget", "retain"),
        forget_labels=(1, ELEPHANT),
    )
    found = metrics_of(Views(sample, one.models, torch.zeros(60, CLASSES)))
    assert found["images"]["forget_test"] == 60
    # Dogs are still known by all of them, elephants by the original alone.
    assert found["forget_accuracy"] == pytest.approx(0.5, abs=0.1)
    assert found["original"]["few_shot_recall"] > found["few_shot_recall"]
    assert found["verdict"] == "failed: still known"


def test_neighbours_are_the_kept_classes_with_what_they_gained_and_lost(views, make_data):
    """Must fail if another model's arrivals are counted, or a change is taken the wrong way round."""
    data = make_data(dict.fromkeys(("cat", "dog", "elephant", "horse"), 58))
    found = result.related_classes(views, data)
    rows = found["neighbours"]
    assert set(rows) == {"cat", "dog", "horse"}
    forget = views.sample.rows("forget", "test")
    shown = looks(views.sample)[forget]
    assert rows["horse"]["destination"] == pytest.approx((shown == 3).mean(), abs=0.1)
    assert rows["horse"]["destination"] > rows["cat"]["destination"] > 0
    assert rows["horse"]["destination_retrained"] > rows["dog"]["destination_retrained"]
    assert rows["horse"]["feature_similarity"] > rows["dog"]["feature_similarity"]
    dogs = views.sample.rows("retain", "test")
    labels = views.sample.labels[dogs]
    was, now = (
        (views.models.subjects[name].logits[dogs].argmax(dim=1).numpy() == labels)[
            labels == 1
        ].mean()
        for name in (ORIGINAL, UNLEARNED)
    )
    assert rows["dog"]["against_original"] == pytest.approx(now - was)
    assert found["neighbour_correlation"]["ssim"]["destination"] == Unmeasured.NEEDS_4_CLASSES


def test_rates_at_few_false_positives_take_as_many_images_as_it_takes_to_read_them(metrics):
    """Must fail if 1 % is read from 30 images."""
    rates = metrics["membership_tpr"]
    assert rates["at_1_percent"]["entropy"] == "not measured: needs 100 images"
    assert isinstance(rates["at_5_percent"]["entropy"], float)


def test_an_original_that_does_not_know_the_class_leaves_nothing_to_forget(views):
    """Must fail if a model is praised for forgetting what was never known."""
    ignorant = Panel(
        {**views.models.subjects, ORIGINAL: views.models.subjects[UNLEARNED]},
        views.models.references,
    )
    changed = Views(views.sample, ignorant, views.random_logits)
    figures = figures_of(changed) | evidence.relearning_figures(curves_of(views), back_at=0.0)
    found = result.metrics(figures, changed, {}, ARTICLE)
    assert found["verdict"] == "nothing to forget"
    assert found["relearn"]["ratio"] == Unmeasured.NEVER_KNOWN


def test_the_relearning_ratio_is_passes_against_the_references_mean(views):
    """Must fail if it is turned round, or the budget is taken where the class was back."""
    curves = curves_of(views)
    fast = Curve((0, 32), np.array([[0.0], [1.0]]).repeat(20, axis=1))
    curves[evidence.WITH_FORGET_IMAGES].subjects[UNLEARNED] = fast
    never = Curve((0, 32), np.zeros((2, 20)))
    curves[evidence.WITH_FORGET_IMAGES].references["0"] = never
    passes = evidence.relearning_figures(curves, back_at=0.8)["relearn_passes"]
    assert passes.values.references["0"].value == relearning.BUDGET
    assert evidence.relearn_ratio(passes) == pytest.approx(32 / ((256 + 128 + 128) / 3))
    assert passes.readings[UNLEARNED].margin == relearning.RESOLUTION


def test_the_class_is_back_at_four_fifths_of_what_the_original_knew(views):
    """Must fail if retain images or another model set the bar."""
    assert evidence.back_at(views) == pytest.approx(0.8)
    ignorant = Panel({ORIGINAL: views.models.subjects[UNLEARNED]}, {})
    assert evidence.back_at(Views(views.sample, ignorant, views.random_logits)) == 0


def test_series_hold_every_model_and_layer(views, figures):
    """Must fail if a model, a layer or a bin is left out, or shares do not sum to 1."""
    models = {UNLEARNED, ORIGINAL, CONTROL, "retrained (0)", "retrained (1)", "retrained (2)"}
    layers = series.layer_rows(figures, evidence.probe_all(views))
    assert {(row["model"], row["layer"]) for row in layers} == {
        (model, layer) for model in models for layer in LAYERS.values()
    }
    deepest = next(row for row in layers if (row["model"], row["layer"]) == (ORIGINAL, FEATURES))
    assert deepest["cka_to_original"] == pytest.approx(1)
    assert set(layers[0]) == set(series.LAYER_COLUMNS)
    shares = [
        row["share"]
        for row in series.histogram_rows(views)
        if (row["model"], row["quantity"]) == (UNLEARNED, "entropy")
    ]
    assert len(shares) == series.BINS
    assert sum(shares) == pytest.approx(1)
    curves = series.curve_rows(curves_of(views))
    assert {row["model"] for row in curves} == models
    assert series.figure_rows(figures)[0].keys() == {"figure", *models}


def test_examples_are_spread_over_the_forget_test_images_and_ranked(views):
    """Must fail if the first ten are taken, or ranks are not in order of probability."""
    rows = series.example_rows(views, ("cat", "dog", "elephant", "horse"))
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
    rows = series.example_rows(views, ("cat", "dog", "elephant", "horse"))
    shown = next(row for row in rows if row["model"] == "retrained")
    place = views.sample.rows("forget", "test")[0]
    mean = np.mean([view.probs[place] for view in views.models.references.values()], axis=0)
    assert shown["probability"] == pytest.approx(mean.max(), abs=1e-5)
    alone = replace(views, models=Panel(views.models.subjects, {}))
    assert {row["model"] for row in series.example_rows(alone, ("a", "b", "c", "d"))} == {
        ORIGINAL, UNLEARNED
    }  # fmt: skip


def test_the_panel_holds_both_controls_beside_the_unlearned_model(trained, data):
    """Must fail if original and unlearned are swapped."""
    other = nn.Linear(1, 1)
    panel = evidence.panel_of(Versions(trained, other, {"5": other}), data.forget_labels)
    assert panel.subjects[ORIGINAL] is trained
    assert panel.subjects[UNLEARNED] is other
    assert list(panel.references) == ["5"]


def test_nested_names_become_nested_tables():
    """Must fail if a dotted name overwrites its neighbour."""
    assert result.nested({"a.b": 1, "a.c.d": 2, "e": 3}) == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
