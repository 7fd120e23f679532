"""The losses of both players: the article's as printed, and without its second sigmoid.

All take the discriminator's logits (above 0: "an image of a class that is kept"), N, return a scalar
in nats, never negative, and fall as the player who minimises them wins.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
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


def _cross_entropy(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
