"""What forgetting costs, against retraining without the forget set."""

from unlearning.data.dataset import Dataset
from unlearning.game.players import Outcome
from unlearning.settings import OriginalParams
from unlearning.training import training_side


def of_game(outcome: Outcome, data: Dataset, recipe: OriginalParams) -> dict[str, float]:
    """Return image passes and their ratios to one retraining; below 1 the game is the cheaper one.

    `cost_ratio` counts images sent forward and backward, whatever their size. `pixel_cost_ratio` weighs
    each by its pixels, and is the stricter one: retraining sees its first epochs at low resolution.
    Forward passes of the frozen extractor count a third in it: a backward pass costs two forward ones.
    """
    retain = len(data.select(role="retain", subset="train"))
    sides = [
        training_side(data.image_size, epoch / recipe.epochs, recipe.low_resolution_share)
        for epoch in range(recipe.epochs)
    ]
    full_size_epochs = sum((side / data.image_size) ** 2 for side in sides)
    return {
        "image_passes": outcome.image_passes,
        "extractor_passes": outcome.extractor_passes,
        "cost_ratio": outcome.image_passes / (retain * recipe.epochs),
        "pixel_cost_ratio": (outcome.image_passes + outcome.extractor_passes / 3)
        / (retain * full_size_epochs),
    }
