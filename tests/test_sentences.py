"""What a person reads: each word with the figures it rests on, by name."""

import copy
import re
from typing import Any

import pytest

from unlearning.audit import catalogue
from unlearning.audit.words import Band, Comparison, Unmeasured, Verdict
from unlearning.base.errors import UserError
from unlearning.methods.shared.words import Cost, GameWarning
from unlearning.report import sentences
from unlearning.report.metrics import Metrics

READINGS = {
    "js_to_retrained": "inside",
    "membership_auc.entropy": "inside",
    "membership_auc.confidence": "inside",
    "few_shot_recall": "inside",
    "knn_recall": "inside",
    "auditor_auc.outputs": "inside",
}
TREE: dict[str, Any] = {
    "evaluate_forget": {
        "images": 37, "test_accuracy": 0.01, "original": {"test_accuracy": 0.92}, "confidence_mean": 0.524,
        "discriminator_score": {"mean": 0.368},
        "assessment": Verdict.FORGOTTEN_AND_KEPT, "article_assessment": Band.PARTIAL,
    },
    "evaluate_retain": {
        "images": 333, "test_accuracy": 0.901, "original": {"test_accuracy": 0.907}, "chance": 0.1111,
        "retrained": {"test_accuracy": 0.91}, "kept_against": 0.907,
    },
    "adversarial_train": {
        "cost_ratio": 0.04, "cost_assessment": Cost.CHEAPER, "warnings": GameWarning.NONE,
        "final": {"discriminator_accuracy": 0.99, "effective_classes": 1.04},
    },
    "audit": {
        "request": "classes", "verdict": Verdict.NOT_TOLD_APART, "worst_forget_accuracy": 0.02,
        "retrained": {"models": 2}, "original": {"memory": "outside"},
        "error_rates": {"false_alarms": 0.03, "false_alarms_of": 24, "caught": 0.96, "caught_of": 6},
        "article_comparison": Comparison.BOTH_SUCCESS,
        "verdicts": {"original": Verdict.STILL_KNOWN, "head_edited": Verdict.TOLD_APART},
    },
    "destinations": {"dog": {"unlearned": 0.6}, "cow": {"unlearned": 0.4}},
    "audit_figures": {
        **{name: {"reading": word, "decisive": "yes"} for name, word in READINGS.items()},
        "forget_accuracy": {"reading": "inside", "decisive": "no", "original": 0.92, "head_edited": 0.0},
        "retain_accuracy": {"reading": "inside", "decisive": "no", "original": 0.907, "head_edited": 0.907},
    },
}  # fmt: skip


# Words that are said of single images alone.
OF_IMAGES = {Verdict.KEPT, Verdict.NOR_THE_ORIGINAL}


def tree(
    verdict: str = Verdict.NOT_TOLD_APART,
    cost: str = Cost.CHEAPER,
    of_images: bool = False,
    **readings: str,
) -> Any:
    changed = copy.deepcopy(TREE)
    changed["audit"]["request"] = "images" if of_images else "classes"
    changed["audit"]["verdict"] = verdict
    changed["audit"]["earlier"] = {"1": {"request": "classes", "accuracy": 0.3}}
    changed["adversarial_train"] |= {
        "cost_assessment": cost,
        "cost_ratio": 3.6 if cost == Cost.DEARER else 0.1,
    }
    for name, word in readings.items():
        changed["audit_figures"][name.replace("__", ".")]["reading"] = word
    return changed


def verdict_of(changed: Any) -> str:
    return sentences.verdict(Metrics(changed))


TRIALS = "3% of 24 retrained models and 96% of 6 originals and edited heads"
RATES = f"(in trials on other data the audit told apart {TRIALS})"


def test_inside_everywhere_is_not_told_apart():
    """Must fail if the number of figures, of references, or the errors of the audit are not said, or a rate
    stands without the number of models that it rests on.
    """
    assert verdict_of(tree()) == (
        "forgotten and kept, and not told apart from retraining: none of 6 decisive figures lies further from "
        f"2 retrained models than one more would {RATES}"
    )


