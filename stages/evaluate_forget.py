"""Score the unlearned model on the class that it must forget, original and retrained beside it (A14 to A20).

Reads: data/images.npy, data/samples.csv, data/split.csv, models/original.safetensors,
models/unlearned.safetensors, models/retrained, models/discriminator.safetensors,
models/init/feature_extractor.safetensors, metrics/evaluate_retain.json (no score stands without retain
accuracy beside it). Writes: metrics/evaluate_forget.json, plots/forget_confusion.csv,
plots/score_histogram.png, plots/destinations.png, plots/examples.png. Run: `dvc repro evaluate_forget`.
"""

from unlearning import assessment, evaluation, files, hardware, models, pictures, stage
from unlearning.data import dataset
from unlearning.settings import load_params


def main() -> None:
    params = load_params()
    machine = hardware.choose(params.device, params.precision)
    images = dataset.load("data")
    train = images.select(role="forget", subset="train")
    test = images.select(role="forget", subset="test")
    versions = models.load_versions("models")
    feature_extractor, _ = models.load_classifier("models/init/feature_extractor.safetensors")
    discriminator = models.load_discriminator("models/discriminator.safetensors")

    logits = versions.map(lambda model: models.predict_logits(model, images, test, machine))
    scores = logits.map(lambda outputs: models.scores(discriminator, outputs))
    extracted = models.predict_logits(feature_extractor, images, test, machine)
    train_logits = models.predict_logits(versions.unlearned, images, train, machine)
    figures = {
        **evaluation.forget_figures(
            logits, scores, images.labels[test], train_logits, images.labels[train], images.classes
        ),
        "discriminator_score": evaluation.score_statistics(models.scores(discriminator, extracted)),
    }
    retain = files.read_metrics("metrics/evaluate_retain.json")

    files.write_metrics(
        "metrics/evaluate_forget.json", {**figures, **assessment.of_metrics(figures, retain)}
    )
    files.write_series(
        "plots/forget_confusion.csv",
        evaluation.confusion_rows(logits.unlearned, images.labels[test], images.classes),
        columns=("actual", "predicted"),
    )
    pictures.score_histogram("plots/score_histogram.png", scores)
    pictures.destinations(
        "plots/destinations.png",
        logits.map(lambda outputs: evaluation.destinations(outputs, images.classes)),
    )
    pictures.examples("plots/examples.png", images, test, logits)


if __name__ == "__main__":
    stage.run("evaluate_forget", main)
