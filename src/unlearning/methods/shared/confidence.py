"""How sure the unlearned model is of what it keeps: halfway between what the game left and the original.

A game is several times shorter than a training and ends less sure of everything it says: on photographs its
probability of the predicted class was .58 to .69 where the original and retrained models have .76 to .80. By
that alone, not by which class it names, an auditor could tell its answers from theirs. One factor on all logits
changes it, and no prediction. Why not all of the way: docs/experiments.md#confidence.
"""

import copy
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearning.base.sampling import spread_evenly
from unlearning.data.dataset import Dataset
from unlearning.models.classifier import Classifier
from unlearning.models.forward import predict_logits
from unlearning.models.head import edit_head
from unlearning.running.hardware import Hardware

WAY = 0.5  # of that to the original, in powers of the factor
MOST_IMAGES = 1000
WIDEST = 8.0  # factor, or one over it
HALVINGS = 30


def asked(data: Dataset) -> Int[Tensor, " K"]:
    """Return up to 1,000 validation images of the kept classes; none where single images are to be forgotten.

    What this does to single images was not measured.
    """
    if data.request.images:
        return torch.empty(0, dtype=torch.long)
    held_out = data.select(role="retain", subset="validation")
    return held_out[spread_evenly(len(held_out), MOST_IMAGES)]


def as_sure(
    unlearned: Classifier,
    original: Classifier,
    data: Dataset,
    images: Int[Tensor, " K"],
    hardware: Hardware,
) -> Classifier:
    """Return a copy with logits scaled towards the original's confidence in these images, on the CPU.

    Unchanged without images. The outputs of forgotten classes count for neither, and are retired anew.
    """
    if not len(images):
        return unlearned
    gone = data.request.retired(data.classes)
    kept = [label for label in range(len(data.classes)) if label not in gone]
    own, wanted = (
        predict_logits(model, data, images, hardware)[:, kept] for model in (unlearned, original)
    )
    factor = factor_for(own, confidence(wanted)) ** WAY
    scaled = copy.deepcopy(unlearned).cpu()
    with torch.no_grad():
        scaled.head.weight.mul_(factor)
        scaled.head.bias.mul_(factor)
    return edit_head(scaled, gone)


def factor_for(logits: Float[Tensor, "K C"], wanted: float) -> float:
    """Return what to multiply logits by for this confidence, in [1/8, 8]."""
    low, high = 1 / WIDEST, WIDEST
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if confidence(middle * logits) < wanted else (low, middle)
    return middle


def confidence(logits: Float[Tensor, "K C"]) -> float:
    """Return the mean probability of the predicted class, in (0, 1]."""
    return logits.double().softmax(dim=1).amax(dim=1).mean().item()
