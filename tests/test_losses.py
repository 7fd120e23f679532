"""The losses against values by hand, and the article's printed code."""

import math

import pytest
import torch
from torch import nn

from unlearning.methods.shared.losses import (
    article_discriminator_loss,
    article_generator_loss,
    discriminator_loss,
    generator_loss,
)
from unlearning.models.discriminator import new_discriminator

LN3 = math.log(3)  # sigmoid(ln 3) = 3/4


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_discriminator_loss_matches_hand_values():
    """Must fail if the targets are swapped, one half is left out, or the halves are averaged."""
    real, fake = torch.tensor([0.0, LN3]), torch.tensor([-LN3])
    by_hand = -(math.log(0.5) + math.log(0.75)) / 2 - math.log(0.75)
    assert discriminator_loss(real, fake).item() == pytest.approx(by_hand)


def test_a_coin_toss_costs_the_discriminator_two_ln_2():
    """Must fail if a weight is put on either half."""
    zeros = torch.zeros(5)
    assert discriminator_loss(zeros, zeros).item() == pytest.approx(2 * math.log(2))


def test_generator_loss_matches_hand_values():
    """Must fail if the target is 0, or the batch is summed."""
    by_hand = -(math.log(0.5) + math.log(0.75)) / 2
    assert generator_loss(torch.tensor([0.0, LN3])).item() == pytest.approx(by_hand)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_losses_and_gradients_stay_finite_for_extreme_logits(size):
    """Must fail if the loss is log(sigmoid(x)) in two steps, which is -inf."""
    real, fake = torch.tensor([size], requires_grad=True), torch.tensor([-size], requires_grad=True)
    loss = discriminator_loss(real, fake) + generator_loss(fake)
    loss.backward()
    assert loss.isfinite()
    assert real.grad.isfinite().all()
    assert fake.grad.isfinite().all()


def test_the_articles_losses_are_its_printed_code():
    """Must fail if a sigmoid is dropped, or A8's and A9's targets are not those printed."""
    network = new_discriminator(10, seed=0)
    printed = nn.Sequential(network.layers, nn.Sigmoid())  # A6: sigmoid at the end
    criterion = nn.BCEWithLogitsLoss()
    extracted, generated = logits(6, 10), logits(4, 10, seed=1)
    d_loss = criterion(printed(extracted), torch.ones(6, 1)) + criterion(
        printed(generated), torch.zeros(4, 1)
    )
    g_loss = criterion(printed(generated), torch.ones(4, 1))
    ours = article_discriminator_loss(network(extracted), network(generated))
    torch.testing.assert_close(ours, d_loss)
    torch.testing.assert_close(article_generator_loss(network(generated)), g_loss)


def test_the_articles_losses_are_confined_by_the_second_sigmoid():
    """Must fail if one of the two sigmoids is dropped: a perfect player would then see 0."""
    win, lose = torch.tensor([1e4]), torch.tensor([-1e4])
    least, most = softplus(-1) + softplus(0), softplus(0) + softplus(1)
    assert article_discriminator_loss(win, lose).item() == pytest.approx(least)
    assert article_discriminator_loss(lose, win).item() == pytest.approx(most)
    assert article_generator_loss(win).item() == pytest.approx(softplus(-1))
    assert article_generator_loss(lose).item() == pytest.approx(softplus(0))


@pytest.mark.parametrize(
    "loss",
    [
        discriminator_loss,
        article_discriminator_loss,
        lambda a, _: generator_loss(a),
        lambda a, _: article_generator_loss(a),
    ],
)
def test_a_loss_is_the_mean_over_its_equal_parts(loss):
    """Must fail if a loss sums over the batch, so that its gradient grows with the batch size."""
    first, second = logits(8), logits(8, seed=1)
    parts = [loss(a, b) for a, b in zip(first.split(2), second.split(2), strict=True)]
    torch.testing.assert_close(loss(first, second), torch.stack(parts).mean())
