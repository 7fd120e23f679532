"""The audit's rows for tables and curves: what plots/ and the report draw."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from unlearning.audit.estimates import Measured
from unlearning.audit.evidence import ORIGINAL, UNLEARNED, Probed, Views
from unlearning.audit.observation import LAYERS
from unlearning.audit.outputs import entropy
from unlearning.audit.panel import Figure, Panel
from unlearning.audit.relearning import Curve
from unlearning.evaluation import top_predictions

BINS = 20
EXAMPLES = 10

LAYER_COLUMNS = (
    "model",
    "layer",
    "probe_recall",
    "knn_recall",
    "cka_to_original",
    "cka_to_retrained",
)
CURVE_COLUMNS = ("model", "images", "passes", "forget_accuracy")
HISTOGRAM_COLUMNS = ("model", "quantity", "low", "high", "share")
EXAMPLE_COLUMNS = ("id", "model", "rank", "class", "probability")


def plain(measured: Measured) -> float | str:
    """Return the figure as a number, or why there is none."""
    return measured if isinstance(measured, str) else measured.value


def figure_rows(figures: Mapping[str, Figure]) -> list[dict[str, Any]]:
    """Return one row per figure with every model's value, each retrained one by itself."""
    return [
        {"figure": name, **{model: plain(value) for model, value in figure.values.named().items()}}
        for name, figure in figures.items()
    ]


def layer_rows(figures: Mapping[str, Figure], probed: Panel[Probed]) -> list[dict[str, Any]]:
    """Return one row per model and layer: what the probes recall, and the layer's likeness (CKA)."""
    return [
        {
            "model": model,
            "layer": layer,
            "probe_recall": plain(found.linear[layer]),
            "knn_recall": plain(found.neighbours[layer]),
            **{
                key: plain(figures[f"{key}.{layer}"].values.named()[model])
                for key in ("cka_to_original", "cka_to_retrained")
            },
        }
        for model, found in probed.named().items()
        for layer in LAYERS.values()
    ]


def curve_rows(curves: Mapping[str, Panel[Curve]]) -> list[dict[str, Any]]:
    """Return one row per model, kind of fine-tuning and check."""
    return [
        {"model": model, "images": images, "passes": passes, "forget_accuracy": float(accuracy)}
        for images, panel in curves.items()
        for model, curve in panel.named().items()
        for passes, accuracy in zip(curve.passes, curve.accuracies, strict=True)
    ]


def histogram_rows(views: Views) -> list[dict[str, Any]]:
    """Return the shares of forget test images per bin of confidence, [0, 1], and entropy, [0, ln C] nats."""
    forget = views.sample.rows("forget", "test")
    highest = float(np.log(views.sample.class_count))
    rows = []
    for model, view in views.models.named().items():
        probs = view.probs[forget]
        for quantity, values, end in (
            ("confidence", probs.max(axis=1), 1.0),
            ("entropy", entropy(probs).clip(0, highest), highest),
        ):
            counts, edges = np.histogram(values, BINS, (0, end))
            rows += [
                {"model": model, "quantity": quantity, "low": low, "high": high, "share": share}
                for low, high, share in zip(
                    edges[:-1].tolist(),
                    edges[1:].tolist(),
                    (counts / len(probs)).tolist(),
                    strict=True,
                )
            ]
    return rows


def example_rows(views: Views, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the top 3 of up to 10 forget test images, spread evenly over them.

    By the original, the unlearned model, and the mean probabilities of the retrained ones if there are any.
    """
    forget = views.sample.rows("forget", "test")
    chosen = forget[
        np.arange(min(EXAMPLES, len(forget))) * len(forget) // min(EXAMPLES, len(forget))
    ]
    logits = {name: views.models.subjects[name].logits for name in (ORIGINAL, UNLEARNED)}
    if views.models.references:
        probs = [view.logits.double().softmax(dim=1) for view in views.models.references.values()]
        logits["retrained"] = torch.stack(probs).mean(dim=0).log()
    return [
        {
            "id": views.sample.indices[row].item(),
            "model": model,
            "rank": rank,
            "class": name,
            "probability": probability,
        }
        for row in chosen
        for model, outputs in logits.items()
        for rank, (name, probability) in enumerate(top_predictions(outputs[row], classes), start=1)
    ]
