"""The losses against values by hand, the article's printed code and torch.distributions."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, kl_divergence

from unlearning.methods.shared.losses import (
    article_discriminator_loss,
    article_generator_loss,
    discriminator_loss,
    distillation_kl,
    feature_gap,
    generator_loss,
    masked_log_probs,
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


def test_the_masked_log_probs_is_the_original_without_the_class():
    """Must fail if the rest is not renormalised, or its ratios change."""
    teacher = logits(5, 6)
    masked = masked_log_probs(teacher, torch.tensor([1, 4])).exp()
    kept = [0, 2, 3, 5]
    full = teacher.softmax(dim=1)
    assert masked[:, [1, 4]].eq(0).all()
    torch.testing.assert_close(masked.sum(dim=1), torch.ones(5))
    torch.testing.assert_close(
        masked[:, kept], full[:, kept] / full[:, kept].sum(dim=1, keepdim=True)
    )


def test_masking_leaves_the_teachers_own_logits_alone():
    """Must fail if the class is filled in place: the frozen outputs would lose it for good."""
    teacher = logits(3, 4)
    before = teacher.clone()
    masked_log_probs(teacher, torch.tensor([2]))
    assert torch.equal(teacher, before)


def test_distillation_kl_matches_hand_values():
    """Must fail if the arguments are swapped, or the classes are averaged."""
    teacher = torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log()
    student = torch.tensor([[0.75, 0.25], [0.9, 0.1]]).log()
    row = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert distillation_kl(student, teacher).item() == pytest.approx(row / 2)


def test_distillation_kl_agrees_with_torch_distributions():
    """Must fail if the student's logits are taken for log-probabilities."""
    student, teacher = logits(7, 5), logits(7, 5, seed=1)
    expected = kl_divergence(Categorical(logits=teacher), Categorical(logits=student)).mean()
    torch.testing.assert_close(distillation_kl(student, teacher.log_softmax(dim=1)), expected)


def test_a_masked_class_adds_nothing_and_no_nan():
    """Must fail if 0 * -inf reaches the value or the gradient."""
    teacher, student = logits(6, 5), logits(6, 5, seed=1).requires_grad_()
    masked = masked_log_probs(teacher, torch.tensor([3]))
    loss = distillation_kl(student, masked)
    loss.backward()
    kept = [0, 1, 2, 4]
    log_student = student.detach().log_softmax(dim=1)[:, kept]
    by_hand = (masked[:, kept].exp() * (masked[:, kept] - log_student)).sum(dim=1).mean()
    torch.testing.assert_close(loss.detach(), by_hand)
    # d KL / d logit = (student - teacher) / N, a masked class included: it is pushed down.
    expected = (student.detach().softmax(dim=1) - masked.exp()) / 6
    torch.testing.assert_close(student.grad, expected)


def test_no_gradient_reaches_the_teacher():
    """Must fail if either detach is dropped."""
    teacher = logits(4, 5).requires_grad_()
    student = logits(4, 5, seed=1).requires_grad_()
    assert not masked_log_probs(teacher, torch.tensor([0])).requires_grad
    distillation_kl(student, teacher.log_softmax(dim=1)).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "loss",
    [
        discriminator_loss,
        article_discriminator_loss,
        lambda a, _: generator_loss(a),
        lambda a, _: article_generator_loss(a),
        lambda a, b: distillation_kl(a[:, None] * torch.ones(3), torch.stack([b, -b, b], 1).log_softmax(1)),
    ],
)  # fmt: skip
def test_a_loss_is_the_mean_over_its_equal_parts(loss):
    """Must fail if a loss sums over the batch, so that its gradient grows with the batch size."""
    first, second = logits(8), logits(8, seed=1)
    parts = [loss(a, b) for a, b in zip(first.split(2), second.split(2), strict=True)]
    torch.testing.assert_close(loss(first, second), torch.stack(parts).mean())


def test_the_feature_gap_matches_hand_values():
    """Must fail if it is taken per dimension, not over the scale of what is wanted, or zeros divide by zero."""
    wanted = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
    found = torch.tensor([[1.0, 0.0], [2.0, 5.0]])
    assert feature_gap(found, wanted).item() == pytest.approx((9 + 9) / 18)
    assert feature_gap(torch.zeros(2, 2), wanted).item() == pytest.approx(1)
    assert feature_gap(torch.zeros(2, 2), torch.zeros(2, 2)) == 0
