"""What every method promises; one that is added as a file is found here by itself."""

import copy
from pathlib import Path
from typing import get_args

import pytest
import torch
from conftest import Outcome, Rows, play
from pydantic import ValidationError
from torch import nn

from unlearning import methods
from unlearning.base.errors import UserError
from unlearning.methods.shared.game import Players
from unlearning.models.discriminator import new_discriminator
from unlearning.settings.game import GameParams

NAMES = sorted(file.stem for file in Path(methods.__file__).parent.glob("[!_]*.py"))
every_method = pytest.mark.parametrize("method", NAMES)


@pytest.fixture
def players(make_network) -> Players:
    return Players(make_network(1), make_network(2), new_discriminator(4, seed=0))


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([tensor.double().flatten() for tensor in model.state_dict().values()])


def same(left: nn.Module, right: nn.Module) -> bool:
    return torch.equal(flat(left), flat(right))


def test_the_schema_knows_exactly_the_methods_there_are(make_game):
    """Must fail if a method is added to one side alone, or a misspelt one is taken."""
    assert set(get_args(GameParams.model_fields["recipe"].annotation)) == set(NAMES)
    with pytest.raises(ValidationError, match="should be 'adversarial'"):
        make_game(recipe="articel")


@every_method
def test_what_a_method_is_given_is_left_untouched(method, players, data, make_game, cpu, rows):
    """Must fail if a network is trained in place, or its mode, gradients or images change."""
    before, images = copy.deepcopy(players), data.images.copy()
    outcome = play(method, players, data, make_game(recipe=method, epochs=1), cpu, rows)
    for name in ("generator", "feature_extractor", "discriminator"):
        ours, theirs = getattr(players, name), getattr(before, name)
        assert same(ours, theirs), name
        assert ours.training == theirs.training, name
        assert all(p.grad is None and p.requires_grad for p in ours.parameters()), name
    assert (data.images == images).all()
    assert not same(outcome.generator, players.generator)


@every_method
def test_what_comes_back_can_be_used_at_once(method, players, data, make_game, cpu, rows):
    """Must fail if it is left in training mode or on a device, has other outputs, or no curve was reported."""
    outcome = play(method, players, data, make_game(recipe=method, epochs=2), cpu, rows)
    for network in (outcome.generator, outcome.discriminator):
        assert not network.training
        assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}
    assert outcome.generator.state_dict().keys() == players.generator.state_dict().keys()
    assert outcome.epochs == rows.rows
    epochs = [row["epoch"] for row in rows.rows]
    assert epochs == sorted(epochs) and epochs[-1] > 0
    assert outcome.image_passes > 0 and outcome.flops > 0


@every_method
def test_a_method_follows_from_its_seed(method, players, data, make_game, cpu):
    """Must fail if anything is drawn from another generator than the seed's, or the seed is ignored."""

    def played(seed: int) -> Outcome:
        params = make_game(recipe=method, epochs=2, batch_size=4, seed=seed)
        return play(method, players, data, params, cpu, Rows())

    first = played(0)
    torch.rand(1)
    again, other = played(0), played(1)
    assert same(first.generator, again.generator)
    assert same(first.discriminator, again.discriminator)
    assert not same(first.generator, other.generator)


@every_method
def test_a_loss_that_is_no_number_stops_a_method(method, players, data, make_game, cpu, rows):
    """Must fail if a NaN is trained on with, or the message does not say what to change."""
    params = make_game(recipe=method, lr=1e30, epochs=3)
    with pytest.raises(UserError, match=r"params\.yaml: with this lr, \w+_loss of epoch \d is"):
        play(method, players, data, params, cpu, rows)
