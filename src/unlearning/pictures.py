"""Pictures for people: PNG files of the same bytes for the same figures."""

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from matplotlib import pyplot as plt
from torch import Tensor

from unlearning import drawing
from unlearning.data.dataset import Dataset
from unlearning.evaluation import top_predictions
from unlearning.versions import Versions


def score_histogram(path: Path | str, scores: Versions[Float[Tensor, " N"]]) -> None:
    """Draw the discriminator's scores of forget images, before (original) and after (unlearned)."""
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    edges = np.linspace(0, 1, 21).tolist()
    for name, values in scores.named().items():
        axes.hist(
            values.numpy(),
            bins=edges,
            alpha=0.6,
            label=name,
            color=drawing.colour(name),
            histtype=_shape(name),
            lw=1.5,
        )
    for bound in (0.3, 0.5):
        axes.axvline(bound, color="black", lw=0.8, ls=":")
    axes.set(
        xlabel="discriminator score (0: an image of a forgotten class, 1: of a kept one)",
        ylabel="forget test images",
        title="Scores of the model's outputs on forget images",
        xlim=(0, 1),
    )
    axes.legend()
    drawing.save(figure, path)


def destinations(path: Path | str, shares: Versions[dict[str, float]]) -> None:
    """Draw which classes the forget images are given: original, unlearned, retrained side by side."""
    drawing.bars(
        path,
        {name: dict(values) for name, values in shares.named().items()},
        title="Where the forget images went",
        ylabel="share of forget test images",
    )


def per_class_accuracy(path: Path | str, accuracies: Versions[dict[str, float]]) -> None:
    """Draw the test accuracy on each kept class: original, unlearned, retrained side by side."""
    drawing.bars(
        path,
        accuracies.named(),
        title="Accuracy on the classes that are kept",
        ylabel="test accuracy",
    )


def examples(
    path: Path | str,
    data: Dataset,
    indices: Int[Tensor, " N"],
    logits: Versions[Float[Tensor, "N C"]],
    count: int = 10,
) -> None:
    """Draw forget images with their top 3 predictions by the original and by the unlearned model (A15).

    The images are spread evenly over `indices`; none is picked by what a model says of it.
    """
    chosen = np.unique(
        np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)
    )
    rows = -(-len(chosen) // 5)
    figure, grid = plt.subplots(
        rows, 5, figsize=(12.5, 4.3 * rows), layout="constrained", squeeze=False
    )
    for axes in grid.flat:
        axes.axis("off")
    for axes, row in zip(grid.flat, chosen, strict=False):
        axes.imshow(data.images[int(indices[row])])
        before = _lines(logits.original[row], data.classes)
        after = _lines(logits.unlearned[row], data.classes)
        text = f"before:\n{before}\nafter:\n{after}"
        axes.text(
            0.5,
            -0.03,
            text,
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=9,
            family="monospace",
        )
    drawing.save(figure, path)


def _lines(logits: Tensor, classes: tuple[str, ...]) -> str:
    return "\n".join(
        f"{name:<12.12} {prob:6.1%}" for name, prob in top_predictions(logits, classes)
    )


def _shape(name: str) -> Literal["bar", "step"]:
    return "bar" if name in ("original", "unlearned") else "step"
