"""Score the unlearned model on the classes that it must keep, original and retrained beside it.

Reads: data/observed. Writes: metrics/evaluate_retain.json, plots/retain_confusion.csv, plots/per_class.csv,
plots/per_class_accuracy.png. Run: `dvc repro evaluate_retain`.
"""

from pathlib import Path

from unlearning.audit import evaluation
from unlearning.base import stage
from unlearning.base.files import write_metrics, write_rows, write_series
from unlearning.charts import figures, save
from unlearning.models.panel import UNLEARNED
from unlearning.observe import record


def main() -> None:
    observed = record.load(Path("data/observed"))
    sample = observed.sample
    rows = sample.rows("retain", "test")
    labels = sample.labels[rows]
    logits = observed.models.map(lambda view: view.logits[rows])
    per_class = logits.map(
        lambda each: evaluation.per_class_accuracy(each, labels, sample.classes)
    ).without_controls()

    write_metrics("metrics/evaluate_retain.json", evaluation.retain_figures(observed))
    write_series(
        "plots/retain_confusion.csv",
        evaluation.confusion_rows(logits.subjects[UNLEARNED], labels, sample.classes),
        columns=("actual", "predicted"),
    )
    write_rows("plots/per_class.csv", evaluation.by_class(per_class))
    accuracies = figures.per_class(per_class.named(), judged=UNLEARNED)
    save.png(accuracies, "plots/per_class_accuracy.png")


if __name__ == "__main__":
    stage.run("evaluate_retain", main)
