"""Train the classifier that will have to forget.

Reads: data/images.npy, data/request.json, data/samples.csv, data/split.csv. Writes:
models/original.safetensors, metrics/train_original.json, plots/train_original.csv.
Run: `dvc repro train_original`.
"""

from unlearning.base import files, hardware, progress, resume, stage
from unlearning.data import dataset
from unlearning.models import weights
from unlearning.models.forward import accuracy, predict_logits
from unlearning.models.train import train
from unlearning.settings.load import load
from unlearning.settings.machine import MachineParams
from unlearning.settings.original import OriginalParams


def main() -> None:
    recipe, machine = load(OriginalParams), load(MachineParams)
    device = hardware.choose(machine.device, machine.precision)
    images = dataset.load("data")
    curve = progress.Curve("train_original")

    with resume.session("train_original", device) as session:
        model = train(
            images,
            images.select(subset="train"),
            recipe,
            recipe.seed,
            device,
            curve,
            session.checkpoint("original"),
        )

        validation = images.select(subset="validation")
        logits = predict_logits(model, images, validation, device)
        weights.save(model, images.labelling, "models/original.safetensors", session.fingerprint)
        files.write_series("plots/train_original.csv", curve.rows, columns=("epoch", "loss"))
        files.write_metrics(
            "metrics/train_original.json",
            {"validation_accuracy": accuracy(logits, images.labels[validation])},
        )


if __name__ == "__main__":
    stage.run("train_original", main)
