"""Pictures for people: PNG files of the same bytes for the same figures."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import matplotlib

matplotlib.use("Agg")

import numpy as np
from jaxtyping import Float, Int
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from unlearning.data.dataset import Dataset
from unlearning.evaluation import top_predictions
from unlearning.files import atomic
from unlearning.versions import Versions

# A class may be called "$a$": a name is never a formula.
matplotlib.rcParams["text.parse_math"] = False

# Okabe & Ito's palette: told apart by people with any colour vision.
ORIGINAL, UNLEARNED, RETRAINED = "#E69F00", "#0072B2", "#7F7F7F"

LONGEST_NAME = 24  # of a class below a bar; beyond, names would leave no room for the bars


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
            color=_colour(name),
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
    _save(figure, path)


def destinations(path: Path | str, shares: Versions[dict[str, float]]) -> None:
    """Draw which classes the forget images are given: original, unlearned, retrained side by side."""
    _bars(
        path,
        {name: dict(values) for name, values in shares.named().items()},
        title="Where the forget images went",
        ylabel="share of forget test images",
    )


def per_class_accuracy(path: Path | str, accuracies: Versions[dict[str, float]]) -> None:
    """Draw the test accuracy on each kept class: original, unlearned, retrained side by side."""
    _bars(
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
    _save(figure, path)


def _lines(logits: Tensor, classes: tuple[str, ...]) -> str:
    return "\n".join(
        f"{name:<12.12} {prob:6.1%}" for name, prob in top_predictions(logits, classes)
    )


def _bars(
    path: Path | str, series: Mapping[str, Mapping[str, float]], title: str, ylabel: str
) -> None:
    classes = list(next(iter(series.values())))
    figure, axes = plt.subplots(figsize=(max(6, 1.1 * len(classes)), 3.6), layout="constrained")
    width = 0.84 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = np.arange(len(classes)) - 0.42 + width * (number + 0.5)
        axes.bar(
            places,
            [values[label] for label in classes],
            width * 0.94,
            label=name,
            color=_colour(name),
            alpha=_alpha(name),
        )
    axes.set(title=title, ylabel=ylabel, ylim=(0, 1.02), xticks=range(len(classes)))
    labels = [
        name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in classes
    ]
    axes.set_xticklabels(labels, rotation=30, ha="right")
    figure.legend(ncols=len(series), fontsize=8, loc="outside lower center")
    _save(figure, path)


def _colour(name: str) -> str:
    return {"original": ORIGINAL, "unlearned": UNLEARNED}.get(name, RETRAINED)


def _shape(name: str) -> Literal["bar", "step"]:
    return "bar" if name in ("original", "unlearned") else "step"


def _alpha(name: str) -> float:
    return 1.0 if name in ("original", "unlearned") else 0.6


def _save(figure: Figure, path: Path | str) -> None:
    """Write the picture without a date or a version, which would change its bytes."""
    with atomic(path) as temporary, warnings.catch_warnings():
        # A script that the font lacks shows as boxes; the figures' files have the names.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)
