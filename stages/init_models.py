"""Set up the three networks before the game: generator, feature extractor, discriminator.

Reads: models/original.safetensors. Writes: models/init/generator.safetensors,
models/init/feature_extractor.safetensors, models/init/discriminator.safetensors.
Run: `dvc repro init_models`.
"""

from unlearning import methods
from unlearning.base import fingerprint, stage
from unlearning.methods.shared.game import save_players
from unlearning.models import weights
from unlearning.settings.game import GameParams
from unlearning.settings.load import load


def main() -> None:
    params = load(GameParams)
    original, labelling = weights.load_classifier("models/original.safetensors")

    players = methods.load(params.recipe).init_players(original, params.seed, params.noise)

    made_of = fingerprint.of_stage("init_models", leave_out=fingerprint.CODE)
    save_players(players, labelling, "models/init", made_of)


if __name__ == "__main__":
    stage.run("init_models", main)
