"""The verdict in words, and the article's reading beside it."""

import pytest

from unlearning.audit.panel import Reading
from unlearning.audit.verdict import Accuracies, against_article, decides, sentence

GOOD = Accuracies(forget=0.0, retain=0.9, original_forget=0.95, original_retain=0.91)
INSIDE = {
    "forget_accuracy": "inside",
    "js_to_retrained": "inside",
    "membership_auc.entropy": "inside",
    "few_shot_recall": "inside",
    "relearn_passes": "inside",
    "auditor_auc.outputs": "inside",
}


def verdict(accuracies=GOOD, references=2, **changes):
    words = INSIDE | {name.replace("__", "."): word for name, word in changes.items()}
    readings = {name: Reading(0.1, 0.1, 0.1, word) for name, word in words.items() if word}
    return sentence(accuracies, readings, references)


def test_inside_everywhere_is_as_by_retraining():
    """Must fail if the number of models that the floor rests on is not said."""
    assert verdict(references=3) == (
        "forgotten and kept as by retraining: all 6 decisive figures lie inside the floor of "
        "3 retrained models"
    )


def test_what_lies_outside_is_named_by_level():
    """Must fail if near figures are named as outside, or the levels are mixed."""
    said = verdict(few_shot_recall="outside", relearn_passes="outside", js_to_retrained="near")
    assert "told apart from retraining: 2 of 6 decisive figures" in said
    assert said.endswith("(representation: few_shot_recall; relearning: relearn_passes)")


def test_what_lies_near_is_close():
    """Must fail if near counts as inside."""
    said = verdict(js_to_retrained="near")
    assert said.startswith("forgotten and kept, close to retraining")
    assert "1 of 6 near it (output: js_to_retrained)" in said


@pytest.mark.parametrize("figure", ["membership_tpr.at_1_percent.entropy", "zrf"])
def test_figures_that_do_not_decide_change_no_verdict(figure):
    """Must fail if a noisy figure among forty decides."""
    assert not decides(figure)
    assert decides("cka_to_original.features")
    assert verdict(**{figure: "outside"}) == verdict()


def test_a_level_that_was_not_measured_leaves_likeness_unknown():
    """Must fail if a model is praised for figures that nobody took."""
    said = verdict(relearn_passes=None, few_shot_recall="not measured: needs 10 images")
    assert "not known (2 retrained models; not measured: representation, relearning)" in said


@pytest.mark.parametrize(
    ("forget", "retain", "words"),
    [
        (0.5, 0.9, "failed: the class is still known"),
        (0.0, 0.111, "failed: forgot the class but damaged the others"),
        (0.5, 0.111, "failed: neither forgotten nor kept"),
    ],
)
def test_a_model_that_fails_by_its_output_fails_whatever_the_readings(forget, retain, words):
    """Must fail if retain accuracy is not looked at: the article's collapsed model would pass."""
    assert verdict(Accuracies(forget, retain, 0.95, 0.91)).startswith(words)


def test_nothing_is_forgotten_where_nothing_was_known():
    """Must fail if the original's own accuracy is not looked at."""
    assert verdict(Accuracies(0.0, 0.9, 0.01, 0.91)).startswith("nothing to forget")


@pytest.mark.parametrize(
    ("article", "found", "said"),
    [
        ("excellent: score 0.074", "failed: forgot the class", "they disagree: the article's score reads"),
        ("good: score 0.2", "x, but told apart from retraining: 1", "they disagree in part"),
        ("good: score 0.2", "forgotten and kept as by retraining", "they agree: success"),
        ("weak: score 0.6", "failed: the class is still known", "they agree: failure"),
        ("partial: score 0.4", "forgotten and kept as by", "they disagree: the article's score does not"),
        ("partial: score 0.4", "x, but told apart from retraining: 1", "neither reads as full success"),
        ("good: score 0.2", "x; likeness to retraining is not known (", "not compared beyond the output"),
        ("good: score 0.2", "nothing to forget: x", "not compared"),
    ],
)  # fmt: skip
def test_the_articles_reading_stands_beside_the_verdict(article, found, said):
    """Must fail if a failed model with an excellent score is not called out."""
    assert against_article(article, found).startswith(said)
