"""The classifier's own training: one plain recipe for the original and for every retrained model.

AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) under one cycle of the learning rate, crop and flip on
the uint8 batch. With a few thousand images and a few epochs it learns faster than SGD with Nesterov
momentum, and so do small batches: see docs/experiments.md.
"""

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unlearning.base.errors import UserError
from unlearning.base.progress import Report, ignore, meter, silent
from unlearning.data.dataset import (
    Dataset,
    batch_count,
    crop_and_flip,
    scaled,
    shuffled_batches,
)
from unlearning.models.classifier import Classifier
from unlearning.running.hardware import Hardware
from unlearning.running.resume import NOTHING_KEPT, Checkpoint, Parts, seed_epoch
from unlearning.running.world import ALONE, LEAST_IMAGES, World
from unlearning.settings.original import Training

WARM_UP = 0.1  # share of the training in which the learning rate rises


def train(
    model: Classifier,
    data: Dataset,
    indices: Int[Tensor, " K"],
    params: Training,
    seed: int,
    hardware: Hardware,
    report: Report = silent,
    checkpoint: Checkpoint = NOTHING_KEPT,
    world: World = ALONE,
) -> Classifier:
    """Return the new model, trained on these images, in eval mode on the CPU.

    It has one output per class of `data`, whichever classes `indices` hold: logits of models that never
    saw a class compare with those of models that did. With a `checkpoint` it goes on where that one ends.
    In a `world` of several processes each calls this, and has the same model in the end. `seed`: of the order
    of the images, of crops and flips, and in each epoch and process of what dropout draws.
    Raises: UserError when the loss or the weights are no longer finite.
    """
    model = model.to(hardware.device).train()
    network = world.network(model)
    generator = torch.Generator().manual_seed(seed)
    least = LEAST_IMAGES * world.size
    steps = params.epochs * batch_count(len(indices), params.batch_size, least)
    optimizer = torch.optim.AdamW(
        model.parameters(), params.lr, weight_decay=params.weight_decay, fused=True
    )
    schedule = one_cycle(optimizer, steps)
    parts: Parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    finished, rows = checkpoint.restore(parts, generator)
    if not world.is_first:
        report, checkpoint = silent, NOTHING_KEPT
    for row in rows:
        report(**row)
    total, done = params.epochs * len(indices), finished * len(indices)
    told = meter(total, "images") if world.is_first else nullcontext(ignore)
    with told as advance:
        advance(done, earlier=True)
        for epoch in range(finished + 1, params.epochs + 1):
            seed_epoch(seed, epoch, world.rank)
            losses = []
            for batch in shuffled_batches(indices, params.batch_size, generator, least):
                part = world.share(len(batch))
                own = batch[part]
                pixels = data.pixels(own).to(hardware.device)
                pixels = crop_and_flip(pixels, generator, len(batch), part)
                images = scaled(pixels, hardware.device)
                with hardware.autocast():
                    logits = network(images)
                loss = F.cross_entropy(logits.float(), data.labels[own].to(hardware.device))
                if world.size > 1:  # shares may differ by one image
                    loss = loss * (len(own) * world.size / len(batch))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.detach())
                advance(len(batch))
            # One transfer per epoch, not per step.
            epoch_loss = world.mean(torch.stack(losses).mean()).item()
            if not math.isfinite(epoch_loss):
                raise UserError(
                    f"params.yaml: original.lr is {params.lr}, but the loss of epoch {epoch} "
                    f"is {epoch_loss}: lower it"
                )
            rows.append({"epoch": epoch, "loss": epoch_loss})
            report(**rows[-1])
            checkpoint.save(epoch, rows, parts, generator)
    model.eval()
    # A checkpoint may have left no epoch to train.
    last = scaled(data.pixels(indices[: params.batch_size]), hardware.device)
    require_finite(model, "original.lr", params.lr, last)
    return model.cpu()


def one_cycle(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Return the schedule that takes the learning rate through one cycle in so many steps; see `rate`."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate((step + 1) / (steps + 1)))


def rate(progress: float) -> float:
    """Return the learning rate as a fraction of its peak: up in a straight line for a tenth of the
    training, then down along a cosine to 0. `progress` in [0, 1].

    Not torch's OneCycleLR, which divides by zero when the warm-up is one step long.
    """
    if progress < WARM_UP:
        return progress / WARM_UP
    return (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


@torch.no_grad()
def require_finite(
    model: nn.Module,
    setting: str,
    learning_rate: float,
    images: Float[Tensor, "N 3 H W"] | None = None,
) -> None:
    """Check the weights and the statistics of batch normalisation after a training's last step.

    With `images` also what the model, in eval mode, makes of them: weights may be finite and too large to use.

    Raises: UserError that names the first tensor with a value that is not finite, and the `setting` of
    params.yaml that is the learning rate.
    """
    tensors = dict(model.state_dict())
    if images is not None:
        tensors["what it makes of its last images"] = model(images)
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(
                f"params.yaml: {setting} is {learning_rate}, and the training diverged: {name} is no "
                f"longer finite: lower {setting}"
            )
