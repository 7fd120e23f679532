"""Play the game: the generator forgets, the discriminator tries to find it out.

Reads: data/images.npy, data/samples.csv, data/split.csv, models/init. Writes: models/unlearned.safetensors,
models/discriminator.safetensors, metrics/adversarial_train.json, plots/adversarial_train.csv.
Run: `dvc repro adversarial_train`, `dvc exp run -S lr=0.0005`.
"""

from unlearning import costs, files, game, hardware, models, progress, resume, stage
from unlearning.data import dataset
from unlearning.game.players import Players, warning
from unlearning.settings import load_params
from unlearning.words import GameWarning


def main() -> None:
    params = load_params()
    machine = hardware.choose(params.device, params.precision)
    images = dataset.load("data")
    players = Players(
        models.load_classifier("models/init/generator.safetensors")[0],
        models.load_classifier("models/init/feature_extractor.safetensors")[0],
        models.load_discriminator("models/init/discriminator.safetensors"),
    )
    curve = progress.Curve("adversarial_train")
    sizes = costs.Sizes(
        forget=len(images.select(role="forget", subset="train")),
        retain=len(images.select(role="retain", subset="train")),
    )
    played = costs.fitted(params.game, sizes, params.original)
    for line in costs.announced(params.game, played, sizes, params.original):
        progress.say(f"adversarial_train: {line}")

    with resume.session("adversarial_train", machine) as session:
        outcome = game.RECIPES[params.recipe].play(
            players, images, played, machine, curve, session.checkpoint("game")
        )
        trouble = warning(outcome.epochs[-1])

        if trouble != GameWarning.NONE:
            progress.say(f"warning: {trouble}")
        models.save(
            outcome.generator, images.labelling, "models/unlearned.safetensors", session.fingerprint
        )
        models.save(
            outcome.discriminator,
            images.labelling,
            "models/discriminator.safetensors",
            session.fingerprint,
        )
        files.write_series(
            "plots/adversarial_train.csv", outcome.epochs, columns=tuple(outcome.epochs[0])
        )
        files.write_metrics(
            "metrics/adversarial_train.json",
            {
                **costs.of_game(
                    outcome.image_passes, outcome.extractor_passes, sizes, params.original
                ),
                "epochs": played.epochs,
                "lr": played.lr,
                "final": outcome.epochs[-1],
                "warnings": trouble,
            },
        )


if __name__ == "__main__":
    stage.run("adversarial_train", main)
