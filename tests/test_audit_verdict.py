"""The verdict in a word, and the article's reading beside it."""

import pytest

from unlearning.audit.assessment import Accuracies
from unlearning.audit.catalogue import decides
from unlearning.audit.limits import Reading
from unlearning.audit.verdict import against_article
from unlearning.audit.verdict import verdict as verdict_of
from unlearning.audit.words import NOT_FAILED, Distance, Unmeasured, Verdict


def accuracies(forget=0.0, retain=0.9, original_forget=0.95, original_retain=0.91):
    return Accuracies(
        forget, retain, original_forget, original_retain, original_retain, 40, 300, 1 / 9, 0.0
    )


INSIDE = {
    "js_to_retrained": "inside",
    "membership_auc.features": "inside",
    "few_shot_recall": "inside",
    "auditor_auc.outputs": "inside",
}


def verdict(found=None, **changes):
    words = INSIDE | {name.replace("__", "."): word for name, word in changes.items()}
    kinds = {str(word): word for kind in (Distance, Unmeasured) for word in kind}
    readings = {name: Reading(0.1, 0.1, kinds[word]) for name, word in words.items() if word}
    return verdict_of(found or accuracies(), readings)


def test_inside_everywhere_is_not_told_apart():
    """Must fail if a figure inside counts against the model."""
    assert verdict() == Verdict.NOT_TOLD_APART


def test_one_decisive_figure_outside_tells_the_model_apart():
    """Must fail if the figures inside outvote it."""
    assert verdict(few_shot_recall="outside") == Verdict.TOLD_APART


@pytest.mark.parametrize(
    "figure", ["membership_tpr.at_1_percent.entropy", "zrf", "cka_to_original.features"]
)
def test_noisy_figures_do_not_decide(figure):
    """Must fail if a noisy figure among forty decides."""
    assert not decides(figure)
    assert decides("membership_auc.features")


@pytest.mark.parametrize("word", [None, "not measured: needs 10 images"])
def test_a_level_that_was_not_measured_leaves_likeness_unknown(word):
    """Must fail if a model is praised for figures that nobody took."""
    assert verdict(few_shot_recall=word) == Verdict.LIKENESS_UNKNOWN


def test_what_lies_outside_tells_apart_whatever_else_was_not_measured():
    """Must fail if a hidden class is "unknown" where a few images leave one level without a figure."""
    few = {"membership_auc__features": "not measured: needs 10 images"}
    assert verdict(few_shot_recall="outside", **few) == Verdict.TOLD_APART


def test_without_references_one_attack_is_enough_and_none_says_nothing():
    """Must fail if a verdict is given where nothing was measured, or levels are asked for."""
    inside, outside = (Reading(0.1, 0.1, word) for word in (Distance.INSIDE, Distance.OUTSIDE))
    silent = Reading(*[Unmeasured.NEEDS_10] * 3)
    for readings, word in (
        ({"knn_recall": inside, "few_shot_recall": silent}, Verdict.NOT_CONTRADICTED),
        ({"knn_recall": inside, "few_shot_recall": outside}, Verdict.CONTRADICTED),
        ({"knn_recall": silent}, Verdict.LIKENESS_UNKNOWN),
    ):
        assert verdict_of(accuracies(), readings, alone=True) == word
    assert verdict_of(accuracies(forget=0.5), {}, alone=True) == Verdict.STILL_KNOWN


@pytest.mark.parametrize(
    ("forget", "retain", "word"),
    [(0.5, 0.9, Verdict.STILL_KNOWN), (0.0, 0.111, Verdict.DAMAGED), (0.5, 0.111, Verdict.BOTH)],
)
def test_a_model_that_fails_by_its_output_fails_whatever_the_readings(forget, retain, word):
    """Must fail if retain accuracy is not looked at: the article's collapsed model would pass."""
    assert verdict(accuracies(forget, retain)) == word


def test_an_original_that_knows_nothing_earns_no_verdict():
    """Must fail if the original's accuracies are not looked at: the retain accuracy may even have risen."""
    assert verdict(accuracies(original_forget=0.01)) == Verdict.NOTHING_TO_FORGET
    assert verdict(accuracies(retain=0.5, original_retain=0.11)) == Verdict.ORIGINAL_AT_CHANCE


@pytest.mark.parametrize(
    ("article", "found", "said"),
    [
        ("excellent", Verdict.DAMAGED, "disagree: the model failed"),
        ("good", Verdict.TOLD_APART, "disagree: told apart"),
        ("good", Verdict.NOT_TOLD_APART, "agree: success"),
        ("weak", Verdict.STILL_KNOWN, "agree: failure"),
        ("partial", Verdict.NOT_TOLD_APART, "disagree: the model passed"),
        ("partial", Verdict.TOLD_APART, "agree: no full success"),
        ("good", Verdict.LIKENESS_UNKNOWN, "not compared"),
        ("good", Verdict.NOT_CONTRADICTED, "not compared"),
        ("good", Verdict.CONTRADICTED, "disagree: told apart"),
        ("good", Verdict.NOTHING_TO_FORGET, "not compared"),
        ("good", Verdict.ORIGINAL_AT_CHANCE, "not compared"),
        ("good", Verdict.TOO_FEW_IMAGES, "not compared"),
    ],
)
def test_the_articles_reading_stands_beside_the_verdict(article, found, said):
    """Must fail if a failed model with an excellent score is not called out."""
    assert against_article(article, found) == said


def test_every_verdict_is_told_to_have_failed_or_not():
    """Must fail if a new word passes the gate without a thought, or an assessment's stands for a verdict."""
    assert {word for word in Verdict if word not in NOT_FAILED} == {
        "nothing to forget", "original at chance", "too few images to tell", "failed: still known",
        "failed: others damaged", "failed: known and damaged", "forgotten and kept",
        "kept, forgetting not known",
    }  # fmt: skip
