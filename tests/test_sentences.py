"""What a person reads: each word with the figures it rests on, by name."""

import copy
import re
from typing import Any

import pytest

from unlearning.report import explanations, sentences
from unlearning.words import Band, Comparison, Cost, GameWarning, Unmeasured, Verdict

READINGS = {
    "js_to_retrained": "inside",
    "membership_auc.entropy": "inside",
    "membership_auc.confidence": "inside",
    "few_shot_recall": "inside",
    "relearn_passes": "inside",
    "auditor_auc.outputs": "inside",
}
TREE: dict[str, Any] = {
    "evaluate_forget": {
        "images": 37, "test_accuracy": 0.01, "original": {"test_accuracy": 0.92}, "confidence_mean": 0.524,
        "destinations": {"dog": 0.6, "cow": 0.4}, "discriminator_score": {"mean": 0.368},
        "assessment": Verdict.FORGOTTEN_AND_KEPT, "article_assessment": Band.PARTIAL,
    },
    "evaluate_retain": {
        "images": 333, "test_accuracy": 0.901, "original": {"test_accuracy": 0.907}, "chance": 0.1111
    },
    "adversarial_train": {
        "cost_ratio": 0.04, "work_ratio": 0.1, "cost_assessment": Cost.CHEAPER, "warnings": GameWarning.NONE,
        "final": {"discriminator_accuracy": 0.99, "effective_classes": 1.04},
    },
    "audit": {
        "verdict": Verdict.AS_RETRAINED, "worst_forget_accuracy": 0.02, "retain_accuracy": 0.901,
        "retrained": {"models": 2}, "article_comparison": Comparison.BOTH_SUCCESS,
        "verdicts": {"original": Verdict.STILL_KNOWN, "head_edited": Verdict.TOLD_APART},
        "original": {"forget_accuracy": 0.92, "retain_accuracy": 0.907},
        "head_edited": {"forget_accuracy": 0.0, "retain_accuracy": 0.907},
        "readings": {name: {"reading": word, "decisive": True} for name, word in READINGS.items()},
    },
}  # fmt: skip


def tree(verdict: str = Verdict.AS_RETRAINED, cost: str = Cost.CHEAPER, **readings: str) -> Any:
    changed = copy.deepcopy(TREE)
    changed["audit"]["verdict"] = verdict
    changed["adversarial_train"] |= {
        "cost_assessment": cost,
        "work_ratio": 3.6 if cost == Cost.DEARER else 0.1,
    }
    for name, word in readings.items():
        changed["audit"]["readings"][name.replace("__", ".")]["reading"] = word
    return changed


def test_inside_everywhere_is_as_by_retraining():
    """Must fail if the number of figures, or of models that the floor rests on, is not said."""
    assert sentences.verdict(tree()) == (
        "forgotten and kept as by retraining: all 6 decisive figures lie inside the floor of 2 retrained models"
    )


def test_what_lies_outside_has_its_name_and_not_its_key():
    """Must fail if near figures are named as outside, variants are torn apart, or a key is shown."""
    said = sentences.verdict(
        tree(
            Verdict.TOLD_APART,
            membership_auc__entropy="outside",
            membership_auc__confidence="outside",
            few_shot_recall="near",
            relearn_passes="outside",
        )
    )
    assert said == (
        "forgotten and kept by the output, but told apart from retraining: 3 of 6 decisive figures lie outside "
        "the floor of 2 retrained models: Membership AUC (confidence, entropy); Passes to relearn"
    )


def test_what_lies_near_is_close():
    """Must fail if it reads as outside, or as inside."""
    said = sentences.verdict(tree(Verdict.CLOSE, js_to_retrained="near"))
    assert said.startswith(
        "forgotten and kept, close to retraining: no decisive figure lies outside"
    )
    assert said.endswith("1 of 6 near it: Divergence from retrained")


def test_figures_that_do_not_decide_are_not_counted():
    """Must fail if all readings are counted."""
    changed = tree()
    changed["audit"]["readings"]["zrf"] = {"reading": "outside", "decisive": False}
    assert sentences.verdict(changed) == sentences.verdict(tree())


