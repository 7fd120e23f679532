"""Train the reference: the original's recipe from scratch, once per seed, without a single forget image.

Or take models that a person retrained (`retrain.weights`): they are numbered from 1. Where the original was not
trained here (`model.weights`) but the retrained models are, a control beside them is trained on all images; not
where it is what an earlier request left. Where training does not begin with random weights (`model.start`),
what it begins with is kept as a control.

Reads: data/images, data/request.json, data/samples.csv, data/split.csv, data/weights.json (of the files
that `model` and `retrain` name). Writes: models/retrained/<seed>.safetensors, models/controls,
metrics/retrain.json, plots/retrain.csv. With `retrain.seeds: []` and no weights there is no model in both.
Run: `dvc repro retrain`.
"""

from pathlib import Path

from unlearning.base import files, hardware, progress, resume, stage
from unlearning.base.world import joined
from unlearning.data import dataset
from unlearning.models import foreign, weights
from unlearning.models.classifier import Classifier
from unlearning.models.forward import accuracy, predict_logits
from unlearning.models.panel import SAME_RECIPE, START
from unlearning.models.train import train
from unlearning.settings.distributed import DistributedParams
from unlearning.settings.load import load
from unlearning.settings.machine import MachineParams
from unlearning.settings.model import ModelParams
from unlearning.settings.original import OriginalParams
from unlearning.settings.retrain import RetrainParams

FOLDERS = {
    "models/retrained": "Models retrained without the forget images, one per seed (`retrain.seeds`).",
    "models/controls": "Controls, where the original was not trained here or began with given weights.",
}


def main() -> None:
    params, machine = load(ModelParams), load(MachineParams)
    references, parallel = load(RetrainParams), load(DistributedParams)
    device = hardware.choose(machine.device, machine.precision)
    images = dataset.load("data")
    everything = images.select(subset="train")
    recipe = load(OriginalParams).recipe(len(everything))
    retain = images.select(role="retain", subset="train")
    validation = images.select(role="retain", subset="validation")
    curve = progress.Curve("retrain")
    accuracies = {}

    for folder, holds in FOLDERS.items():
        Path(folder).mkdir(parents=True, exist_ok=True)
        files.note(folder, holds)
    with resume.session("retrain", device) as session:

        def keep(model: Classifier, name: str) -> None:
            logits = predict_logits(model, images, validation, device)
            accuracies[name] = accuracy(logits, images.labels[validation])
            path = f"models/retrained/{name}.safetensors"
            weights.save(model, images.labelling, path, session.fingerprint)

        for number, file in enumerate(references.weights, start=1):
            keep(
                foreign.load_classifier(file, "retrain.weights", params, images.labelling),
                str(number),
            )
        trainings = [(seed, retain, str(seed)) for seed in references.seeds]
        if params.weights and references.seeds and not images.request.earlier:
            # The original has a recipe of its own: what ours makes of all images tells both apart from memory.
            trainings.append((references.seeds[0], everything, SAME_RECIPE))
        processes = parallel.processes if trainings else 1
        with joined(processes, recipe.batch_size, device) as (world, own_device):
            for seed, trained_on, name in trainings:
                model = train(
                    foreign.new_model(params, images, seed),
                    images,
                    trained_on,
                    recipe,
                    seed,
                    own_device,
                    progress.silent if name == SAME_RECIPE else curve.tagged(seed=seed),
                    session.checkpoint(name),
                    world,
                )
                if not world.is_first:
                    continue
                if name == SAME_RECIPE:
                    path = f"models/controls/{name}.safetensors"
                    weights.save(model, images.labelling, path, session.fingerprint)
                else:
                    keep(model, name)
        if not world.is_first:
            return

        if params.start:
            path = f"models/controls/{START}.safetensors"
            begun = foreign.new_model(params, images, recipe.seed).eval()
            weights.save(begun, images.labelling, path, session.fingerprint)

        files.write_series("plots/retrain.csv", curve.rows, columns=("seed", "epoch", "loss"))
        files.write_metrics("metrics/retrain.json", {"validation_accuracy": accuracies})


if __name__ == "__main__":
    stage.run("retrain", main)
