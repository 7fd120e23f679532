"""A trained network that has lost part of what it learned: weights shrunk and mixed with noise."""

import copy

import torch
from torch import nn

from unlearning.models.anatomy import learned_parts


def shrink_and_perturb(model: nn.Module, noise: float, seed: int) -> nn.Module:
    """Return a copy in which noise replaces this share of each weight above the first residual stage.

    w becomes (1 - noise) w + noise n, with n drawn from a normal distribution as wide as the tensor's own
    weights: 0 changes nothing, 1 leaves noise alone. Biases and normalisation stay as they are: so few numbers
    hold no image. So does what lies below: what is memorised grows with depth (docs/experiments.md).

    Source: Ash & Adams 2020, "On Warm-Starting Neural Network Training", arXiv:1910.08475, with fresh initial
    weights in place of noise.
    """
    perturbed = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in learned_parts(perturbed):
            for weight in (weight for weight in part.parameters() if weight.dim() > 1):
                fresh = torch.randn(weight.shape, generator=generator) * weight.std()
                weight.mul_(1 - noise).add_(fresh, alpha=noise)
    return perturbed
