"""What forgetting costs, against retraining without the forget set, in arithmetic."""

import math
from dataclasses import dataclass
from typing import assert_never

from unlearning.methods.shared.words import Cost
from unlearning.settings.game import GameParams
from unlearning.settings.original import Training
from unlearning.settings.types import AUTO

# Of our game, whatever its budget: after fewer the kept classes have not recovered.
LEAST_STEPS = 24
# Of `cost: auto` (docs/experiments.md): so many image passes for the root of one retraining's, at most so many
# and half of one.
OF_ROOT, MOST_PASSES, MOST_SHARE = 33, 50_000, 0.5


@dataclass(frozen=True)
class Sizes:
    """How many images there are to train on."""

    forget: int
    retain: int


def retraining(training_flops: float, sizes: Sizes, training: Training) -> float:
    """Return the floating-point operations of one retraining without the forget set.

    `training_flops`: of one image forward and backward.
    """
    return training_flops * sizes.retain * training.epochs


def passes(game: GameParams, sizes: Sizes, training: Training) -> float:
    """Return how many images a game sends forward and backward, or may spend as much as that on.

    The article's shows the generator its forget images in each epoch, and no retain image. Of ours `cost` is
    the share of one retraining's, 24 steps at least; `auto` takes a smaller one of a longer retraining: of
    50,000 image passes 15 %, of a million 3 %. Beyond 2.3 million the game grows no more.
    """
    match game.recipe:
        case "article":
            return float(game.epochs * sizes.forget)
        case "adversarial" | "delete" | "euk":
            return _ours(game, sizes, training)
    assert_never(game.recipe)


def _ours(game: GameParams, sizes: Sizes, training: Training) -> float:
    retrained = sizes.retain * training.epochs
    if game.cost == AUTO:
        asked = min(OF_ROOT * math.sqrt(retrained), MOST_PASSES, MOST_SHARE * retrained)
    else:
        asked = game.cost * retrained
    return float(max(LEAST_STEPS * game.batch_size, asked))


def assess(cost_ratio: float) -> Cost:
    """Return whether forgetting took less work than one retraining, which forgets for certain."""
    return Cost.CHEAPER if cost_ratio < 1 else Cost.DEARER


def remark(game: GameParams, sizes: Sizes, training: Training) -> str | None:
    """Return one line where the game will cost as much as retraining or more, else None."""
    retrained, played = sizes.retain * training.epochs, passes(game, sizes, training)
    if played < retrained:
        return None
    return (
        f"warning: this game costs up to {played / retrained:.0%} of one retraining without the forget images: "
        "retraining is cheaper and leaves nothing to prove"
    )
