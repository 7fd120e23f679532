"""Train the reference: the original's recipe from scratch, once per seed, without a single forget image.

Reads: data/images.npy, data/request.json, data/samples.csv, data/split.csv. Writes:
models/retrained/<seed>.safetensors, metrics/retrain.json, plots/retrain.csv. With
`retrain.seeds: []` it leaves the folder empty. Run: `dvc repro retrain`.
"""

from pathlib import Path

from unlearning.base import files, hardware, progress, resume, stage
from unlearning.data import dataset
from unlearning.models import weights
from unlearning.models.forward import accuracy, predict_logits
from unlearning.models.train import train
from unlearning.settings.load import load
from unlearning.settings.machine import MachineParams
from unlearning.settings.original import OriginalParams
from unlearning.settings.retrain import RetrainParams


def main() -> None:
    recipe, machine = load(OriginalParams), load(MachineParams)
    device = hardware.choose(machine.device, machine.precision)
    images = dataset.load("data")
    retain = images.select(role="retain", subset="train")
    validation = images.select(role="retain", subset="validation")
    curve = progress.Curve("retrain")
    accuracies = {}

    Path("models/retrained").mkdir(parents=True, exist_ok=True)
    with resume.session("retrain", device) as session:
        for seed in load(RetrainParams).seeds:
            model = train(
                images,
                retain,
                recipe,
                seed,
                device,
                curve.tagged(seed=seed),
                session.checkpoint(str(seed)),
            )
            logits = predict_logits(model, images, validation, device)
            accuracies[str(seed)] = accuracy(logits, images.labels[validation])
            weights.save(
                model,
                images.labelling,
                f"models/retrained/{seed}.safetensors",
                session.fingerprint,
            )

        files.write_series("plots/retrain.csv", curve.rows, columns=("seed", "epoch", "loss"))
        files.write_metrics("metrics/retrain.json", {"validation_accuracy": accuracies})


if __name__ == "__main__":
    stage.run("retrain", main)
