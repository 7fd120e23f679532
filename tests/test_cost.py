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
    ("share", "retain", "passes"),
    [
        # 5 epochs: a tenth of 1,000 images' retraining; 24 steps of 16.
        (0.1, 1000, 500),
        (0.1, 100, 384),
        (0.1, 10_000_000, 5_000_000),
        # 33 times the root of 10,000 and of 1,000,000 image passes; half of 2,000; the most; 24 steps.
        ("auto", 2000, 3300),
        ("auto", 200_000, 33_000),
        ("auto", 400, 1000),
        ("auto", 10_000_000, 50_000),
        ("auto", 100, 384),
    ],
)
def test_the_game_takes_its_share_within_bounds(make_game, make_original, share, retain, passes):
    """Must fail if `auto` grows as the data do or without end, or a game is too short."""
    game = make_game(cost=share, batch_size=16)
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
    """Must fail if the warning stays away at 100 % of a retraining, comes below, forgets the least steps, or
    advises to take a retrained model, of which there may be none."""
    line = cost.remark(make_game(**knobs), sizes, make_original(epochs=5))
    if share is None:
        assert line is None
    else:
        assert line.startswith(f"warning: this game costs up to {share} of one retraining")
        assert line.endswith("leaves nothing to prove")
