"""What the frozen original makes of images: its outputs, the features to keep, and a middle layer; and which
retain images are looked at for what the kept classes have in common.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from unlearning.data.dataset import Dataset, normalised
from unlearning.hardware import Hardware

PROBED, FEATURES, HEAD = "layer2", "avgpool", "fc"
PROBED_CELLS = 2  # the probed layer is averaged over 2 x 2 parts of the image
PROBED_PER_CLASS = 64  # retain images that the probe and the features' targets learn from


@dataclass(frozen=True)
class Knowledge:
    """What the frozen original makes of some images, in ascending order of `indices`.

    `logits`: N x C. `features`: N x D, of the penultimate layer. `middle`: N x E, of the probed layer.
    `head`: its last layer, to be asked about other features.
    """

    indices: Int[Tensor, " N"]
    logits: Float[Tensor, "N C"]
    features: Float[Tensor, "N D"]
    middle: Float[Tensor, "N E"]
    head: nn.Module

    def places(self, wanted: Int[Tensor, " K"]) -> Int[Tensor, " K"]:
        """Return the rows of these images, in this order."""
        return torch.searchsorted(self.indices, wanted).to(self.logits.device)


@torch.no_grad()
def consult(
    original: nn.Module,
    data: Dataset,
    indices: Int[Tensor, " N"],
    hardware: Hardware,
    batch_size: int = 128,
) -> Knowledge:
    """Return what the original makes of these images, one forward pass each. It is moved to the hardware."""
    training = original.training
    extractor = create_feature_extractor(original, return_nodes=[PROBED, FEATURES, HEAD])
    extractor.eval().to(hardware.device)
    parts: dict[str, list[Tensor]] = {PROBED: [], FEATURES: [], HEAD: []}
    indices = indices.sort().values
    for batch in indices.split(batch_size):
        with hardware.autocast():
            found = extractor(normalised(data.pixels(batch), hardware.device))
        pooled = F.adaptive_avg_pool2d(found[PROBED].float(), PROBED_CELLS)
        parts[PROBED].append(pooled.flatten(1))
        parts[FEATURES].append(found[FEATURES].float().flatten(1))
        parts[HEAD].append(found[HEAD].float())
    original.train(training)
    return Knowledge(
        indices,
        torch.cat(parts[HEAD]),
        torch.cat(parts[FEATURES]),
        torch.cat(parts[PROBED]),
        original.get_submodule(HEAD),
    )


def probed_images(data: Dataset, seed: int) -> Int[Tensor, " K"]:
    """Return up to 64 retain training images per class, drawn by the seed."""
    retain = data.select(role="retain", subset="train")
    generator = torch.Generator().manual_seed(seed)
    shuffled = retain[torch.randperm(len(retain), generator=generator)]
    labels = data.labels[shuffled]
    return torch.cat([shuffled[labels == label][:PROBED_PER_CLASS] for label in labels.unique()])
