"""The cost of forgetting against one retraining, by hand and as the games have it; games of few images."""

import pytest
from conftest import play

from unlearning import methods
from unlearning.methods.shared import cost
from unlearning.methods.shared.cost import Sizes, assess, fitted, game_passes, ratio

RECIPES = ("adversarial", "article")  # the games


def test_the_cost_ratio_is_arithmetic_over_that_of_one_retraining(make_original):
    """Must fail if forget images count as retrained on, or epochs are left out."""
    sizes, recipe = Sizes(forget=5, retain=20), make_original(epochs=12)
    assert ratio(4800, 100, sizes, recipe) == pytest.approx(4800 / (100 * 20 * 12))
    assert assess(0.999) == "cheaper than retraining"
    assert assess(1.0) == "dearer than retraining"


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    "knobs",
    [
        {"batch_size": 3},
        {"batch_size": 2, "epochs": 4},
        {"batch_size": 64},
        {"batch_size": 2, "forget_images": 3, "epochs": 2},
    ],
    ids=str,
)
def test_the_forecast_is_what_the_game_costs(data, trained, make_game, cpu, rows, recipe, knobs):
    """Must fail if the forecast leaves out retain images, or takes all batches for equally large."""
    params = make_game(recipe=recipe, **knobs)
    players = methods.load(recipe).init_players(trained, 4, 0)
    outcome = play(recipe, players, data, params, cpu, rows)
    sizes = Sizes(*(len(data.select(role=role, subset="train")) for role in ("forget", "retain")))
    assert game_passes(sizes, params) == outcome.image_passes


@pytest.mark.parametrize(
    ("forget", "epochs"), [(1, 24), (3, 24), (4, 12), (10, 6), (40, 2), (70, 1), (400, 1)]
)
def test_few_images_are_passed_over_until_the_game_has_24_steps(
    make_game, make_original, forget, epochs
):
    """Must fail if the number of steps no longer follows from the request, or a usual request is changed."""
    game = make_game(batch_size=3, epochs=1, forget_images=144)
    played = fitted(game, Sizes(forget, 5000), make_original(epochs=5))
    assert played == game.model_copy(update={"epochs": epochs})


def test_where_24_steps_cost_too_much_the_learning_rate_is_lowered(make_game, make_original):
    """Must fail if the cost is not limited, or few steps keep the whole learning rate."""
    game = make_game(batch_size=3, epochs=1, lr=0.0002)
    # One retraining: 27 images x 5 epochs = 135 passes, of which 0.3 are 40: six steps of 6.
    played = fitted(game, Sizes(3, 27), make_original(epochs=5))
    assert played.epochs == 6
    assert played.lr == pytest.approx(0.0002 * 6 / 24)
    # Not even two steps are allowed: the person's own number of epochs is never lowered.
    assert fitted(game, Sizes(3, 6), make_original(epochs=1)).epochs == 1


def test_the_article_is_played_as_printed_whatever_the_request(make_game, make_original):
    """Must fail if the printed recipe's epochs or learning rate follow from the request."""
    game = make_game(recipe="article", epochs=1)
    assert fitted(game, Sizes(1, 5000), make_original()) == game


def test_a_request_dearer_than_retraining_is_named_before_the_game(make_game, make_original):
    """Must fail if the warning stays away at 100 % of a retraining, or comes below."""
    game = make_game(batch_size=3, epochs=1, forget_images=144)
    recipe = make_original(epochs=5)
    # 48 steps: 144 forget images; three passes over 40 retain images and six batches of 3. Against 40 x 5.
    (line,) = cost.announced(game, game, Sizes(800, 40), recipe)
    assert line.startswith("warning: this request costs 141% of one retraining")
    assert "282 image passes against 200" in line
    assert cost.announced(game, game, Sizes(800, 59), recipe) == []
