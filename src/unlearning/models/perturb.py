"""A trained network that has lost part of what it learned: weights shrunk and mixed with noise."""

import copy

import torch

from unlearning.models.anatomy import matrices
from unlearning.models.classifier import Classifier
from unlearning.models.layers import LAYERS

OF_LAYER_1 = 0.5  # of the noise above it: with all of it kept classes are lost


def shrink_and_perturb(model: Classifier, noise: float, seed: int) -> Classifier:
    """Return a copy in which noise replaces this share of each weight above layer 1, in layer 1 half of it.

    w becomes (1 - noise) w + noise n, with n drawn from a normal distribution as wide as the tensor's own
    weights: 0 changes nothing, 1 leaves noise alone, but in layer 1. Biases and normalisation stay as they are:
    so few numbers hold no image. So does the stem. Little is memorised in layer 1, but what it learned of a
    class keeps those that look alike from taking its images (docs/experiments.md#first-stage).

    Source: Ash & Adams 2020, "On Warm-Starting Neural Network Training", arXiv:1910.08475, with fresh initial
    weights in place of noise.
    """
    perturbed = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        above = perturbed.parts_above(LAYERS[1])
        for part in perturbed.learned:
            share = noise if part in above else noise * OF_LAYER_1
            for weight in matrices(part):
                fresh = torch.randn(weight.shape, generator=generator) * weight.std()
                weight.mul_(1 - share).add_(fresh, alpha=share)
    return perturbed
