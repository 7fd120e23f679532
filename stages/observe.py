"""Run every model over the audited images, once; what evaluation and audit say is read from here.

A model is not run again while its weights, and whatever else an observation follows from, are the same: copies
lie in scratch for a week.

Reads: data/images, data/request.json, data/samples.csv, data/split.csv, models/original.safetensors,
models/unlearned.safetensors, models/retrained, models/controls, models/discriminator.safetensors, models/init
(the feature extractor, for the article's score). Writes: data/observed. Run: `dvc repro observe`.
"""

from pathlib import Path

from unlearning.base import stage
from unlearning.data import dataset
from unlearning.observe import whole
from unlearning.running import hardware
from unlearning.running.resume import scratch_folder
from unlearning.settings.load import load
from unlearning.settings.machine import MachineParams


def main() -> None:
    machine = load(MachineParams)
    device = hardware.choose(machine.device, machine.precision)
    images = dataset.load("data")

    memory = scratch_folder(Path.cwd())
    whole.observe_all(images, Path("models"), Path("data/observed"), memory, device)


if __name__ == "__main__":
    stage.run("observe", main)
