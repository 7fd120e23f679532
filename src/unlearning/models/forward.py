"""The one loop that runs a network over images, and the accuracy of what comes out."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unlearning.data.dataset import Dataset, scaled
from unlearning.models.classifier import Classifier
from unlearning.models.layers import LOGITS
from unlearning.running.hardware import Hardware

BATCH_SIZE, OF_PIXELS = 128, 224  # images of up to so many pixels a side: of larger ones fewer


@torch.no_grad()
def forward(
    model: Classifier,
    data: Dataset,
    indices: Int[Tensor, " K"],
    hardware: Hardware,
    layers: Sequence[str] = (),
) -> dict[str, Float[Tensor, "K _"]]:
    """Return the logits of these images and the mean of these layers over each, fp32 on the CPU.

    The model is moved to the hardware and otherwise left as it was; all its parts take its own mode.
    """
    training = model.training
    model.eval().to(hardware.device)
    parts: dict[str, list[Tensor]] = {name: [] for name in (*layers, LOGITS)}
    size = max(1, min(BATCH_SIZE, BATCH_SIZE * OF_PIXELS**2 // data.image_size**2))
    # Without images there is still one batch, empty, which not every network takes.
    for batch in indices.split(size) if len(indices) else ():
        with hardware.autocast():
            found = model.look(scaled(data.pixels(batch), hardware.device), layers)
        for name, values in found.items():
            parts[name].append(values.cpu())
    model.train(training)
    return {
        name: torch.cat(values) if values else torch.empty(0, len(data.classes))
        for name, values in parts.items()
    }


def predict_logits(
    model: Classifier, data: Dataset, indices: Int[Tensor, " K"], hardware: Hardware
) -> Float[Tensor, "K C"]:
    """Return the logits of these images alone; see `forward`."""
    return forward(model, data, indices, hardware)[LOGITS]


def accuracy(logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"]) -> float:
    """Return the fraction of images whose largest logit is the label's; images must not be empty."""
    return (logits.argmax(dim=1) == labels).double().mean().item()
