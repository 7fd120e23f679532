"""What the audit leaves: metrics for a review, the whole table, and rows for curves and pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from unlearning.audit import (
    attacks,
    auditor,
    catalogue,
    gap,
    membership,
    outputs,
    relearning,
    representation,
)
from unlearning.audit.calibration import Rates
from unlearning.audit.compare import Figure, mean_of_references
from unlearning.audit.estimates import Estimate, plain
from unlearning.audit.evaluation import (
    EXAMPLES,
    accuracies,
    article_band,
    top_predictions,
    worst_forget_accuracy,
)
from unlearning.audit.limits import Prior, Reading, readings
from unlearning.audit.outputs import entropy
from unlearning.audit.representation import Probed, probe_all
from unlearning.audit.verdict import against_article, decisive, verdict
from unlearning.audit.words import (
    LEAST_REFERENCES,
    MEMORY,
    Distance,
    RequestKind,
    Unmeasured,
    Verdict,
)
from unlearning.base.progress import bar
from unlearning.base.sampling import spread_evenly
from unlearning.models.layers import LAYERS
from unlearning.models.panel import ORIGINAL, START, UNLEARNED, Panel
from unlearning.observe.record import Observed

Readings = Mapping[str, Reading]

# Figures between two models: what retrained models have of them is their floor.
FLOORS = {"js_to_retrained": "js_floor", "destination_tv": "destination_tv_floor"}
BINS = 20


def figures(observed: Observed, probed: Panel[Probed] | None = None) -> dict[str, Figure]:
    """Return all figures of the audit, in the order of the catalogue; `probed`: what `probe_all` returns."""
    parts = [outputs.figures, membership.figures, auditor.figures]
    if not observed.sample.of_images:
        # Whether features hold a class, and how soon it is back, is no question of single images.
        parts += [
            lambda observed: representation.figures(observed, probed or probe_all(observed)),
            relearning.figures,
        ]
    found: dict[str, Figure] = {}
    for part in bar(parts, len(parts), "parts of the audit"):
        found |= part(observed)
    return {name: found[name] for name in catalogue.ordered(found)}


def judge(found: Mapping[str, Figure], observed: Observed, prior: Prior) -> dict[str, Readings]:
    """Return by subject the reading of each figure that decides."""
    references = list(observed.models.references)
    if len(references) < LEAST_REFERENCES:
        return {name: attacks.readings(found, name, prior) for name in observed.models.subjects}
    return {name: readings(found, name, references, prior) for name in observed.models.subjects}


def metrics(
    found: Mapping[str, Figure],
    judged: Mapping[str, Readings],
    observed: Observed,
    rates: Rates,
) -> dict[str, Any]:
    """Return audit.json: verdicts, how many decisive figures lie where, and the figures of a review.

    The unlearned model's stand at the top, those of the retrained models under their name. `judged`: as by
    `judge`.
    """
    of_images = observed.sample.of_images
    references = len(observed.models.references)
    alone = references < LEAST_REFERENCES
    verdicts = {
        name: verdict(accuracies(observed, name), judged[name], of_images=of_images, alone=alone)
        for name in observed.models.subjects
        if name != START  # its outputs were never trained
    }
    if of_images and verdicts[ORIGINAL] == verdicts[UNLEARNED] == Verdict.NOT_TOLD_APART:
        verdicts[UNLEARNED] = verdicts[ORIGINAL] = Verdict.NOR_THE_ORIGINAL
    shown = {
        name: each
        for name, each in found.items()
        if catalogue.in_metrics(name, of_images=of_images)
    }
    places = list(decisive(judged[UNLEARNED]).values())

    content: dict[str, Any] = {
        "request": RequestKind.IMAGES if of_images else RequestKind.CLASSES,
        **nested({name: plain(each.values.subjects[UNLEARNED]) for name, each in shown.items()}),
        "retrained": Unmeasured.NO_REFERENCE,
        ORIGINAL: {"memory": judged[ORIGINAL][MEMORY].reading},
        **{key: mean_of_references(found[name].values) for name, key in FLOORS.items()},
        "decisive": {str(place): places.count(place) for place in Distance},
        "error_rates": rates.at(references),
        "worst_forget_accuracy": worst_forget_accuracy(observed, UNLEARNED),
        "verdict": verdicts[UNLEARNED],
        "verdicts": {name: word for name, word in verdicts.items() if name != UNLEARNED},
        "article_comparison": against_article(article_band(observed), verdicts[UNLEARNED]),
    }
    if references:
        theirs = {
            name: mean_of_references(each.values)
            for name, each in shown.items()
            if name not in FLOORS
        }
        content["retrained"] = nested(theirs) | {"models": references}
    if of_images:
        content["gap"] = gap.metrics(found, observed)
    elif START in observed.models.subjects:
        content[START] = _known_at_start(found)
    if again := earlier(observed):
        content["earlier"] = again
    return content


def _known_at_start(found: Mapping[str, Figure]) -> dict[str, float | Unmeasured]:
    """Return what the features find of the classes before any training here."""
    return {
        name: plain(found[name].values.subjects[START])
        for name in ("probe_recall", "few_shot_recall", "knn_recall")
    }


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"a": {"b": 1}} for {"a.b": 1}."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = value
    return tree


def earlier(observed: Observed) -> dict[str, dict[str, float | RequestKind | Unmeasured]]:
    """Return by number of each earlier request its kind and the accuracy on its images: do they come back?

    Of unlearned and original model (which was unlearned by that request) and, on average, of retrained ones.
    """
    sample, found = observed.sample, {}
    for number in sorted(set(sample.earlier[sample.earlier > 0].tolist())):
        rows = sample.of_earlier(number)
        right = observed.models.map(
            lambda view: float(view.right(sample, rows).mean())  # noqa: B023
        )
        is_of_classes = bool((sample.subsets[rows] == "test").any())  # of images: training images
        found[str(number)] = {
            "request": RequestKind.CLASSES if is_of_classes else RequestKind.IMAGES,
            "accuracy": right.subjects[UNLEARNED],
            ORIGINAL: right.subjects[ORIGINAL],
            "retrained": float(np.mean(list(right.references.values())))
            if right.references
            else Unmeasured.NO_REFERENCE,
        }
    return found


def table(found: Mapping[str, Figure], judged: Readings) -> list[dict[str, Any]]:
    """Return a row per figure: every model's value, the unlearned model's interval and reading."""
    rows = []
    silent = Reading(*[Unmeasured.NOT_JUDGED] * 3)
    for name, figure in found.items():
        value = figure.values.subjects[UNLEARNED]
        low, high = value.interval if isinstance(value, Estimate) else (value, value)
        rows.append(
            {
                "figure": name,
                "decisive": "yes" if name in judged else "no",
                **vars(judged.get(name, silent)),
                "low": low,
                "high": high,
                **{model: plain(each) for model, each in figure.values.subjects.items()},
                "retrained": mean_of_references(figure.values),
                **{
                    model: plain(each)
                    for model, each in figure.values.named().items()
                    if model not in figure.values.subjects
                },
            }
        )
    return rows


def layer_rows(found: Mapping[str, Figure], probed: Panel[Probed]) -> list[dict[str, Any]]:
    """Return one row per model and layer: what the probes recall, and the layer's likeness (CKA)."""
    return [
        {
            "model": model,
            "layer": layer,
            "probe_recall": plain(each.linear[layer]),
            "knn_recall": plain(each.neighbours[layer]),
            **{
                key: plain(found[f"{key}.{layer}"].values.named()[model])
                for key in ("cka_to_original", "cka_to_retrained")
            },
        }
        for model, each in probed.named().items()
        for layer in LAYERS
    ]


