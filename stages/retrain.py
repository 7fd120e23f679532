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

from unlearning.base import files, hardware, resume, stage
from unlearning.base.stage import is_first
from unlearning.data import dataset
from unlearning.models import foreign, weights
from unlearning.models.panel import START
from unlearning.models.references import Plan, Reference, train_references, validation_accuracy
from unlearning.settings.distributed import DistributedParams
from unlearning.settings.load import load
from unlearning.settings.machine import MachineParams
from unlearning.settings.model import ModelParams
from unlearning.settings.original import OriginalParams
from unlearning.settings.retrain import RetrainParams

DATA = "data"
FOLDERS = {
    "models/retrained": "Models retrained without the forget images, one per seed (`retrain.seeds`).",
    "models/controls": "Controls, where the original was not trained here or began with given weights.",
}


def main() -> None:
    params, machine = load(ModelParams), load(MachineParams)
    given = load(RetrainParams)
    device = hardware.choose(machine.device, machine.precision)
    images = dataset.load(DATA)
    recipe = load(OriginalParams).recipe(len(images.select(subset="train")))
    accuracies = {}

    for folder, holds in FOLDERS.items():
        Path(folder).mkdir(parents=True, exist_ok=True)
        files.note(folder, holds)
    with resume.session("retrain", device) as session:
        for number, file in enumerate(given.weights, start=1):
            model = foreign.load_classifier(file, "retrain.weights", params, images.labelling)
            accuracies[str(number)] = validation_accuracy(model, images, device)
            path = f"models/retrained/{number}.safetensors"
            weights.save(model, images.labelling, path, session.fingerprint)
        references = [Reference(seed) for seed in given.seeds]
        if params.weights and references and not images.request.earlier:
            # The original has a recipe of its own: what ours makes of all images tells both apart from memory.
            references.append(Reference(given.seeds[0], is_control=True))
        plan = Plan(DATA, params, recipe, machine, session)
        made = train_references(plan, references, images, device, load(DistributedParams).processes)
        if not is_first():
            return
        rows = []
        for reference, each in zip(references, made, strict=True):
            if not reference.is_control:
                accuracies[reference.name] = each.validation_accuracy
                rows += each.losses

        if params.start:
            path = f"models/controls/{START}.safetensors"
            begun = foreign.new_model(params, images, recipe.seed).eval()
            weights.save(begun, images.labelling, path, session.fingerprint)

        files.write_series("plots/retrain.csv", rows, columns=("seed", "epoch", "loss"))
        files.write_metrics("metrics/retrain.json", {"validation_accuracy": accuracies})


if __name__ == "__main__":
    stage.run("retrain", main)
