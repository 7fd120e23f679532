"""The article's evaluation (A14 to A20): predictions in, numbers out.

Every function takes logits (N x C), labels (N) or scores (N in [0, 1]) that a stage computed once.
Accuracy always grows with the quality of prediction: on forget images *low* is the goal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearning.versions import Versions
from unlearning.words import Unmeasured


def accuracy(logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"]) -> float:
    """Return the fraction of images whose largest logit is the label's; images must not be empty."""
    return (logits.argmax(dim=1) == labels).double().mean().item()


def score_statistics(scores: Float[Tensor, " N"]) -> dict[str, float]:
    """Return mean, standard deviation (of the population) and shares below 0.3 and 0.5 (A16)."""
    scores = scores.double()
    return {
        "mean": scores.mean().item(),
        "std": scores.std(correction=0).item(),
        "below_0.3": (scores < 0.3).double().mean().item(),
        "below_0.5": (scores < 0.5).double().mean().item(),
    }


def top_predictions(
    logits: Float[Tensor, " C"], classes: Sequence[str], count: int = 3
) -> list[tuple[str, float]]:
    """Return the most probable classes with their probabilities, highest first (A15)."""
    probs = logits.double().softmax(dim=0)
    # A stable sort, not topk: of equal logits the first class comes first, as argmax has it.
    best = probs.sort(descending=True, stable=True).indices[:count].tolist()
    return [(classes[label], probs[label].item()) for label in best]


def forget_figures(
    logits: Versions[Tensor],
    scores: Versions[Tensor],
    labels: Int[Tensor, " N"],
    train_logits: Float[Tensor, "M C"],
    train_labels: Int[Tensor, " M"],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return the figures on forget images: of the unlearned model, original and retrained beside it (A16).

    `logits` and `scores` belong to the test images, `train_logits` is the unlearned model's on the
    images it was trained on.
    """

    def figures(outputs: Tensor, output_scores: Tensor) -> dict[str, Any]:
        test_accuracy = accuracy(outputs, labels)
        return {
            "test_accuracy": test_accuracy,
            "misclassification_rate": 1 - test_accuracy,
            "confidence_mean": outputs.double().softmax(dim=1).max(dim=1).values.mean().item(),
            "generator_score": score_statistics(output_scores),
            "destinations": destinations(outputs, classes),
        }

    return {
        "images": len(labels),
        "train_accuracy": accuracy(train_logits, train_labels),
        **figures(logits.unlearned, scores.unlearned),
        "original": figures(logits.original, scores.original),
        "retrained": mean_figures(
            [figures(logits.retrained[seed], scores.retrained[seed]) for seed in logits.retrained]
        ),
    }


def retain_figures(
    logits: Versions[Tensor],
    labels: Int[Tensor, " N"],
    train_logits: Float[Tensor, "M C"],
    train_labels: Int[Tensor, " M"],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return the figures on retain images (A17, A26); arguments as in `forget_figures`.

    `chance` is the accuracy of always naming the class with the most test images.
    """
    per_class = logits.map(lambda outputs: per_class_accuracy(outputs, labels, classes))
    test_accuracy = logits.map(lambda outputs: accuracy(outputs, labels))
    return {
        "images": len(labels),
        "chance": labels.bincount().max().item() / len(labels),
        "train_accuracy": accuracy(train_logits, train_labels),
        "test_accuracy": test_accuracy.unlearned,
        "original": {"test_accuracy": test_accuracy.original},
        "retrained": mean_figures(
            [{"test_accuracy": value} for value in test_accuracy.retrained.values()]
        ),
        "per_class": per_class.unlearned,
        "related_classes": related_classes(per_class),
    }


def destinations(logits: Float[Tensor, "N C"], classes: Sequence[str]) -> dict[str, float]:
    """Return the share of images predicted as each class; the shares sum to 1."""
    counts = torch.bincount(logits.argmax(dim=1), minlength=len(classes)).double()
    return dict(zip(classes, (counts / counts.sum()).tolist(), strict=True))


def per_class_accuracy(
    logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"], classes: Sequence[str]
) -> dict[str, float]:
    """Return the accuracy on each class that `labels` hold, in order of the labels."""
    return {
        classes[label]: accuracy(logits[labels == label], labels[labels == label])
        for label in labels.unique().tolist()
    }


def mean_figures(models: Sequence[Mapping[str, Any]]) -> dict[str, Any] | str:
    """Return the mean of each figure over the retrained models, or in words that there is none.

    The spread of the accuracies from seed to seed (largest minus smallest) stands beside them, and the
    number of models it rests on.
    """
    if not models:
        return Unmeasured.NO_REFERENCE
    accuracies = [model["test_accuracy"] for model in models]
    spread = max(accuracies) - min(accuracies)
    return {**_mean(models), "models": len(models), "test_accuracy_spread": spread}


def _mean(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        key: _mean([tree[key] for tree in trees])
        if isinstance(value, Mapping)
        else float(np.mean([tree[key] for tree in trees]))
        for key, value in trees[0].items()
    }


def related_classes(per_class: Versions[dict[str, float]]) -> dict[str, dict[str, float | str]]:
    """Return, per kept class, how its test accuracy changed against original and retrained (A26).

    Negative: the unlearned model is worse. The retrained models are compared by their mean.
    """
    retrained = _mean(list(per_class.retrained.values())) if per_class.retrained else None
    return {
        name: {
            "against_original": value - per_class.original[name],
            "against_retrained": value - retrained[name] if retrained else Unmeasured.NO_REFERENCE,
        }
        for name, value in per_class.unlearned.items()
    }


def confusion_rows(
    logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return one row per image with its actual and predicted class, as DVC's confusion template reads it."""
    predicted = logits.argmax(dim=1).tolist()
    return [
        {"actual": classes[label], "predicted": classes[prediction]}
        for label, prediction in zip(labels.tolist(), predicted, strict=True)
    ]
