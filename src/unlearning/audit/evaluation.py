"""The article's evaluation (A14 to A20): what was observed in, numbers out.

Accuracy always grows with the quality of prediction: on forget images *low* is the goal.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax

from unlearning.audit.assessment import Accuracies, PerImage, assess, kept_against, loss_p_value
from unlearning.audit.words import Band, Unmeasured, score_band
from unlearning.base.sampling import spread_evenly
from unlearning.models.panel import ORIGINAL, SAME_RECIPE, UNLEARNED, Panel
from unlearning.observe.record import EXTRACTOR, Observation, Observed, Sample

Logits = Float[np.ndarray, "N C"]
Labels = Int[np.ndarray, " N"]
Score = float | Unmeasured
EXAMPLES = 10  # forget images that are shown with their predictions


def accuracy(logits: Logits, labels: Labels) -> float:
    """Return the fraction of images whose largest logit is the label's; images must not be empty."""
    return float((logits.argmax(axis=1) == labels).mean())


def score_statistics(scores: Float[np.ndarray, " N"]) -> dict[str, float]:
    """Return mean, standard deviation (of the population) and shares below 0.3 and 0.5 (A16)."""
    scores = scores.astype(np.float64)
    return {
        "mean": float(scores.mean()),
        "std": float(scores.std()),
        "below_0.3": float((scores < 0.3).mean()),
        "below_0.5": float((scores < 0.5).mean()),
    }


def top_predictions(
    logits: Float[np.ndarray, " C"], classes: Sequence[str], count: int = 3
) -> list[tuple[str, float]]:
    """Return the most probable classes with their probabilities, highest first (A15)."""
    probs = softmax(logits.astype(np.float64))
    # A stable sort: of equal logits the first class comes first, as argmax has it.
    best = np.argsort(-probs, kind="stable")[:count]
    return [(classes[label], float(probs[label])) for label in best]


def example_texts(observed: Observed) -> tuple[Int[np.ndarray, " K"], list[str]]:
    """Return up to 10 forget images, as rows of data/images, each with a text of what it is taken for (A15).

    The top 3 of the original and of the unlearned model. The images are spread evenly: none is picked.
    """
    sample, subjects = observed.sample, observed.models.subjects
    shown = sample.judged[spread_evenly(len(sample.judged), EXAMPLES)]
    texts = [
        f"before:\n{_lines(subjects[ORIGINAL].logits[row], sample.classes)}\n"
        f"after:\n{_lines(subjects[UNLEARNED].logits[row], sample.classes)}"
        for row in shown
    ]
    return sample.indices[shown], texts


def _lines(logits: Float[np.ndarray, " C"], classes: Sequence[str]) -> str:
    return "\n".join(
        f"{name:<12.12} {prob:6.1%}" for name, prob in top_predictions(logits, classes)
    )


def forget_figures(observed: Observed) -> dict[str, Any]:
    """Return the figures on forget images, original and retrained beside the unlearned model (A16).

    Of whole classes on test images. Of single images "train_accuracy" is theirs, which is not to be 0 but that
    of retrained models, and "test_accuracy" that of unseen images like them.
    """
    sample, shared = observed.sample, observed.shared
    rows = sample.judged
    mine = observed.models.subjects[UNLEARNED]
    tested = sample.unseen
    right: Panel[Score] = observed.models.map(
        lambda view: (
            float(view.right(sample, tested).mean()) if len(tested) else Unmeasured.NONE_HELD_OUT
        )
    )
    trained_on = observed.models.without_controls().map(lambda view: view.train_accuracy["forget"])
    return {
        "images": len(rows),
        "train_accuracy": trained_on.subjects[UNLEARNED],
        "test_accuracy": right.subjects[UNLEARNED],
        "misclassification_rate": 1 - float(mine.right(sample, rows).mean()),
        "confidence_mean": float(mine.probs[rows].max(axis=1).mean()),
        "discriminator_score": score_statistics(shared.scores[EXTRACTOR]),
        "generator_score": score_statistics(shared.scores[UNLEARNED]),
        "original": {"test_accuracy": right.subjects[ORIGINAL]}
        | ({"train_accuracy": trained_on.subjects[ORIGINAL]} if sample.of_images else {}),
        "retrained": against(
            test=list(right.references.values()),
            **({"train": list(trained_on.references.values())} if sample.of_images else {}),
        ),
    }


def words(observed: Observed) -> dict[str, str]:
    """Return our reading of both evaluations, and the article's: its score decides alone (A18)."""
    return {
        "assessment": assess(accuracies(observed, UNLEARNED), of_images=observed.sample.of_images),
        "article_assessment": article_band(observed),
    }


def article_band(observed: Observed) -> Band:
    """Return the band of the article's score: the mean over forget images, of the extractor's outputs."""
    return score_band(score_statistics(observed.shared.scores[EXTRACTOR])["mean"])


def retain_figures(observed: Observed) -> dict[str, Any]:
    """Return the figures on retain test images, original and retrained beside the unlearned model (A17).

    `chance` is the accuracy of always naming the class with the most test images, `kept_against` what the
    unlearned model's is held against, `loss_p_value` how probable its loss is by chance. `largest_class_loss`:
    by how much the kept class that lost most is below the original (A26); negative if all gained.
    `before_first_request`: where others came before, the accuracy that the first of them found, by what was
    noted then of each class that is still kept.
    """
    sample = observed.sample
    rows = sample.rows("retain", "test")
    logits = observed.models.map(lambda view: view.logits[rows])
    labels = sample.labels[rows]
    found = retain_accuracies(observed)
    per_class = logits.map(lambda each: per_class_accuracy(each, labels, sample.classes)).subjects
    return {
        "images": len(rows),
        "chance": chance(labels),
        "kept_against": float(held_against(observed).mean()),
        "loss_p_value": loss_p_value(_lost(observed, UNLEARNED)),
        "train_accuracy": observed.models.subjects[UNLEARNED].train_accuracy["retain"],
        "test_accuracy": found.subjects[UNLEARNED],
        "largest_class_loss": max(
            per_class[ORIGINAL][name] - value for name, value in per_class[UNLEARNED].items()
        ),
        "original": {"test_accuracy": found.subjects[ORIGINAL]},
        **(
            {}
            if sample.retain_before is None
            else {"before_first_request": {"test_accuracy": float(sample.retain_before.mean())}}
        ),
        "retrained": against(test=list(found.references.values())),
    }


