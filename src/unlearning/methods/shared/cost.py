"""What forgetting costs, against retraining without the forget set; how long the game is for a request."""

from dataclasses import dataclass

from unlearning.methods.shared.words import Cost
from unlearning.settings.game import GameParams
from unlearning.settings.original import OriginalParams

# Measured (docs/experiments.md): Adam's first steps move every weight by the whole learning rate, whatever the
# gradient. A game of one to four steps ends there; from two dozen steps on the kept classes have recovered.
LEAST_STEPS = 24
# Of one retraining: what passing several times over few images may cost at most.
MOST_REPEATED = 0.3


@dataclass(frozen=True)
class Sizes:
    """How many images there are to train on."""

    forget: int
    retain: int


def retraining_passes(sizes: Sizes, recipe: OriginalParams) -> int:
    """Return the images sent forward and backward by one retraining without the forget set."""
    return sizes.retain * recipe.epochs


def game_passes(sizes: Sizes, game: GameParams) -> int:
    """Return the images that the game will send forward and backward through the generator."""
    if game.recipe == "article":
        return game.epochs * sizes.forget  # it shows the generator no retain image
    chosen = min(sizes.forget, game.forget_images)
    steps = game.epochs * -(-chosen // game.batch_size)
    # One pass over the retain images is cut into batches that differ by one image, the larger ones first.
    batches = -(-sizes.retain // game.batch_size)
    size, larger = divmod(sizes.retain, batches)
    rounds, rest = divmod(steps, batches)
    return game.epochs * chosen + rounds * sizes.retain + rest * size + min(rest, larger)


def fitted(game: GameParams, sizes: Sizes, recipe: OriginalParams) -> GameParams:
    """Return the game's parameters as they are played for a request of this size.

    Few forget images are passed over until the game has `LEAST_STEPS` steps, or costs `MOST_REPEATED` of one
    retraining; where that is fewer steps, the learning rate is lowered in proportion. `epochs` is never
    lowered, and the recipe `article` is played as it stands.
    """
    steps = -(-min(sizes.forget, game.forget_images) // game.batch_size)
    if game.recipe == "article" or game.epochs * steps >= LEAST_STEPS:
        return game
    limit = MOST_REPEATED * retraining_passes(sizes, recipe)
    longer = [
        game.model_copy(update={"epochs": epochs})
        for epochs in range(game.epochs + 1, -(-LEAST_STEPS // steps) + 1)
    ]
    played = [each for each in longer if game_passes(sizes, each) <= limit]
    game = played[-1] if played else game
    return game.model_copy(update={"lr": game.lr * min(1.0, game.epochs * steps / LEAST_STEPS)})


def warning(passes: int | float, retraining: int | float) -> str | None:
    """Return one line where forgetting costs as much as retraining or more, else None."""
    if passes < retraining:
        return None
    return (
        f"this request costs {passes / retraining:.0%} of one retraining without the forget images "
        f"({passes:.0f} image passes against {retraining:.0f}): retraining is cheaper and leaves nothing to "
        "prove; take a model of models/retrained, or lower forget_images and epochs"
    )


def announced(
    asked: GameParams, played: GameParams, sizes: Sizes, recipe: OriginalParams
) -> list[str]:
    """Return what a person must know before the game starts, a line each; none for a usual request."""
    lines = []
    if played != asked:
        lines.append(
            f"few forget images ({sizes.forget}): epochs {played.epochs} (params.yaml: {asked.epochs}), "
            f"lr {played.lr:.3g} ({asked.lr:.3g})"
        )
    dear = warning(game_passes(sizes, played), retraining_passes(sizes, recipe))
    return lines + ([f"warning: {dear}"] if dear else [])


def ratio(
    flops: int | float, training_flops: int | float, sizes: Sizes, recipe: OriginalParams
) -> float:
    """Return the arithmetic of forgetting over that of one retraining; below 1 means less.

    `flops`: of everything that depends on the request. `training_flops`: of one image forward and backward.
    """
    return flops / (training_flops * retraining_passes(sizes, recipe))


def assess(cost_ratio: float) -> Cost:
    """Return whether forgetting took less work than one retraining, which forgets for certain."""
    return Cost.CHEAPER if cost_ratio < 1 else Cost.DEARER
