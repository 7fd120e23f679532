"""A trained network that has lost part of what it learned: weights shrunk and mixed with noise."""

import copy

import torch

from unlearning.models.anatomy import matrices
from unlearning.models.classifier import Classifier
from unlearning.models.layers import LAYERS


def shrink_and_perturb(model: Classifier, noise: float, seed: int) -> Classifier:
    """Return a copy in which noise replaces this share of each weight above layer 1.

    w becomes (1 - noise) w + noise n, with n drawn from a normal distribution as wide as the tensor's own
    weights: 0 changes nothing, 1 leaves noise alone. Biases and normalisation stay as they are: so few numbers
    hold no image. So does what lies below: what is memorised grows with depth (docs/experiments.md).

    Source: Ash & Adams 2020, "On Warm-Starting Neural Network Training", arXiv:1910.08475, with fresh initial
    weights in place of noise.
    """
    perturbed = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in perturbed.parts_above(LAYERS[1]):
            for weight in matrices(part):
                fresh = torch.randn(weight.shape, generator=generator) * weight.std()
                weight.mul_(1 - noise).add_(fresh, alpha=noise)
    return perturbed
