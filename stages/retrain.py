"""Train the reference: the original's recipe from scratch, once per seed, without a single forget image.

Or take models that a person retrained (`retrain.weights`): they are numbered from 1. Where the original was not
trained here (`model.weights`) but the retrained models are, a control beside them is trained on all images; not
where it is what an earlier request left. Where training does not begin with random weights (`model.start`),
what it begins with is kept as a control. One more seed trains one more model: those that are finished stay in
scratch for a week after their last use.

Reads: data/images, data/request.json, data/samples.csv, data/split.csv, data/weights.json (of the files
that `model` and `retrain` name). Writes: models/retrained/<seed>.safetensors, models/controls,
metrics/retrain.json, plots/retrain.csv. With `retrain.seeds: []` and no weights models/retrained holds no
model, and models/controls none but what `model.start` began with. Run: `dvc repro retrain`.
"""

from unlearning.base import files, stage
from unlearning.base.stage import is_first
from unlearning.data import dataset
from unlearning.models.references import OF_OTHERS, Plan, write_all
from unlearning.running import hardware, resume
from unlearning.settings.distributed import DistributedParams
from unlearning.settings.load import load
from unlearning.settings.machine import MachineParams
from unlearning.settings.model import ModelParams
from unlearning.settings.original import OriginalParams
from unlearning.settings.retrain import RetrainParams


def main() -> None:
    params, machine = load(ModelParams), load(MachineParams)
    asked, parallel = load(RetrainParams), load(DistributedParams)
    device = hardware.choose(machine.device, machine.precision)
    images = dataset.load("data")
    training = load(OriginalParams).training(len(images.trainable))

    with resume.session("retrain", device, leave_out=OF_OTHERS) as session:
        plan = Plan(params, training, machine, session)
        accuracies, losses = write_all(plan, asked, images, device, parallel.processes)
        if not is_first():
            return
        files.write_series("plots/retrain.csv", losses, columns=("seed", "epoch", "loss"))
        files.write_metrics("metrics/retrain.json", {"validation_accuracy": accuracies})


if __name__ == "__main__":
    stage.run("retrain", main)
