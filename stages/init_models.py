"""Set up the three networks before the game: generator, feature extractor, discriminator.

Reads: models/original.safetensors. Writes: models/init/generator.safetensors,
models/init/feature_extractor.safetensors, models/init/discriminator.safetensors.
Run: `dvc repro init_models`.
"""

from unlearning import fingerprint, game, models, stage
from unlearning.settings import load_params


def main() -> None:
    params = load_params()
    original, labelling = models.load_classifier("models/original.safetensors")

    players = game.RECIPES[params.recipe].init_players(
        original, len(labelling.classes), params.seed
    )

    inputs = fingerprint.of_stage("init_models")
    models.save(players.generator, labelling, "models/init/generator.safetensors", inputs)
    models.save(
        players.feature_extractor, labelling, "models/init/feature_extractor.safetensors", inputs
    )
    models.save(players.discriminator, labelling, "models/init/discriminator.safetensors", inputs)


if __name__ == "__main__":
    stage.run("init_models", main)
