"""The losses of the game: the article's as printed, and ours.

All take the discriminator's logits (above 0: "an image of a class that is kept"), N, return a scalar
in nats, never negative, and fall as the player who minimises them wins.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def discriminator_loss(real: Float[Tensor, " N"], fake: Float[Tensor, " M"]) -> Float[Tensor, ""]:
    """Binary cross-entropy of calling `real` 1 and `fake` 0 (A8); 2 ln 2 = 1.386 for a coin toss."""
    return _cross_entropy(real, 1.0) + _cross_entropy(fake, 0.0)


def generator_loss(fake: Float[Tensor, " M"]) -> Float[Tensor, ""]:
    """Binary cross-entropy of `fake` being called 1 (A9): low when the generator deceives."""
    return _cross_entropy(fake, 1.0)


def article_discriminator_loss(
    real: Float[Tensor, " N"], fake: Float[Tensor, " M"]
) -> Float[Tensor, ""]:
    """A8 as printed, with the sigmoid inside the network and another inside the loss.

    What the second sigmoid sees lies in [0, 1], so the loss is confined to [1.006, 2.006], from
    softplus(-1) + softplus(0) to softplus(0) + softplus(1): even a perfect player sees a high loss.
    """
    return discriminator_loss(real.sigmoid(), fake.sigmoid())


def article_generator_loss(fake: Float[Tensor, " M"]) -> Float[Tensor, ""]:
    """A9 as printed, with the double sigmoid: confined to [0.313, 0.693]."""
    return generator_loss(fake.sigmoid())


def masked_log_probs(
    logits: Float[Tensor, "N C"], forget_labels: Int[Tensor, " F"]
) -> Float[Tensor, "N C"]:
    """Return the log-probabilities with the forget classes masked and the rest renormalised.

    A forget class has minus infinity; each row's probabilities sum to 1.
    Source: the target of DELETE, Zhou et al. 2025, arXiv:2503.23751.
    """
    masked = logits.detach().index_fill(1, forget_labels, float("-inf"))
    return masked.log_softmax(dim=1)


def distillation_kl(
    student_logits: Float[Tensor, "N C"], teacher_log_probs: Float[Tensor, "N C"]
) -> Float[Tensor, ""]:
    """Mean KL(teacher || student) in nats; 0 when they agree, unbounded above.

    A class to which the teacher gives probability 0 adds nothing. No gradient reaches the teacher.
    Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.
    """
    teacher = teacher_log_probs.detach()
    gap = teacher - student_logits.log_softmax(dim=1)
    # 0 * -inf is NaN, in the value and in the gradient: leave those classes out of the product.
    known = teacher > float("-inf")
    return torch.where(known, teacher.exp() * gap.masked_fill(~known, 0.0), 0.0).sum(dim=1).mean()


def feature_gap(found: Float[Tensor, "N D"], wanted: Float[Tensor, "N D"]) -> Float[Tensor, ""]:
    """Return the mean squared difference over the mean square of what is wanted: 0 if both are equal."""
    scale = wanted.square().mean().clamp(min=torch.finfo(wanted.dtype).tiny)
    return (found - wanted).square().mean() / scale


def _cross_entropy(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