@pytest.mark.parametrize(
    ("control", "power", "then"),
    [
        (Verdict.CONTRADICTED, "They do contradict {}", "They do contradict {}"),
        (
            Verdict.NOT_CONTRADICTED,
            "Nor do they contradict {}: here they cannot tell",
            "They do not contradict {}: here they cannot tell",
        ),
        (Verdict.STILL_KNOWN, *["They were not read of {}: failed, the class is still known"] * 2),
    ],
)
def test_without_references_the_power_here_is_said(control, power, then):
    """Must fail if it is not said whether the same attacks catch what was never unlearned.

    Or if "nor" follows upon attacks that contradict, or a control that failed by accuracy passes for that.
    """
    power, then = (
        words.format("the original with its last layer edited") for words in (power, then)
    )
    changed = tree(Verdict.NOT_CONTRADICTED)
    changed["audit"]["retrained"] = Unmeasured.NO_REFERENCE
    changed["audit"]["verdicts"]["head_edited"] = control
    trials = f"(in trials on other data they contradicted {TRIALS})"
    assert verdict_of(changed) == (
        "forgotten and kept, and not contradicted by any of 6 attacks that need no retrained model. "
        f"{power} {trials}"
    )
    changed["audit"]["verdict"] = Verdict.CONTRADICTED
    changed["audit_figures"]["few_shot_recall"]["reading"] = "outside"
    assert verdict_of(changed).startswith(
        "forgotten and kept by the output, but contradicted by 1 of 6 attacks that need no retrained model: "
        f"Few-shot recall. {then} (in"
    )


@pytest.mark.parametrize(
    ("word", "original", "said"),
    [
        (
            "outside", 0.9,
            "by its features, images of them that it was trained on are told from others (membership AUC "
            "0.900; of models that never saw them 0.450)",
        ),
        (
            "outside", 0.1,
            "by its features, images of them that it was trained on are told from others less well than with "
            "models that never saw them (membership AUC 0.100; of models that never saw them 0.450): it is not "
            "one of these, but that is no memory",
        ),
        (
            "inside", 0.5,
            "by its features, no more memory of single images of them is found than with models that never saw "
            "them (membership AUC 0.500; of models that never saw them 0.450): none would be found up to about "
            "0.570",
        ),
        ("no reference", 0.5, "whether it memorised single images of them is not known: no reference"),
    ],
)  # fmt: skip
def test_an_original_that_memorised_nothing_is_named(word, original, said):
    """Must fail if nothing found is called no memory without the value up to which nothing would be, or an
    AUC below that of retrained models a memory.
    """
    changed = tree()
    changed["audit"]["original"] = {"memory": word}
    changed["audit_figures"][sentences.MEMORY] = {
        "decisive": "yes", "reading": "inside", "original": original, "retrained": 0.45, "limit": 0.12,
    }  # fmt: skip
    assert sentences.memory(Metrics(changed)) == said


@pytest.mark.parametrize("retrained", ["no reference", {"models": 1}])
def test_without_references_a_memory_is_held_against_a_coin_toss(retrained):
    """Must fail if a single retrained model, or the lack of any, is what a memory is told by."""
    changed = tree()
    changed["audit"] |= {"original": {"memory": "inside"}, "retrained": retrained}
    changed["audit_figures"][sentences.MEMORY] = {
        "original": 0.55, "retrained": retrained if isinstance(retrained, str) else 0.4, "limit": 0.12,
    }  # fmt: skip
    said = sentences.memory(Metrics(changed))
    assert said.endswith("never saw them 0.500): none would be found up to about 0.620")


@pytest.mark.parametrize("word", [Verdict.STILL_KNOWN, Verdict.BOTH])
def test_a_class_that_is_back_is_named_by_its_request_and_its_own_accuracy(word):
    """Must fail if the accuracy of this request's images stands for it, an earlier request for single images,
    whose class is known as it should be, or another model's figure.
    """
    changed = tree(word, of_images=True)
    changed["audit"] |= {
        "worst_forget_accuracy": 0.541,
        "earlier": {
            "1": {"request": "classes", "accuracy": 0.02, "original": 0.03},
            "2": {"request": "classes", "accuracy": 0.3, "original": 0.01},
            "3": {"request": "images", "accuracy": 0.6, "original": 0.6},
        },
        "verdicts": {"original": word, "same_recipe": word},
    }
    metrics = Metrics(changed)
    ends = ": {}retain accuracy {} (original 0.907)"
    assert sentences.verdict(metrics).endswith(
        ends.format("accuracy 0.300 on the classes of request 2, ", "0.901")
    )
    assert sentences.control(metrics, "original").endswith(
        ends.format("accuracy 0.030 on the classes of request 1, ", "0.907")
    )
    changed["audit_figures"]["forget_accuracy"]["same_recipe"] = 0.6
    changed["audit_figures"]["retain_accuracy"]["same_recipe"] = 0.9
    assert sentences.control(metrics, "same_recipe").endswith(ends.format("", "0.900"))