def curve_rows(observed: Observed) -> list[dict[str, Any]]:
    """Return one row per model, kind of fine-tuning and check."""
    return [
        {"model": model, "images": images, "passes": passes, "forget_accuracy": float(accuracy)}
        for images in observed.models.subjects[UNLEARNED].curves
        for model, view in observed.models.named().items()
        for passes, accuracy in zip(
            view.curves[images].passes, view.curves[images].accuracies, strict=True
        )
    ]


def histogram_rows(observed: Observed) -> list[dict[str, Any]]:
    """Return the shares of forget images per bin of confidence, [0, 1], and entropy, [0, ln C] nats."""
    forget = observed.sample.judged
    highest = float(np.log(len(observed.sample.classes)))
    rows = []
    for model, view in observed.models.named().items():
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


def example_rows(observed: Observed) -> list[dict[str, Any]]:
    """Return the top 3 of up to 10 forget images, spread evenly over them.

    By the original, the unlearned model, and the mean probabilities of the retrained ones if there are any.
    """
    sample, models = observed.sample, observed.models
    forget = sample.judged
    chosen = forget[spread_evenly(len(forget), EXAMPLES)]
    logits = {name: models.subjects[name].logits for name in (ORIGINAL, UNLEARNED)}
    if models.references:
        logits["retrained"] = np.log(
            np.mean([view.probs for view in models.references.values()], axis=0)
        )
    return [
        {
            "id": int(sample.indices[row]),
            "model": model,
            "rank": rank,
            "class": name,
            "probability": probability,
        }
        for row in chosen
        for model, answers in logits.items()
        for rank, (name, probability) in enumerate(
            top_predictions(answers[row], sample.classes), start=1
        )
    ]
