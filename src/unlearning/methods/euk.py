"""A baseline, EU-k: the upper part learns anew from retain images, all below it stays as it is.

What was memorised below the part that is trained anew cannot go. Which part that is, is the method's only
knob; here it is what lies above layer 3, of a ResNet its last stage and the last layer.

Source: exact unlearning of the last k layers, Goel et al. 2022, arXiv:2201.06640. Length, optimiser and the
last edit are our game's, so that both can be compared at one cost.
"""

import copy
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from unlearning.data.dataset import Dataset
from unlearning.methods.shared.flops import training_flops
from unlearning.methods.shared.game import Monitor, Players, Run
from unlearning.methods.shared.steps import (
    NOBODY,
    Lost,
    Step,
    affordable,
    by_labels,
    learn,
    retain_batches,
    train,
)
from unlearning.models.build import anew
from unlearning.models.classifier import Classifier
from unlearning.models.discriminator import new_discriminator
from unlearning.settings.game import GameParams

KEPT = "layer3"  # the last layer that keeps its weights


def init_players(original: Classifier, seed: int, noise: float) -> Players:
    """Return the original with a fresh upper part as generator; the others are not used, nor is `noise`."""
    generator = copy.deepcopy(original)
    fresh = anew(original, "euk", seed).parts_above(KEPT)
    for part, new in zip(generator.parts_above(KEPT), fresh, strict=True):
        part.load_state_dict(new.state_dict())
    return Players(
        generator, copy.deepcopy(original), new_discriminator(original.head.out_features, seed)
    )


def unlearn(original: Classifier, data: Dataset, params: GameParams, run: Run) -> Classifier:
    """Return the generator after its upper part has learned the retain images by their labels; see `methods`.

    There is no adversary. Raises: UserError when a loss, or at the end a weight, is no longer finite.
    """
    hardware = run.hardware
    generator = copy.deepcopy(run.players.generator).to(hardware.device)
    learned = learn(generator, generator.parts_above(KEPT))
    count = affordable(run.budget, params.batch_size * training_flops(generator))
    batches = retain_batches(data, params, torch.Generator().manual_seed(run.seed))
    steps = [Step(batch, NOBODY) for batch in islice(batches, count)]

    def objective(step: Step, images: Float[Tensor, "R 3 H W"], _: Monitor) -> Lost:
        return by_labels(generator, data.labels[step.retain], images, hardware)

    return train(generator, learned, steps, objective, data, params, run, {})