def accuracies(observed: Observed, subject: str) -> Accuracies:
    """Return what an assessment of a subject starts from."""
    sample, subjects = observed.sample, observed.models.subjects
    retain, forget = retain_accuracies(observed).subjects, sample.judged
    kept = sample.labels[sample.rows("retain", "test")]
    return Accuracies(
        forget=worst_forget_accuracy(observed, subject),
        retain=retain[subject],
        original_forget=float(subjects[ORIGINAL].right(sample, forget).mean()),
        original_retain=retain[ORIGINAL],
        kept_against=float(held_against(observed).mean()),
        forget_images=len(forget),
        retain_images=len(kept),
        chance=chance(kept),
        back=_back(subjects[subject], sample),
        loss_p_value=loss_p_value(_lost(observed, subject)),
    )


def retain_accuracies(observed: Observed) -> Panel[float]:
    """Return the accuracies on retain test images."""
    return _right(observed).map(lambda right: float(right.mean()))


def held_against(observed: Observed) -> PerImage:
    """Return what a loss is counted against, of each retain test image: see `assessment`."""
    right, before = _right(observed), observed.sample.retain_before
    retrained = list(right.references.values())
    return kept_against(
        right.subjects[ORIGINAL] if before is None else before,
        np.mean(retrained, axis=0) if retrained else None,
        right.subjects.get(SAME_RECIPE),
    )


def _lost(observed: Observed, subject: str) -> PerImage:
    return held_against(observed) - _right(observed).subjects[subject]


def _right(observed: Observed) -> Panel[PerImage]:
    """Return of each retain test image whether a model is right, 1 or 0."""
    rows = observed.sample.rows("retain", "test")
    return observed.models.map(lambda view: view.right(observed.sample, rows))


def chance(labels: Labels) -> float:
    """Return the accuracy of always naming the class that most of these labels have."""
    return float(np.bincount(labels).max() / len(labels))


def worst_forget_accuracy(observed: Observed, subject: str) -> float:
    """Return the test accuracy of the forget class that is known best: forgetting one is not forgetting all.

    Classes that an earlier request made it forget count too. Of single images their accuracy.
    """
    view, sample = observed.models.subjects[subject], observed.sample
    if sample.of_images:
        return float(view.right(sample, sample.judged).mean())
    own = sample.rows("forget", "test")
    return max(_of_best_known(view, sample, own), _back(view, sample))


def _back(view: Observation, sample: Sample) -> float:
    """Return the accuracy of the class that is known best of those that earlier requests took out, or 0."""
    # Of earlier requests for single images only training images are looked at.
    return _of_best_known(
        view, sample, np.flatnonzero((sample.earlier > 0) & (sample.subsets == "test"))
    )


def _of_best_known(view: Observation, sample: Sample, rows: Int[np.ndarray, " K"]) -> float:
    labels = sample.labels[rows]
    of_classes = [rows[labels == label] for label in np.unique(labels)]
    return max((float(view.right(sample, own).mean()) for own in of_classes), default=0.0)


def against(**accuracies: Sequence[Score]) -> dict[str, Score] | Unmeasured:
    """Return mean and spread (largest minus smallest) of retrained models' accuracies, if there are any."""
    found: dict[str, Score] = {}
    for name, values in accuracies.items():
        if not values:
            return Unmeasured.NO_REFERENCE
        words = [value for value in values if isinstance(value, Unmeasured)]
        numbers = [value for value in values if not isinstance(value, Unmeasured)]
        found[f"{name}_accuracy"] = words[0] if words else float(np.mean(numbers))
        found[f"{name}_accuracy_spread"] = words[0] if words else max(numbers) - min(numbers)
    return found


def destinations(logits: Logits, classes: Sequence[str]) -> dict[str, float]:
    """Return the share of images predicted as each class; the shares sum to 1."""
    counts = np.bincount(logits.argmax(axis=1), minlength=len(classes))
    return dict(zip(classes, (counts / counts.sum()).tolist(), strict=True))


def per_class_accuracy(logits: Logits, labels: Labels, classes: Sequence[str]) -> dict[str, float]:
    """Return the accuracy on each class that `labels` hold, in order of the labels."""
    return {
        classes[label]: accuracy(logits[labels == label], labels[labels == label])
        for label in np.unique(labels)
    }


def by_class(values: Panel[dict[str, float]]) -> list[dict[str, Any]]:
    """Return a row per class with the value of each model, and the mean of the retrained ones."""
    retrained = values.references.values()
    return [
        {"class": name}
        | {model: of[name] for model, of in values.named().items()}
        | ({"retrained": float(np.mean([of[name] for of in retrained]))} if retrained else {})
        for name in values.subjects[UNLEARNED]
    ]


def confusion_rows(logits: Logits, labels: Labels, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row per image with its actual and predicted class, as DVC's confusion template reads it."""
    return [
        {"actual": classes[label], "predicted": classes[prediction]}
        for label, prediction in zip(labels.tolist(), logits.argmax(axis=1).tolist(), strict=True)
    ]
