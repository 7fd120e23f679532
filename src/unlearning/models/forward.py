"""The one loop that runs a network over images, and the accuracy of what comes out."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unlearning.base.hardware import Hardware
from unlearning.data.dataset import Dataset, normalised
from unlearning.models.anatomy import extractor
from unlearning.models.layers import LOGITS

BATCH_SIZE = 128


@torch.no_grad()
def forward(
    model: nn.Module,
    data: Dataset,
    indices: Int[Tensor, " K"],
    hardware: Hardware,
    cells: Mapping[str, int],
) -> dict[str, Float[Tensor, "K _"]]:
    """Return the logits of these images and the layers that `cells` names, fp32 on the CPU.

    A layer is averaged over n x n parts of the image, `cells` saying n: K x (channels n²). The model is moved
    to the hardware and otherwise left as it was, its mode included.
    """
    training = model.training
    # The extractor shares the model's weights, and traces it in both modes.
    network = (extractor(model, cells) if cells else model).eval().to(hardware.device)
    parts: dict[str, list[Tensor]] = {name: [] for name in (*cells, LOGITS)}
    for batch in indices.split(BATCH_SIZE):
        images = normalised(data.pixels(batch), hardware.device)
        with hardware.autocast():
            found = network(images) if cells else {LOGITS: network(images)}
        for name, values in found.items():
            parts[name].append(_pooled(values.float(), cells.get(name, 1)).cpu())
    model.train(training)
    return {
        name: torch.cat(values) if values else torch.empty(0, len(data.classes))
        for name, values in parts.items()
    }


def _pooled(values: Tensor, cells: int) -> Tensor:
    if values.dim() == 2:
        return values
    if cells == 1:
        return values.flatten(2).mean(dim=2)
    return F.adaptive_avg_pool2d(values, cells).flatten(1)


def predict_logits(
    model: nn.Module, data: Dataset, indices: Int[Tensor, " K"], hardware: Hardware
) -> Float[Tensor, "K C"]:
    """Return the logits of these images alone; see `forward`."""
    return forward(model, data, indices, hardware, {})[LOGITS]


def accuracy(logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"]) -> float:
    """Return the fraction of images whose largest logit is the label's; images must not be empty."""
    return (logits.argmax(dim=1) == labels).double().mean().item()
