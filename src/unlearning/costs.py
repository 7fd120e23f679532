"""What forgetting costs, against retraining without the forget set."""

from unlearning.data.dataset import Dataset
from unlearning.game.players import Outcome
from unlearning.settings import OriginalParams


def of_game(outcome: Outcome, data: Dataset, recipe: OriginalParams) -> dict[str, int | float]:
    """Return what the game cost; a `cost_ratio` below 1 means less than one retraining.

    `image_passes` are images sent forward and backward, and `cost_ratio` is their number over that of
    one retraining. `extractor_passes` are sent forward only, a third of the work each: `work_ratio`
    counts them as such, besides the others.
    """
    retraining_passes = len(data.select(role="retain", subset="train")) * recipe.epochs
    return {
        "image_passes": outcome.image_passes,
        "extractor_passes": outcome.extractor_passes,
        "cost_ratio": outcome.image_passes / retraining_passes,
        "work_ratio": (outcome.image_passes + outcome.extractor_passes / 3) / retraining_passes,
    }
