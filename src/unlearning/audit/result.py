"""The audit's metrics file: figures by name, models beside them, readings, neighbours, verdicts."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from unlearning.assessment import Accuracies
from unlearning.audit import neighbours, relearning
from unlearning.audit.estimates import Estimate, Measured
from unlearning.audit.evidence import CONTROL, ORIGINAL, UNLEARNED, Views, relearn_ratio
from unlearning.audit.observation import FEATURES
from unlearning.audit.outputs import hits, one_hot
from unlearning.audit.panel import Figure, mean_of_references
from unlearning.audit.series import plain
from unlearning.audit.verdict import against_article, decides, verdict
from unlearning.data.dataset import Dataset
from unlearning.evaluation import per_class_accuracy
from unlearning.words import Unmeasured, Verdict


def metrics(
    figures: Mapping[str, Figure], views: Views, related: dict[str, Any], article: str
) -> dict[str, Any]:
    """Return audit.json: the unlearned model's figures at the top, the other models' under their names.

    `article`: the band of the article's score of the unlearned model.
    """
    references = len(views.models.references)
    verdicts = {name: _verdict(figures, views, name) for name in views.models.subjects}

    def of(subject: str) -> dict[str, Any]:
        return nested(
            {name: plain(each.values.subjects[subject]) for name, each in figures.items()}
        )

    retrained = {name: mean_of_references(each.values) for name, each in figures.items()}
    sample = views.sample
    return {
        **of(UNLEARNED),
        ORIGINAL: of(ORIGINAL),
        CONTROL: of(CONTROL),
        "retrained": {**nested(retrained), "models": references}
        if references
        else Unmeasured.NO_REFERENCE,
        "js_floor": figures["js_to_retrained"].readings[UNLEARNED].floor,
        "destination_tv_floor": figures["destination_tv"].readings[UNLEARNED].floor,
        "readings": {name: _reading(name, figure) for name, figure in figures.items()},
        "relearn": {
            "budget_passes": relearning.BUDGET,
            "few_images": relearning.FEW_IMAGES,
            "ratio": relearn_ratio(figures["relearn_passes"]),
        },
        **related,
        "images": {
            f"{role}_{subset}": len(sample.rows(role, subset))
            for role in ("forget", "retain")
            for subset in ("train", "test")
        },
        "worst_forget_accuracy": worst_forget_accuracy(views, UNLEARNED),
        "verdict": verdicts[UNLEARNED],
        "verdicts": {name: verdicts[name] for name in (ORIGINAL, CONTROL)},
        "article_comparison": against_article(article, verdicts[UNLEARNED]),
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


def _reading(name: str, figure: Figure) -> dict[str, Any]:
    """Return the unlearned model's interval and reading, and whether it enters the verdict."""
    value: Measured = figure.values.subjects[UNLEARNED]
    low, high = value.interval if isinstance(value, Estimate) else (value, value)
    if isinstance(value, Estimate) and len(value.resampled) == 1:
        low = high = Unmeasured.NOT_RESAMPLED
    reading = asdict(figure.readings[UNLEARNED])
    return {"low": low, "high": high, "decisive": decides(name), **reading}


def _verdict(figures: Mapping[str, Figure], views: Views, subject: str) -> Verdict:
    retain, sample = figures["retain_accuracy"].values.subjects, views.sample
    kept = sample.labels[sample.rows("retain", "test")]
    accuracies = Accuracies(
        forget=worst_forget_accuracy(views, subject),
        retain=_value(retain[subject]),
        original_forget=_value(figures["forget_accuracy"].values.subjects[ORIGINAL]),
        original_retain=_value(retain[ORIGINAL]),
        forget_images=len(sample.rows("forget", "test")),
        retain_images=len(kept),
        chance=np.bincount(kept).max() / len(kept),
    )
    return verdict(accuracies, {name: figure.readings[subject] for name, figure in figures.items()})


def worst_forget_accuracy(views: Views, subject: str) -> float:
    """Return the test accuracy of the forget class that is known best: forgetting one is not forgetting all."""
    view, sample = views.models.subjects[subject], views.sample
    rows = sample.rows("forget", "test")
    found, labels = hits(view.probs[rows], sample.labels[rows]), sample.labels[rows]
    return max(float(found[labels == label].mean()) for label in sample.forget_labels)


def _value(measured: Measured) -> float:
    # Every split holds at least one test image of each class.
    assert isinstance(measured, Estimate)
    return measured.value


def related_classes(views: Views, data: Dataset) -> dict[str, Any]:
    """Return which kept classes lose or gain, against their likeness to the forgotten one (A25, A26)."""
    sample, models = views.sample, views.models
    forget, test = sample.rows("forget", "test"), sample.rows("retain", "test")
    train = sample.rows(None, "train")
    similarities = [
        neighbours.feature_similarity(
            view.layers[FEATURES][train], sample.labels[train], sample.forget_labels
        )
        for view in models.references.values()
    ]
    arrivals = models.map(lambda view: one_hot(view.probs[forget]).mean(axis=0))
    accuracies = models.map(
        lambda view: per_class_accuracy(
            view.logits[test], data.labels[sample.indices[test]], data.classes
        )
    )
    rows: dict[str, dict[str, Any]] = {}
    for label, name in enumerate(data.classes):
        if label in sample.forget_labels:
            continue
        rows[name] = {
            "feature_similarity": _mean([found[label] for found in similarities]),
            "ssim": neighbours.structural_similarity(data, label),
            "destination": float(arrivals.subjects[UNLEARNED][label]),
            "destination_retrained": _mean(
                [found[label] for found in arrivals.references.values()]
            ),
            "against_original": accuracies.subjects[UNLEARNED][name]
            - accuracies.subjects[ORIGINAL][name],
        }
    return {"neighbours": rows, "neighbour_correlation": _correlations(rows)}


def _mean(values: list[Any]) -> float | str:
    return float(np.mean(values)) if values else Unmeasured.NO_REFERENCE


def _correlations(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | str]]:
    """Return the rank correlation of each likeness with where forget images go and what classes lose."""

    def column(key: str) -> dict[str, Any]:
        return {name: row[key] for name, row in rows.items()}

    def correlate(likeness: str, change: str) -> float | str:
        first, second = column(likeness), column(change)
        if Unmeasured.NO_REFERENCE in (*first.values(), *second.values()):
            return Unmeasured.NO_REFERENCE
        return neighbours.rank_correlation(first, second)

    changes = ("destination", "destination_retrained", "against_original")
    return {
        likeness: {change: correlate(likeness, change) for change in changes}
        for likeness in ("feature_similarity", "ssim")
    }
