"""Train the classifier that will have to forget, or take the one that is trained already (`model.weights`).

What is to be forgotten plays no part: another request leaves it as it is.

Reads: data/images, data/samples.csv, data/subsets.csv, data/weights.json (of the files that `model` names).
Writes: models/original.safetensors, metrics/train_original.json, plots/train_original.csv.
Run: `dvc repro train_original`.
"""

from unlearning.base import files, progress, stage
from unlearning.data import dataset
from unlearning.models import doubts, foreign, weights
from unlearning.models.forward import accuracy, predict_logits
from unlearning.models.train import train
from unlearning.models.words import Doubt, Weights
from unlearning.running import hardware, resume
from unlearning.running.world import joined
from unlearning.settings.distributed import DistributedParams
from unlearning.settings.load import load
from unlearning.settings.machine import MachineParams
from unlearning.settings.model import ModelParams
from unlearning.settings.original import OriginalParams


def main() -> None:
    params, machine = load(ModelParams), load(MachineParams)
    parallel = load(DistributedParams)
    device = hardware.choose(machine.device, machine.precision)
    images = dataset.load_subsets("data", params.classes)
    trained_on = images.select(subset="train")
    original = load(OriginalParams)
    training = original.training(len(trained_on))
    curve = progress.Curve("train_original")

    with resume.session("train_original", device) as session:
        if params.weights:
            model = foreign.load_classifier(
                params.weights, "model.weights", params, images.labelling
            )
        else:
            progress.say(
                f"train_original: {len(trained_on)} images of {images.image_size} pixels, {training.epochs} "
                f"epochs of batches of {training.batch_size}"
            )
            with joined(parallel.processes, training.batch_size, device) as (world, own_device):
                model = train(
                    foreign.new_model(params, images, original.seed),
                    images,
                    trained_on,
                    training,
                    original.seed,
                    own_device,
                    curve,
                    session.checkpoint("original"),
                    world,
                )
            if not world.is_first:
                return

        validation = images.select(subset="validation")
        logits = predict_logits(model, images, validation, device)
        doubt = Doubt.NONE
        if params.weights:
            doubt, said = doubts.about(model, images, validation, params.classes, device)
            progress.say(f"warning: {said}" if doubt != Doubt.NONE else said)
        weights.save(model, images.labelling, "models/original.safetensors", session.fingerprint)
        files.write_series("plots/train_original.csv", curve.rows, columns=("epoch", "loss"))
        files.write_metrics(
            "metrics/train_original.json",
            {
                "validation_accuracy": accuracy(logits, images.labels[validation]),
                "epochs": training.epochs,
                "batch_size": training.batch_size,
                "weights": Weights.GIVEN if params.weights else Weights.TRAINED,
                "warnings": doubt,
            },
        )


if __name__ == "__main__":
    stage.run("train_original", main)
