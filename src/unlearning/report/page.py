"""The page: evidence in, one self-contained HTML file out."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from unlearning.report import charts, explanations, sentences
from unlearning.report.charts import INK, ORIGINAL, RETRAINED, UNLEARNED, Style
from unlearning.report.evidence import Evidence, parameters
from unlearning.report.quoting import Metrics, html_quoter

TEMPLATE = "page.html.j2"
# Rows of the longer tables; what is left out is counted, and stands in the file that is named there.
MOST_NEIGHBOURS = 30
MOST_SKIPPED = 50
MOST_COPIES = 50
NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")

GAME = {
    "discriminator_loss": Style("discriminator", ORIGINAL, "s", (0, (4, 1.5)), 1.4),
    "generator_loss": Style("generator", UNLEARNED, "o", "-", 2.0),
    "retain_loss": Style("retain", RETRAINED, "D", "-", 1.0),
    "teacher_loss": Style("teacher", INK, "^", (0, (1, 1.2)), 1.2),
    "feature_loss": Style("features", INK, "v", (0, (3, 1.2, 1, 1.2)), 1.0),
}
LAYER_FIGURES = {
    "probe_recall": ("recall of the forget classes by a linear probe", "recall"),
    "knn_recall": ("recall of the forget classes by nearest neighbours", "recall"),
    "cka_to_original": ("CKA to the original", "CKA"),
    "cka_to_retrained": ("CKA to retrained models", "CKA"),
}


def render(evidence: Evidence) -> str:
    """Return the page; the same evidence gives the same text."""
    metrics = evidence.metrics
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["digits"] = digits
    return environment.get_template(TEMPLATE).render(
        evidence=evidence,
        metric=html_quoter(metrics),
        metrics=metrics,
        figures=explanations,
        sentences=sentences,
        levels=levels(metrics),
        charts=draw(evidence),
        destinations=destinations(metrics),
        neighbours=neighbours(metrics),
        most_neighbours=MOST_NEIGHBOURS,
        most_skipped=MOST_SKIPPED,
        most_copies=MOST_COPIES,
        most_drawn=charts.MOST_CLASSES,
        parameters=parameters(evidence.params),
        per_model=evidence.per_model.map(digits, count=4),
    )


def levels(metrics: Metrics) -> list[dict[str, Any]]:
    """Return each level of the audit with the names of its figures, in order, and their explanations."""
    names = list(metrics.items("audit", "readings"))
    found = []
    for level in explanations.LEVELS:
        chosen = explanations.in_order(names, level)
        keys = list(dict.fromkeys(explanations.family(name) for name in chosen))
        found.append(
            {
                "level": level,
                "names": chosen,
                "explained": {key: explanations.FIGURES[key] for key in keys},
                "variants": explanations.variants_of(chosen),
            }
        )
    return found


def destinations(metrics: Metrics) -> list[str]:
    """Return the classes that forget images are given, the largest share of any version first."""
    shares = _shares(metrics)
    most = {name: max(of[name] for of in shares.values()) for name in shares["unlearned"]}
    named = [name for name in most if most[name] > 0]
    return sorted(named, key=lambda name: -most[name])[: charts.MOST_CLASSES]


def neighbours(metrics: Metrics) -> list[str]:
    """Return the kept classes, most similar to the forgotten ones first."""

    def likeness(name: str) -> tuple[float, str]:
        keys = ("audit", "neighbours", name, "feature_similarity")
        return (-metrics.get(*keys) if metrics.is_number(*keys) else 0.0, name)

    return sorted(metrics.items("audit", "neighbours"), key=likeness)


def digits(text: str, count: int) -> str:
    """Return a number that was read as text with so many decimals; words stay as they are."""
    return f"{float(text):.{count}f}" if NUMBER.fullmatch(text) else text


def draw(evidence: Evidence) -> dict[str, Markup]:
    """Return every chart of the page by its name."""
    series = evidence.series
    relearning = series["audit_relearning"]
    confused = pd.concat([series["retain_confusion"], series["forget_confusion"]])
    return {
        "destinations": _destinations(evidence.metrics),
        "per_class": _per_class(evidence.metrics),
        "confidence": charts.histogram(
            "confidence",
            "confidence (probability of the predicted class)",
            series["audit_histograms"],
            "confidence",
        ),
        "entropy": charts.histogram(
            "entropy", "entropy of the probabilities (nats)", series["audit_histograms"], "entropy"
        ),
        "confusion": charts.confusion(
            "confusion",
            "Confusion matrix of the unlearned model, in per cent of each actual class",
            confused,
            evidence.classes,
            evidence.forgotten,
        ),
        "training": _training(series),
        "game": _game(series["adversarial_train"]),
        "relearn_few": _relearning("relearn_few", relearning, "forget and retain"),
        "relearn_retain": _relearning("relearn_retain", relearning, "retain only"),
        **{
            column: charts.layers(column, label, ylabel, series["audit_layers"], column)
            for column, (label, ylabel) in LAYER_FIGURES.items()
        },
    }


def _shares(metrics: Metrics) -> dict[str, dict[str, int | float]]:
    """Return the share of forget test images predicted as each class, by version."""
    shares = {
        "original": metrics.items("evaluate_forget", "original", "destinations"),
        "unlearned": metrics.items("evaluate_forget", "destinations"),
        "retrained": metrics.items("evaluate_forget", "retrained", "destinations"),
    }
    return {version: values for version, values in shares.items() if values}


def _destinations(metrics: Metrics) -> Markup:
    label = "share of forget test images"
    return charts.bars("destinations", label, _shares(metrics), destinations(metrics))


def _per_class(metrics: Metrics) -> Markup:
    """Draw the accuracies; original's and retrained's follow from the changes against them."""
    after = metrics.items("evaluate_retain", "per_class")
    changes = metrics.items("evaluate_retain", "related_classes")
    accuracies = {"unlearned": after} | {
        version: {name: after[name] - change[key] for name, change in changes.items()}
        for version, key in (("original", "against_original"), ("retrained", "against_retrained"))
        if all(isinstance(change[key], int | float) for change in changes.values())
    }
    classes = sorted(after, key=after.__getitem__)[: charts.MOST_CLASSES]
    series = {version: accuracies[version] for version in charts.STYLES if version in accuracies}
    return charts.dots("per-class", "test accuracy", series, classes)


def _training(series: Mapping[str, pd.DataFrame]) -> Markup:
    original = series["train_original"].assign(model="original")
    retrained = series["retrain"]
    retrained = retrained.assign(model="retrained (" + retrained["seed"] + ")")
    table = pd.concat([original, retrained])
    lines = charts.series_of(table, "model", "epoch", "loss")
    return charts.curves("training", "training loss (nats)", lines, "epoch", whole=True)


def _game(table: pd.DataFrame) -> Markup:
    columns = [column for column in GAME if column in table]
    long = table.melt(id_vars="epoch", value_vars=columns)
    lines = charts.series_of(long, "variable", "epoch", "value")
    whole = bool((pd.to_numeric(table["epoch"]) % 1 == 0).all())
    return charts.curves("game", "loss", lines, "epoch", styles=GAME, whole=whole)


def _relearning(name: str, table: pd.DataFrame, images: str) -> Markup:
    lines = charts.series_of(table[table["images"] == images], "model", "passes", "forget_accuracy")
    return charts.curves(name, "forget accuracy", lines, "image passes", whole=True, fraction=True)
