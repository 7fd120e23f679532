"""Train the reference: the original's recipe from scratch, once per seed, without a single forget image.

Reads: data/images.npy, data/samples.csv, data/split.csv. Writes: models/retrained/<seed>.safetensors,
metrics/retrain.json, plots/retrain.csv. With `retrain.seeds: []` it leaves the folder empty.
Run: `dvc repro retrain`.
"""

from pathlib import Path

from unlearning import evaluation, files, hardware, models, progress, resume, stage, training
from unlearning.data import dataset
from unlearning.settings import load_params


def main() -> None:
    params = load_params()
    machine = hardware.choose(params.device, params.precision)
    images = dataset.load("data")
    retain = images.select(role="retain", subset="train")
    validation = images.select(role="retain", subset="validation")
    curve = progress.Curve("retrain")
    accuracies = {}

    Path("models/retrained").mkdir(parents=True, exist_ok=True)
    with resume.session("retrain", machine) as session:
        for seed in params.retrain.seeds:
            model = training.train(
                images,
                retain,
                params.original,
                seed,
                machine,
                curve.tagged(seed=seed),
                session.checkpoint(str(seed)),
            )
            logits = models.predict_logits(model, images, validation, machine)
            accuracies[str(seed)] = evaluation.accuracy(logits, images.labels[validation])
            models.save(
                model,
                images.labelling,
                f"models/retrained/{seed}.safetensors",
                session.fingerprint,
            )

        files.write_series("plots/retrain.csv", curve.rows, columns=("seed", "epoch", "loss"))
        files.write_metrics("metrics/retrain.json", {"validation_accuracy": accuracies})


if __name__ == "__main__":
    stage.run("retrain", main)