def test_what_was_not_measured_is_named_by_its_level():
    """Must fail if a person is not told why likeness is not known."""
    said = sentences.verdict(
        tree(
            Verdict.LIKENESS_UNKNOWN,
            relearn_passes="not measured: never known",
            few_shot_recall="no reference",
        )
    )
    assert said.endswith(
        "likeness to retraining is not known: not measured: representation, relearning"
    )
    alone = tree(Verdict.LIKENESS_UNKNOWN)
    alone["audit"]["retrained"] = Unmeasured.NO_REFERENCE
    assert sentences.verdict(alone).endswith("it takes 2 retrained models, and there are 0")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            Verdict.STILL_KNOWN,
            "failed, the class is still known: forget accuracy 0.020, retain accuracy 0.901 (original 0.907)",
        ),
        (Verdict.NOTHING_TO_FORGET, "nothing to forget: the original's accuracy is 0.920"),
        (
            Verdict.ORIGINAL_AT_CHANCE,
            "no verdict, the original knows the kept classes no better than chance: its retain accuracy is "
            "0.907, that of always naming one class 0.111",
        ),
        (
            Verdict.TOO_FEW_IMAGES,
            "no verdict, too few images to tell: forget accuracy 0.020, retain accuracy 0.901 (original "
            "0.907), on 37 forget and 333 retain test images",
        ),
    ],
)
def test_what_is_no_success_says_why(word, said):
    """Must fail if a figure is another file's, or a verdict's is not the worst class's."""
    assert sentences.verdict(tree(word)) == said


@pytest.mark.parametrize("word", Verdict)
def test_forgetting_dearer_than_retraining_is_no_success(word):
    """Must fail if a person who paid for three retrainings is told of a success first, or not what to do."""
    said = sentences.verdict(tree(word, Cost.DEARER))
    assert "dearer than retraining: 360% of the work of one. Take a model retrained" in said
    assert "such as those in models/retrained" in said
    begins = not word.startswith(("failed", "nothing", "too few", "original"))
    assert said.startswith("dearer than retraining") == (
        begins and word != Verdict.FORGOTTEN_AND_KEPT
    )


def test_controls_speak_of_their_own_figures():
    """Must fail if the unlearned model's accuracies or readings stand beside a control's word."""
    assert sentences.control(TREE, "original") == (
        "failed, the class is still known: forget accuracy 0.920, retain accuracy 0.907 (original 0.907)"
    )
    assert sentences.control(TREE, "head_edited").endswith("told apart from retraining")


def test_the_articles_reading_has_its_figures():
    """Must fail if the least predicted class is named, or the score's band is the confidence's."""
    assert sentences.article(TREE) == (
        "partial: score 0.368, mostly seen as dog, confidence 0.524 (medium)"
    )
    assert sentences.assessment(TREE) == (
        "forgotten and kept: forget accuracy 0.010, retain accuracy 0.901 (original 0.907)"
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (GameWarning.NONE, ["none"]),
        (GameWarning.WON, ["the discriminator won outright: it tells 99%"]),
        (GameWarning.COLLAPSED, ["the generator collapsed: it predicts 1.0 classes"]),
        (GameWarning.WON_AND_COLLAPSED, ["the discriminator won", "the generator collapsed"]),
    ],
)
def test_warnings_have_their_figures(word, said):
    """Must fail if one of two troubles is kept back."""
    changed = tree()
    changed["adversarial_train"]["warnings"] = word
    found = sentences.warning(changed).split("; ")
    assert [text.startswith(start) for text, start in zip(found, said, strict=True)] == [
        True
    ] * len(said)


def test_every_word_has_a_sentence_without_a_key():
    """Must fail if a new word ends in KeyError, or a sentence speaks in keys."""
    said = [sentences.verdict(tree(word)) for word in Verdict]
    said += [sentences.COMPARISONS[word] for word in Comparison]
    said += [sentences.reason(word) for word in Unmeasured]
    assert not [text for text in said if re.search(r"\w_\w|\w\.\w*[a-z]", text)]


def test_every_figure_has_a_name_that_stands_alone():
    """Must fail if two figures have one title: a verdict names them without the table around."""
    titles = [each.title for each in explanations.FIGURES.values()]
    assert len(titles) == len(set(titles))
    with pytest.raises(KeyError, match="new_figure"):
        sentences.named(["new_figure"])
