"""Score the unlearned model on the classes that it must keep, original and retrained beside it.

Reads: data/images.npy, data/samples.csv, data/split.csv, models/original.safetensors,
models/unlearned.safetensors, models/retrained. Writes: metrics/evaluate_retain.json,
plots/retain_confusion.csv, plots/per_class_accuracy.png. Run: `dvc repro evaluate_retain`.
"""

from unlearning import evaluation, files, hardware, models, pictures, stage
from unlearning.data import dataset
from unlearning.settings import load_params


def main() -> None:
    params = load_params()
    machine = hardware.choose(params.device, params.precision)
    images = dataset.load("data")
    train = images.select(role="retain", subset="train")
    test = images.select(role="retain", subset="test")
    versions = models.load_versions("models")

    logits = versions.map(lambda model: models.predict_logits(model, images, test, machine))
    train_logits = models.predict_logits(versions.unlearned, images, train, machine)
    figures = evaluation.retain_figures(
        logits, images.labels[test], train_logits, images.labels[train], images.classes
    )
    per_class = logits.map(
        lambda outputs: evaluation.per_class_accuracy(outputs, images.labels[test], images.classes)
    )

    files.write_metrics("metrics/evaluate_retain.json", figures)
    files.write_series(
        "plots/retain_confusion.csv",
        evaluation.confusion_rows(logits.unlearned, images.labels[test], images.classes),
        columns=("actual", "predicted"),
    )
    pictures.per_class_accuracy("plots/per_class_accuracy.png", per_class)


if __name__ == "__main__":
    stage.run("evaluate_retain", main)
