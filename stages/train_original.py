"""Train the classifier that will have to forget.

Reads: data/images.npy, data/samples.csv, data/split.csv. Writes: models/original.safetensors,
metrics/train_original.json, plots/train_original.csv. Run: `dvc repro train_original`.
"""

from unlearning import evaluation, files, hardware, models, progress, resume, stage, training
from unlearning.data import dataset
from unlearning.settings import load_params


def main() -> None:
    params = load_params()
    machine = hardware.choose(params.device, params.precision)
    images = dataset.load("data")
    curve = progress.Curve("train_original")

    with resume.session("train_original", machine) as session:
        model = training.train(
            images,
            images.select(subset="train"),
            params.original,
            params.original.seed,
            machine,
            curve,
            session.checkpoint("original"),
        )

        validation = images.select(subset="validation")
        logits = models.predict_logits(model, images, validation, machine)
        models.save(model, images.labelling, "models/original.safetensors", session.fingerprint)
        files.write_series("plots/train_original.csv", curve.rows, columns=("epoch", "loss"))
        files.write_metrics(
            "metrics/train_original.json",
            {"validation_accuracy": evaluation.accuracy(logits, images.labels[validation])},
        )


if __name__ == "__main__":
    stage.run("train_original", main)