def test_of_two_requests_for_classes_the_one_that_is_back_is_named():
    """Must fail if "still known" stands beside the accuracy 0 of the class that is asked for now."""
    changed = tree(Verdict.STILL_KNOWN)
    changed["evaluate_forget"]["assessment"] = Verdict.STILL_KNOWN
    changed["audit"] |= {
        "worst_forget_accuracy": 0.97,
        "earlier": {"1": {"request": "classes", "accuracy": 0.95, "head_edited": 0.94}},
        "verdicts": {"head_edited": Verdict.STILL_KNOWN},
    }
    metrics = Metrics(changed)
    begin = "failed, the class is still known: accuracy {} on the classes of request 1, retain"
    assert sentences.verdict(metrics).startswith(begin.format("0.950"))
    assert sentences.assessment(metrics).startswith(begin.format("0.950"))
    assert sentences.control(metrics, "head_edited").startswith(begin.format("0.940"))
    # Where the class of this request is known as well, it is told.
    changed["evaluate_forget"]["test_accuracy"] = 0.5
    assert "still known: forget accuracy 0.970," in sentences.verdict(Metrics(changed))


def test_what_lies_outside_has_its_name_and_not_its_key():
    """Must fail if figures inside are named as well, variants are torn apart, or a key is shown."""
    said = verdict_of(
        tree(
            Verdict.TOLD_APART,
            membership_auc__entropy="outside",
            membership_auc__confidence="outside",
            knn_recall="outside",
        )
    )
    assert said == (
        "forgotten and kept by the output, but told apart from retraining: 3 of 6 decisive figures lie further "
        "from 2 retrained models than one more would: Membership AUC (confidence, entropy); Nearest neighbours "
        f"{RATES}"
    )


def test_figures_that_do_not_decide_are_not_counted():
    """Must fail if all readings are counted."""
    changed = tree()
    changed["audit_figures"]["zrf"] = {"reading": "outside", "decisive": "no"}
    assert verdict_of(changed) == verdict_of(tree())


def test_what_was_not_measured_is_named_by_its_level():
    """Must fail if a person is not told why likeness is not known."""
    said = verdict_of(
        tree(
            Verdict.LIKENESS_UNKNOWN,
            js_to_retrained="not measured: needs 10 images",
            few_shot_recall="no reference",
            knn_recall="no reference",
        )
    )
    assert said.endswith(
        "likeness to retraining is not known: not measured: output, representation"
    )
    alone = tree(Verdict.LIKENESS_UNKNOWN, **dict.fromkeys(READINGS, Unmeasured.NEEDS_10))
    alone["audit"]["retrained"] = Unmeasured.NO_REFERENCE
    assert verdict_of(alone).endswith(
        "none of the attacks that need no retrained model could be measured (not measured: needs 10 images)"
    )


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
    changed = tree(word)
    del changed["audit"]["earlier"]
    assert verdict_of(changed) == said


def test_a_loss_is_told_with_the_retrained_models_that_it_is_held_against():
    """Must fail if a model is called damaged without the lower accuracy that it fell short of."""
    changed = tree(Verdict.DAMAGED)
    for retrained, ends in ((0.9, "(original 0.907, retrained 0.900)"), (0.95, "(original 0.907)")):
        changed["evaluate_retain"]["retrained"] = {"test_accuracy": retrained}
        changed["evaluate_retain"]["kept_against"] = min(0.907, retrained)
        assert verdict_of(changed).endswith(ends)
    changed["evaluate_retain"]["retrained"] = "no reference"
    assert verdict_of(changed).endswith("(original 0.907)")


def test_what_is_kept_by_the_retrained_models_measure_alone_is_told_with_it():
    """Must fail if a model that lost a third of its accuracy is called kept without a figure."""
    changed = tree()
    changed["evaluate_retain"] |= {"test_accuracy": 0.6, "retrained": {"test_accuracy": 0.61}}
    changed["evaluate_retain"]["kept_against"] = 0.61
    said = "as far as retrained models keep them: retain accuracy 0.600 (original 0.907, retrained 0.610)"
    assert said in verdict_of(changed)
    assert "as far as" not in verdict_of(tree())


