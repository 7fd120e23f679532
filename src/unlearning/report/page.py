"""The page: evidence in, one self-contained HTML file out."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from unlearning.audit import catalogue
from unlearning.base.errors import printable
from unlearning.charts import figures
from unlearning.charts.save import svg
from unlearning.charts.style import BLUE, GREY, ORANGE, Style
from unlearning.observe import schedule
from unlearning.observe.schedule import RETAIN_ONLY, WITH_FORGET_IMAGES
from unlearning.report import sentences, templates
from unlearning.report.evidence import Evidence, parameters
from unlearning.report.metrics import NUMBER, Metrics
from unlearning.report.quoting import html_quoter

TEMPLATE = "page.html.j2"
# Rows of the longer tables; what is left out is counted, and stands in the file that is named there.
MOST_NEIGHBOURS = 30
MOST_SKIPPED = 50
MOST_COPIES = 50

GAME = {
    "discriminator_loss": Style("discriminator", ORANGE, "s", (0, (4, 1.5)), 1.4),
    "generator_loss": Style("generator", BLUE, "o", "-", 2.0),
    "retain_loss": Style("retain", GREY, "D", "-", 1.0),
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
    template = templates.load(TEMPLATE, escaped=True, shown=_shown)
    return template.render(
        evidence=evidence,
        metric=html_quoter(metrics),
        metrics=metrics,
        catalogue=catalogue,
        sentences=sentences,
        digits=digits,
        schedule=schedule,
        levels=levels(metrics),
        charts=draw(evidence),
        destinations=destinations(metrics),
        neighbours=neighbours(metrics),
        most_neighbours=MOST_NEIGHBOURS,
        most_skipped=MOST_SKIPPED,
        most_copies=MOST_COPIES,
        most_drawn=figures.MOST_CLASSES,
        parameters=parameters(evidence.params),
        per_model=evidence.series["audit_figures"].map(digits, count=4),
    )


def _shown(value: object) -> object:
    """Return text with what would act on a reader's screen written out; `Markup` and figures as they are."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def levels(metrics: Metrics) -> list[dict[str, Any]]:
    """Return each level of the audit with the names of its figures, in order, and their explanations."""
    names = list(metrics.items("audit_figures"))
    found = []
    for level in catalogue.LEVELS:
        chosen = catalogue.in_order(names, level)
        keys = list(dict.fromkeys(catalogue.family(name) for name in chosen))
        found.append(
            {
                "level": level,
                "names": chosen,
                "explained": {key: level.figures[key] for key in keys},
                "variants": catalogue.variants_of(chosen),
            }
        )
    return found


def destinations(metrics: Metrics) -> list[str]:
    """Return the classes that forget images are given, the largest share of any version first."""
    return figures.most_named(_by_version(metrics, "destinations"))


def neighbours(metrics: Metrics) -> list[str]:
    """Return the kept classes, most similar to the forgotten ones first."""

    def likeness(name: str) -> tuple[float, str]:
        keys = ("neighbours", name, "feature_similarity")
        return (-metrics.get(*keys) if metrics.is_number(*keys) else 0.0, name)

    return sorted(metrics.items("neighbours"), key=likeness)


def digits(text: str, count: int) -> str:
    """Return a number that was read as text with so many decimals; words stay as they are."""
    return f"{float(text):.{count}f}" if NUMBER.fullmatch(text) else text


def draw(evidence: Evidence) -> dict[str, Markup]:
    """Return every chart of the page by its name; nothing for one that has no number to draw."""
    series, metrics = evidence.series, evidence.metrics
    histograms, relearning = series["audit_histograms"], series["audit_relearning"]
    confused = series["retain_confusion"]
    if not evidence.of_images:  # of single images these were trained on: no test images
        confused = pd.concat([confused, series["forget_confusion"]])
    matrix = "in per cent of each actual class"
    confidence, entropy = "confidence (probability of the predicted class)", "entropy (nats)"
    drawn = {
        "destinations": (
            figures.destinations(_by_version(metrics, "destinations")),
            "share of forget images",
        ),
        "per_class": (
            figures.per_class(_by_version(metrics, "per_class"), judged="unlearned"),
            "test accuracy",
        ),
        "confidence": (figures.histogram(confidence, histograms, "confidence"), confidence),
        "entropy": (figures.histogram(entropy, histograms, "entropy"), entropy),
        "confusion": (
            figures.confusion(confused, evidence.classes, evidence.forgotten),
            f"Confusion matrix of the unlearned model, {matrix}",
        ),
        "training": (_training(series), "training loss (nats) by epoch"),
        "game": (_game(series["adversarial_train"]), "loss by epoch"),
        "relearn_few": (
            _relearning(relearning, WITH_FORGET_IMAGES),
            "forget accuracy by image passes, with a few forget images",
        ),
        "relearn_retain": (
            _relearning(relearning, RETAIN_ONLY),
            "forget accuracy by image passes, with retain images only",
        ),
        **{
            column: (
                figures.layers(ylabel, series["audit_layers"], column),
                f"{label} by layer",
            )
            for column, (label, ylabel) in LAYER_FIGURES.items()
        },
    }
    return {name: svg(figure, name, label) for name, (figure, label) in drawn.items()}


def _by_version(metrics: Metrics, table: str) -> dict[str, dict[str, float]]:
    """Return a table's figures by class, of original, unlearned and, on average, retrained models."""
    rows = metrics.items(table)
    versions = ["original", "unlearned"]
    if any("retrained" in row for row in rows.values()):
        versions.append("retrained")
    return {
        version: {name: metrics.number(table, name, version) for name in rows}
        for version in versions
    }


def _training(series: Mapping[str, pd.DataFrame]) -> Figure | None:
    original = series["train_original"].assign(model="original")
    retrained = series["retrain"]
    retrained = retrained.assign(model="retrained (" + retrained["seed"] + ")")
    lines = figures.series_of(pd.concat([original, retrained]), "model", "epoch", "loss")
    return figures.curves("training loss (nats)", lines, "epoch", whole=True)


def _game(table: pd.DataFrame) -> Figure | None:
    columns = [column for column in GAME if column in table]
    long = table.melt(id_vars="epoch", value_vars=columns)
    lines = figures.series_of(long, "variable", "epoch", "value")
    whole = all(place % 1 == 0 for places, _ in lines.values() for place in places)
    return figures.curves("loss", lines, "epoch", styles=GAME, whole=whole)


def _relearning(table: pd.DataFrame, images: str) -> Figure | None:
    rows = table[table["images"] == images]
    lines = figures.series_of(rows, "model", "passes", "forget_accuracy")
    return figures.curves("forget accuracy", lines, "image passes", whole=True, fraction=True)
