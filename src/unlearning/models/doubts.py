"""Does a model that somebody brings answer in the right order, and was it trained on images normalised so?"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from unlearning.base.sampling import spread_evenly
from unlearning.data.dataset import Dataset
from unlearning.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Classifier
from unlearning.models.forward import accuracy, predict_logits
from unlearning.models.words import Doubt
from unlearning.running.hardware import Hardware

ASKED_IMAGES = 500
# Of accuracy, that another order or normalisation must gain to be worth a word: several standard errors.
GAIN = 0.1
# Three usual ones, and CIFAR-10's.
NORMALISATIONS = {
    "ImageNet's": (IMAGENET_MEAN, IMAGENET_STD),
    "one half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}


def about(
    model: Classifier,
    data: Dataset,
    indices: Int[Tensor, " K"],
    given: Sequence[str],
    hardware: Hardware,
) -> tuple[Doubt, str]:
    """Return what these images say against order or normalisation, and one line with what would fit better.

    `given`: the classes in the order of the outputs in the file, as far as they are known.
    """
    indices = indices[spread_evenly(len(indices), ASKED_IMAGES)]
    labels = data.labels[indices]
    logits = predict_logits(model, data, indices, hardware)
    right = accuracy(logits, labels)
    said = f"model.weights names the right class of {right:.0%} of validation images"

    # Fitted to every other image and asked of the rest: some order fits any few answers.
    order = best_order(logits[::2], labels[::2])
    as_given, ordered = (accuracy(each[1::2], labels[1::2]) for each in (logits, logits[:, order]))
    if ordered > as_given + GAIN:
        # What stands under one class's name answers to another class.
        belongs = {data.classes[place]: data.classes[label] for label, place in enumerate(order)}
        named = [belongs[name] for name in given or data.classes]
        return Doubt.ORDER, (
            f"{said}, but of {ordered:.0%} with its outputs in another order: "
            f"model.classes: [{', '.join(named)}]"
        )
    kept = model.mean.clone(), model.std.clone()
    tried = {}
    for name, (mean, std) in NORMALISATIONS.items():
        if len(mean) == len(model.mean):
            model.mean, model.std = (
                torch.tensor(each).view_as(kept[0]).to(kept[0]) for each in (mean, std)
            )
            tried[name] = accuracy(predict_logits(model, data, indices, hardware), labels)
    model.mean, model.std = kept
    best = max(tried, key=lambda name: tried[name], default=None)
    if best and tried[best] > right + GAIN:
        mean, std = NORMALISATIONS[best]
        return Doubt.NORMALISATION, (
            f"{said}, but of {tried[best]:.0%} with another normalisation, {best}: "
            f"model.mean: {list(mean)}, model.std: {list(std)}"
        )
    chance = 1 / len(data.classes)
    if right < chance + min(chance, GAIN):
        return Doubt.GUESS, (
            f"{said}, little more than a guess: are these the images and the classes that it was trained on?"
        )
    return Doubt.NONE, said


def best_order(logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"]) -> Int[np.ndarray, " C"]:
    """Return for each class the output that would answer to it, so that most answers were right."""
    count = logits.shape[1]
    hits = np.zeros((count, count))
    np.add.at(hits, (labels.numpy(), logits.argmax(dim=1).numpy()), 1)
    # Of equal ones the place that a class has.
    _, outputs = linear_sum_assignment(hits + 1e-6 * np.eye(count), maximize=True)
    return outputs
