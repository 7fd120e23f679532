"""How fast does the class come back? Fine-tuning with a few forget images, and with none at all."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from unlearning.audit.estimates import Estimate, Measured, estimate
from unlearning.audit.observation import spread_evenly
from unlearning.data.dataset import Dataset, normalised, shuffled_batches
from unlearning.hardware import Hardware

FEW_IMAGES = 16
LEARNING_RATE = 1e-4
FORGET_PER_STEP, RETAIN_PER_STEP = 4, 12
STEPS = 16
PASSES_PER_STEP = FORGET_PER_STEP + RETAIN_PER_STEP
BUDGET = STEPS * PASSES_PER_STEP
# Steps between two checks of the curve: close where it is asked when the class is back.
CHECK_EVERY, CHECK_RETAIN_ONLY_EVERY = 2, 4
RESOLUTION = CHECK_EVERY * PASSES_PER_STEP
# The class counts as back at this share of the original's accuracy.
BACK_AT = 0.8
# The curve is read on at most this many forget test images.
CHECKED_IMAGES = 200
SEED = 0


@dataclass(frozen=True)
class Curve:
    """Which forget test images were recognised after so many image passes: `hits`, checks x images."""

    passes: tuple[int, ...]
    hits: np.ndarray

    @property
    def accuracies(self) -> np.ndarray:
        """Return the forget accuracy at each check."""
        return self.hits.mean(axis=1)

    def passes_until_back(self, accuracy: float) -> Measured:
        """Return the image passes at the first check with this accuracy, the whole budget if there is none.

        Not resampled: the curve is read at checks, whose distance is the figure's resolution.
        """
        reached = np.flatnonzero(self.accuracies >= accuracy)
        passes = float(self.passes[reached[0]] if len(reached) else BUDGET)
        return Estimate(passes, np.array([passes]))

    def best(self) -> Measured:
        """Return the highest forget accuracy of the curve, over resampled images."""
        return estimate(np.mean, self.hits[self.accuracies.argmax()])


def few_forget_images(data: Dataset) -> Int[Tensor, " K"]:
    """Return up to 16 training images of the forget classes, as an attacker who found a few would have."""
    train = data.select(role="forget", subset="train")
    labels = data.forget_labels
    chosen = []
    for label in labels:
        of_class = train[data.labels[train] == label]
        count = min(-(-FEW_IMAGES // len(labels)), len(of_class))
        chosen.append(of_class[spread_evenly(len(of_class), count)])
    return torch.cat(chosen)[:FEW_IMAGES]


def relearn(
    model: nn.Module,
    data: Dataset,
    forget: Int[Tensor, " K"],
    back_at: float,
    hardware: Hardware,
) -> Curve:
    """Return the forget accuracy while a copy of the model is fine-tuned, until it is back or 256 passes.

    Each step takes up to 4 of the `forget` images and 12 retain images, or 16 of these if there are none;
    Adam without weight decay, lr 0.0001, the network's batch statistics frozen. All models of an audit see the
    same images in the same order. It ends at the first check at which the accuracy reaches `back_at`.
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
    retain_batches = _endless(retain, size, generator)
    forget_batches = _endless(forget, FORGET_PER_STEP, generator)
    tested = data.select(role="forget", subset="test")
    tested = tested[spread_evenly(len(tested), min(len(tested), CHECKED_IMAGES))]
    passes, hits = [0], [_hits(model, data, tested, hardware)]

    for step in range(1, STEPS + 1):
        if hits[-1].mean() >= back_at:
            break
        batch = next(retain_batches)
        if len(forget):
            batch = torch.cat([batch, next(forget_batches)])
        with hardware.autocast():
            logits = model(normalised(data.pixels(batch), hardware.device))
        loss = F.cross_entropy(logits.float(), data.labels[batch].to(hardware.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % check_every == 0:
            passes.append(step * PASSES_PER_STEP)
            hits.append(_hits(model, data, tested, hardware))
    return Curve(tuple(passes), np.stack(hits))


def _endless(
    indices: Int[Tensor, " K"], size: int, generator: torch.Generator
) -> Iterator[Int[Tensor, "_"]]:
    while True:
        yield from shuffled_batches(indices, size, generator)


@torch.no_grad()
def _hits(
    model: nn.Module, data: Dataset, indices: Int[Tensor, " K"], hardware: Hardware
) -> np.ndarray:
    found = []
    for batch in indices.split(128):
        with hardware.autocast():
            logits = model(normalised(data.pixels(batch), hardware.device))
        found.append(logits.argmax(dim=1).cpu() == data.labels[batch])
    return torch.cat(found).double().numpy()
