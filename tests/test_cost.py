"""The cost of forgetting against one retraining, by hand."""

import pytest

from unlearning.methods.shared import cost
from unlearning.methods.shared.cost import Sizes, assess, retraining


def test_one_retraining_is_all_retain_images_in_every_epoch(make_original):
    """Must fail if forget images count as retrained on, or epochs are left out."""
    assert retraining(100.0, Sizes(forget=5, retain=20), make_original(epochs=12)) == 100 * 20 * 12
    assert assess(0.999) == "cheaper than retraining"
    assert assess(1.0) == "dearer than retraining"


@pytest.mark.parametrize(
    ("retain", "passes"),
    # 5 epochs: a tenth of 1,000 images' retraining, 24 steps of 16, no more than 600.
    [(1000, 500), (100, 384), (10_000, 600), (10_000_000, 600)],
)
def test_the_game_takes_its_share_within_bounds(make_game, make_original, retain, passes):
    """Must fail if the game grows with the data without end, or shrinks below what the kept classes need."""
    game = make_game(cost=0.1, batch_size=16, most_passes=600)
    assert cost.passes(game, Sizes(10, retain), make_original(epochs=5)) == passes


@pytest.mark.parametrize(
    ("knobs", "sizes", "share"),
    [
        # The article's: 20 passes over the forget images against 5 over the retain images.
        ({"recipe": "article", "epochs": 20}, Sizes(10, 40), "100%"),
        ({"recipe": "article", "epochs": 20}, Sizes(10, 41), None),
        # Ours: 24 steps of 16 at least, whatever its budget.
        ({"recipe": "adversarial", "cost": 0.1, "batch_size": 16}, Sizes(10, 60), "128%"),
        ({"recipe": "adversarial", "cost": 0.1, "batch_size": 16}, Sizes(10, 77), None),
        ({"recipe": "adversarial", "cost": 1.0, "batch_size": 16}, Sizes(10, 1000), "100%"),
    ],
    ids=str,
)
def test_a_game_dearer_than_retraining_is_named_before_it_starts(
    make_game, make_original, knobs, sizes, share
):
    """Must fail if the warning stays away at 100 % of a retraining, comes below, or forgets the least steps."""
    line = cost.remark(make_game(**knobs), sizes, make_original(epochs=5))
    if share is None:
        assert line is None
    else:
        assert line.startswith(f"warning: this game costs {share} of one retraining")