@pytest.mark.parametrize(
    ("word", "retain", "retrained", "kept_against", "ends"),
    [
        (Verdict.FORGOTTEN_AND_KEPT, 0.74, 0.9, 0.75, "retrained models 0.750)"),
        (Verdict.DAMAGED, 0.7, 0.6, 0.78, "retrained models 0.780)"),
        (Verdict.DAMAGED, 0.7, 0.6, 0.8, "accuracy 0.700 (original 0.800)"),
    ],
)
def test_of_given_weights_the_accuracy_that_decides_is_told(
    word, retain, retrained, kept_against, ends
):
    """Must fail if the retrained models' accuracy stands there, which another recipe made."""
    changed = tree(word)
    changed["evaluate_forget"]["assessment"] = word
    changed["evaluate_retain"] |= {
        "test_accuracy": retain,
        "original": {"test_accuracy": 0.8},
        "retrained": {"test_accuracy": retrained},
        "kept_against": kept_against,
    }
    said = sentences.assessment(Metrics(changed))
    assert said.endswith(ends)
    assert f"retrained {retrained:.3f}" not in said


@pytest.mark.parametrize("word", Verdict)
def test_forgetting_dearer_than_retraining_is_no_success(word):
    """Must fail if a person who paid for three retrainings is told of a success first, or not what to do."""
    said = verdict_of(tree(word, Cost.DEARER, of_images=word in OF_IMAGES))
    assert "dearer than retraining: 360% of the work of one. Take a model retrained" in said
    assert "such as those in models/retrained" in said
    begins = not word.startswith(("failed", "nothing", "too few", "original"))
    assert said.startswith("dearer than retraining") == (
        begins and word not in (Verdict.FORGOTTEN_AND_KEPT, Verdict.KEPT)
    )


def test_controls_speak_of_their_own_figures():
    """Must fail if the unlearned model's accuracies or readings stand beside a control's word."""
    assert sentences.control(Metrics(TREE), "original") == (
        "failed, the class is still known: forget accuracy 0.920, retain accuracy 0.907 (original 0.907)"
    )
    assert sentences.control(Metrics(TREE), "head_edited").endswith("told apart from retraining")


def test_the_articles_reading_has_its_figures():
    """Must fail if the least predicted class is named, or the score's band is the confidence's."""
    assert sentences.article(Metrics(TREE)) == (
        "partial: score 0.368, mostly seen as dog, confidence 0.524 (medium)"
    )
    assert sentences.assessment(Metrics(TREE)) == (
        "forgotten and kept: forget accuracy 0.020, retain accuracy 0.901 (original 0.907)"
    )


def test_a_recipe_without_a_discriminator_has_no_reading_of_its_score():
    """Must fail if the score of a discriminator that never learned is read as the article reads its own."""
    changed = tree()
    del changed["adversarial_train"]["final"]["discriminator_accuracy"]
    said = "in this recipe no discriminator learns"
    assert sentences.article(Metrics(changed)) == f"none: {said}"
    assert sentences.comparison(Metrics(changed)) == f"not compared: {said}"


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
    found = sentences.warning(Metrics(changed)).split("; ")
    assert [text.startswith(start) for text, start in zip(found, said, strict=True)] == [
        True
    ] * len(said)


def test_every_word_has_a_sentence_without_a_key():
    """Must fail if a new word ends in KeyError, or a sentence speaks in keys."""
    said = [verdict_of(tree(word)) for word in Verdict if word not in OF_IMAGES]
    said += [verdict_of(tree(word, of_images=True)) for word in Verdict]
    said += [sentences.COMPARISONS[word] for word in Comparison]
    said += [sentences.reason(word) for word in Unmeasured]
    assert not [text for text in said if re.search(r"\w_\w|\w\.\w*[a-z]", text)]


def test_every_figure_has_a_name_that_stands_alone():
    """Must fail if two figures have one title: a verdict names them without the table around."""
    titles = [each.title for each in catalogue.ENTRIES.values()]
    assert len(titles) == len(set(titles))
    with pytest.raises(KeyError, match="new_figure"):
        sentences.named(["new_figure"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("audit", "verdict"), "splendid"),
        (("audit", "worst_forget_accuracy"), "no reference"),
        (("audit_figures",), {"zrf": {"decisive": "yes"}}),
        (("evaluate_retain",), {}),
        (("audit", "retrained"), {"models": None}),
    ],
)
def test_what_no_run_writes_is_refused_by_its_path(path, value):
    """Must fail if a stranger's metrics end in a traceback, or in a sentence."""
    changed = tree()
    part = changed
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(UserError, match=rf"^{path[0]}\..*run `dvc repro`"):
        verdict_of(changed)


def test_our_own_mistake_stays_a_traceback():
    """Must fail if a figure that we forgot to explain is called a fault of the person's files."""
    changed = tree(Verdict.TOLD_APART)
    changed["audit_figures"]["brand_new"] = {"reading": "outside", "decisive": "yes"}
    with pytest.raises(KeyError, match="brand_new"):
        verdict_of(changed)
