"""The cost of forgetting against one retraining, by hand."""

import pytest
from torch import nn

from unlearning.costs import of_game
from unlearning.game.players import Outcome
from unlearning.models import new_discriminator


def test_the_cost_ratio_matches_hand_values(make_data, make_original):
    """Must fail if forget or held-out images count as retrained on, or epochs are left out."""
    data = make_data({"cat": 12, "dog": 8, "elephant": 5})
    outcome = Outcome(
        nn.Identity(), new_discriminator(3, 0), [], image_passes=84, extractor_passes=30
    )
    figures = of_game(outcome, data, make_original(epochs=12))
    expected = {"image_passes": 84, "extractor_passes": 30}
    # A pass forward only is a third of one forward and backward.
    expected |= {"cost_ratio": 84 / (20 * 12), "work_ratio": (84 + 10) / (20 * 12)}
    assert figures == pytest.approx(expected)
