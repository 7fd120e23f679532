"""Score the unlearned model on the class that it must forget, original and retrained beside it (A14 to A20).

Reads: data/observed, data/images (for the examples). Writes: metrics/evaluate_forget.json,
plots/forget_confusion.csv, plots/destinations.csv, plots/destinations.png, plots/score_histogram.png,
plots/examples.png. Run: `dvc repro evaluate_forget`.
"""

from pathlib import Path

from unlearning.audit import evaluation
from unlearning.base import stage
from unlearning.base.files import (
    write_metrics,
    write_rows,
    write_series,
)
from unlearning.base.shards import Shards
from unlearning.charts import figures, save
from unlearning.models.panel import UNLEARNED
from unlearning.observe import record


def main() -> None:
    observed = record.load(Path("data/observed"))
    sample = observed.sample
    rows = sample.judged
    logits = observed.models.map(lambda view: view.logits[rows])
    shares = logits.map(
        lambda each: evaluation.destinations(each, sample.classes)
    ).without_controls()
    images, (examples, texts) = Shards("data/images"), evaluation.example_texts(observed)

    write_metrics(
        "metrics/evaluate_forget.json",
        {**evaluation.forget_figures(observed), **evaluation.words(observed)},
    )
    write_series(
        "plots/forget_confusion.csv",
        evaluation.confusion_rows(logits.subjects[UNLEARNED], sample.labels[rows], sample.classes),
        columns=("actual", "predicted"),
    )
    write_rows("plots/destinations.csv", evaluation.by_class(shares))
    save.png(figures.destinations(shares.named()), "plots/destinations.png")
    save.png(figures.scores(observed.scores().named()), "plots/score_histogram.png")
    shown = figures.examples([images[index] for index in examples], texts)
    save.png(shown, "plots/examples.png", save.EXAMPLES_DPI)


if __name__ == "__main__":
    stage.run("evaluate_forget", main)
