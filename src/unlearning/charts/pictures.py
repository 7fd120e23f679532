"""The pictures in plots/, from what was observed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from unlearning.audit.evaluation import EXAMPLES, top_predictions
from unlearning.base.shards import Images
from unlearning.charts import figures, save
from unlearning.models.panel import ORIGINAL, UNLEARNED
from unlearning.observe.record import spread_evenly

SCORE_BOUNDS = (0.3, 0.5)  # of the article (A16)
EXAMPLES_DPI = 90  # photographs: no larger than they are shown


def score_histogram(path: Path | str, scores: Mapping[str, np.ndarray]) -> None:
    """Draw the discriminator's scores of forget images, by version of the model."""
    label = "score (0: an image of a forgotten class, 1: of a kept one)"
    save.png(figures.scores(label, scores, SCORE_BOUNDS), path)


def destinations(path: Path | str, shares: Mapping[str, Mapping[str, float]]) -> None:
    """Draw which classes the forget images are given, by version of the model."""
    save.png(figures.destinations(shares), path)


def per_class_accuracy(path: Path | str, accuracies: Mapping[str, Mapping[str, float]]) -> None:
    """Draw the test accuracy on each kept class, lowest of the unlearned model first, by version."""
    save.png(figures.per_class(accuracies, judged=UNLEARNED), path)


def examples(
    path: Path | str,
    images: Images,
    indices: Int[np.ndarray, " N"],
    logits: Mapping[str, Float[np.ndarray, "N C"]],
    classes: Sequence[str],
) -> None:
    """Draw forget images with their top 3 predictions by the original and by the unlearned model (A15).

    Up to 10, spread evenly over `indices`; none is picked by what a model says of it.
    """
    chosen = spread_evenly(len(indices), EXAMPLES)
    texts = [
        f"before:\n{_lines(logits[ORIGINAL][row], classes)}\n"
        f"after:\n{_lines(logits[UNLEARNED][row], classes)}"
        for row in chosen
    ]
    pictures = [images[indices[row]] for row in chosen]
    save.png(figures.examples(pictures, texts), path, EXAMPLES_DPI)


def _lines(logits: np.ndarray, classes: Sequence[str]) -> str:
    return "\n".join(
        f"{name:<12.12} {prob:6.1%}" for name, prob in top_predictions(logits, classes)
    )
