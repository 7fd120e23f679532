"""Play the game: the generator forgets, the discriminator tries to find it out.

Reads: data/images, data/request.json, data/samples.csv, data/split.csv, models/original.safetensors,
models/init. Writes: models/unlearned.safetensors, models/discriminator.safetensors,
metrics/adversarial_train.json, plots/adversarial_train.csv. Run: `dvc repro adversarial_train`,
`dvc exp run -S lr=0.0005`.
"""

from unlearning import methods
from unlearning.base import files, progress, stage
from unlearning.data import dataset
from unlearning.methods.shared import cost
from unlearning.methods.shared.flops import training_flops
from unlearning.methods.shared.game import Run, load_players, warning
from unlearning.methods.shared.words import GameWarning
from unlearning.models import weights
from unlearning.running import hardware, resume
from unlearning.settings.game import GameParams
from unlearning.settings.load import load
from unlearning.settings.machine import MachineParams
from unlearning.settings.original import OriginalParams

# Of the last row of the curve, which stands in plots/.
FINAL = ("discriminator_accuracy", "discriminator_loss", "effective_classes", "generator_loss")


def main() -> None:
    params, machine = load(GameParams), load(MachineParams)
    images = dataset.load("data")
    training = load(OriginalParams).training(len(images.trainable))
    original, _ = weights.load_classifier("models/original.safetensors")
    players = load_players("models/init")
    sizes = cost.Sizes(
        forget=len(images.select(role="forget", subset="train")),
        retain=len(images.select(role="retain", subset="train")),
    )
    # First: it chooses the kernels of attention, by which arithmetic is counted.
    device = hardware.choose(machine.device, machine.precision)
    of_image = training_flops(original)
    retraining = cost.retraining(of_image, sizes, training)

    with resume.session("adversarial_train", device) as session:
        run = Run(
            players,
            params.seed,
            device,
            progress.Curve("adversarial_train"),
            session.checkpoint("game"),
            budget=of_image * cost.passes(params, sizes, training),
        )
        with run.work:
            unlearned = methods.load(params.recipe).unlearn(original, images, params, run)
        last = run.rows[-1]
        trouble = warning(last, params)
        ratio = run.work.flops / retraining

        if trouble != GameWarning.NONE:
            progress.say(f"warning: {trouble}")
        for model, name in ((unlearned, "unlearned"), (run.discriminator, "discriminator")):
            weights.save(model, images.labelling, f"models/{name}.safetensors", session.fingerprint)
        files.write_series("plots/adversarial_train.csv", run.rows, columns=tuple(last))
        files.write_metrics(
            "metrics/adversarial_train.json",
            {
                "image_passes": run.image_passes,
                "cost_ratio": ratio,
                "cost_assessment": cost.assess(ratio),
                "final": {name: last[name] for name in FINAL if name in last},
                "warnings": trouble,
            },
        )


if __name__ == "__main__":
    stage.run("adversarial_train", main)
