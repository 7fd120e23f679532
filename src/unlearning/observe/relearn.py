"""How fast does the class come back? Fine-tuning with a few forget images, and with none at all."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from unlearning.base.sampling import spread_evenly
from unlearning.data.dataset import Dataset, endless_batches, scaled
from unlearning.models.classifier import Classifier
from unlearning.models.forward import predict_logits
from unlearning.observe.record import RelearningCurve
from unlearning.observe.schedule import (
    CHECK_EVERY,
    CHECK_RETAIN_ONLY_EVERY,
    CHECKED_IMAGES,
    FEW_IMAGES,
    FORGET_PER_STEP,
    LEARNING_RATE,
    PASSES_PER_STEP,
    RETAIN_ONLY,
    RETAIN_PER_STEP,
    STEPS,
    WITH_FORGET_IMAGES,
)
from unlearning.running.hardware import Hardware

SEED = 0


def few_forget_images(data: Dataset) -> Int[Tensor, " K"]:
    """Return up to 16 training images of the forget classes, as an attacker who found a few would have.

    As many of each class, or one more; of more than 16 classes one of each.
    """
    train = data.select(role="forget", subset="train")
    labels = data.forget_labels
    each, more = divmod(FEW_IMAGES, len(labels))
    chosen = []
    for number, label in enumerate(labels):
        of_class = train[data.labels[train] == label]
        chosen.append(of_class[spread_evenly(len(of_class), max(1, each + (number < more)))])
    return torch.cat(chosen)


def curves(
    model: Classifier, data: Dataset, back_at: float, hardware: Hardware
) -> dict[str, RelearningCurve]:
    """Return the curves of a model that is fine-tuned with a few forget images and with none."""
    few = few_forget_images(data)
    return {
        WITH_FORGET_IMAGES: relearn(model, data, few, back_at, hardware),
        RETAIN_ONLY: relearn(model, data, few[:0], back_at, hardware),
    }


def relearn(
    model: Classifier,
    data: Dataset,
    forget: Int[Tensor, " K"],
    back_at: float,
    hardware: Hardware,
) -> RelearningCurve:
    """Return the forget accuracy while a copy of the model is fine-tuned, until it is back or 256 passes.

    Each step takes up to 4 of the `forget` images and 12 retain images, or 16 of these if there are none;
    Adam without weight decay, lr 0.0001, the network's batch statistics frozen. All models of an audit see the
    same images in the same order. A step counts as 16 passes, also where there are so few images that it takes
    fewer. It ends at the first check at which the accuracy reaches `back_at`.
    """
    model = copy.deepcopy(model).to(hardware.device).eval()
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    generator = torch.Generator().manual_seed(SEED)
    retain = data.select(role="retain", subset="train")
    size, check_every = (
        (RETAIN_PER_STEP, CHECK_EVERY)
        if len(forget)
        else (PASSES_PER_STEP, CHECK_RETAIN_ONLY_EVERY)
    )
    retain_batches = endless_batches(retain, size, generator)
    forget_batches = endless_batches(forget, FORGET_PER_STEP, generator)
    tested = data.select(role="forget", subset="test")
    tested = tested[spread_evenly(len(tested), CHECKED_IMAGES)]

    def hits() -> np.ndarray:
        predicted = predict_logits(model, data, tested, hardware).argmax(dim=1)
        return (predicted == data.labels[tested]).double().numpy()

    passes, found = [0], [hits()]
    for step in range(1, STEPS + 1):
        if found[-1].mean() >= back_at:
            break
        batch = next(retain_batches)
        if len(forget):
            batch = torch.cat([batch, next(forget_batches)])
        model.eval()  # again: some networks keep their attention biases until their mode is set
        with hardware.autocast():
            logits = model(scaled(data.pixels(batch), hardware.device))
        loss = F.cross_entropy(logits.float(), data.labels[batch].to(hardware.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % check_every == 0:
            passes.append(step * PASSES_PER_STEP)
            found.append(hits())
    return RelearningCurve(tuple(passes), np.stack(found))
