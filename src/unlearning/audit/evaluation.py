"""The article's evaluation (A14 to A20): what was observed in, numbers out.

Accuracy always grows with the quality of prediction: on forget images *low* is the goal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import softmax

from unlearning.audit.words import Unmeasured
from unlearning.models.panel import ORIGINAL, UNLEARNED, Panel
from unlearning.observe.record import EXTRACTOR, Observed

Logits = Float[np.ndarray, "N C"]
Labels = Int[np.ndarray, " N"]
Score = float | Unmeasured


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


def forget_figures(observed: Observed) -> dict[str, Any]:
    """Return the figures on forget images, original and retrained beside the unlearned model (A16).

    Of whole classes on test images. Of single images "train_accuracy" is theirs, which is not to be 0 but that
    of retrained models, and "test_accuracy" that of unseen images like them.
    """
    sample, shared = observed.sample, observed.shared
    rows = sample.judged
    logits = observed.models.map(lambda view: view.logits[rows])
    mine, labels = logits.subjects[UNLEARNED], sample.labels[rows]
    tested = sample.unseen
    answers = observed.models.map(lambda view: view.logits[tested])
    right: Panel[Score] = answers.map(
        lambda each: (
            accuracy(each, sample.labels[tested]) if len(tested) else Unmeasured.NONE_HELD_OUT
        )
    )
    trained_on = observed.models.map(lambda view: view.train_accuracy.get("forget", float("nan")))
    return {
        "images": len(rows),
        "train_accuracy": trained_on.subjects[UNLEARNED],
        "test_accuracy": right.subjects[UNLEARNED],
        "misclassification_rate": 1 - accuracy(mine, labels),
        "confidence_mean": float(softmax(mine.astype(np.float64), axis=1).max(axis=1).mean()),
        "discriminator_score": score_statistics(shared.scores[EXTRACTOR]),
        "generator_score": score_statistics(shared.scores[UNLEARNED]),
        "original": {"test_accuracy": right.subjects[ORIGINAL]}
        | ({"train_accuracy": trained_on.subjects[ORIGINAL]} if sample.of_images else {}),
        "retrained": against(
            test=list(right.references.values()),
            **({"train": list(trained_on.references.values())} if sample.of_images else {}),
        ),
    }


def retain_figures(observed: Observed) -> dict[str, Any]:
    """Return the figures on retain test images, original and retrained beside the unlearned model (A17).

    `chance` is the accuracy of always naming the class with the most test images. `largest_class_loss`: by
    how much the kept class that lost most is below the original (A26); negative if all gained.
    `before_first_request`: where others came before, the accuracy that the first of them found, by what was
    noted then of each class that is still kept.
    """
    sample = observed.sample
    rows = sample.rows("retain", "test")
    logits = observed.models.map(lambda view: view.logits[rows])
    labels = sample.labels[rows]
    per_class = logits.map(lambda each: per_class_accuracy(each, labels, sample.classes)).subjects
    return {
        "images": len(rows),
        "chance": float(np.bincount(labels).max() / len(rows)),
        "train_accuracy": observed.models.subjects[UNLEARNED].train_accuracy["retain"],
        "test_accuracy": accuracy(logits.subjects[UNLEARNED], labels),
        "largest_class_loss": max(
            per_class[ORIGINAL][name] - value for name, value in per_class[UNLEARNED].items()
        ),
        "original": {"test_accuracy": accuracy(logits.subjects[ORIGINAL], labels)},
        **(
            {}
            if sample.retain_before is None
            else {"before_first_request": {"test_accuracy": sample.retain_before}}
        ),
        "retrained": against(test=[accuracy(each, labels) for each in logits.references.values()]),
    }


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


def by_class(values: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Return a row per class with the value of each model, and the mean of the retrained ones if there are any.

    `values`: by model, as `Panel.without_control` names it, and class.
    """
    retrained = [of for model, of in values.items() if model not in (ORIGINAL, UNLEARNED)]
    return [
        {"class": name}
        | {model: of[name] for model, of in values.items()}
        | ({"retrained": float(np.mean([of[name] for of in retrained]))} if retrained else {})
        for name in values[UNLEARNED]
    ]


def confusion_rows(logits: Logits, labels: Labels, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row per image with its actual and predicted class, as DVC's confusion template reads it."""
    return [
        {"actual": classes[label], "predicted": classes[prediction]}
        for label, prediction in zip(labels.tolist(), logits.argmax(axis=1).tolist(), strict=True)
    ]
