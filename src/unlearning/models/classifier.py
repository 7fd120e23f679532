"""A classifier as the pipeline sees it: a library's network, its normalisation, and where its layers are."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unlearning.models.anatomy import Anatomy, per_image, watched
from unlearning.models.layers import LOGITS

# Of red, green and blue over ImageNet, the field's usual normalisation.
# Source: torchvision's documentation of its pretrained weights.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Red, green, blue: luma of ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Architecture:
    """What it takes to build a network; stands in the weights' file. One mean and std: it takes grey images."""

    name: str = "resnet18"
    stem: Literal["standard", "small"] = "standard"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        """Check what may stand in a stranger's file. Raises: ValueError."""
        finite = all(map(math.isfinite, self.mean + self.std))
        if not len(self.mean) == len(self.std) in (1, 3) or not finite or min(self.std) <= 0:
            raise ValueError("mean and std are not of one or three channels, or std is not above 0")


class Classifier(nn.Module):
    """A network that ends in a linear layer. It takes images as they are, in [0, 1], and returns logits."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, architecture: Architecture, image_size: int, anatomy: Anatomy
    ):
        super().__init__()
        self.network = network
        self.architecture = architecture
        self.image_size = image_size
        self.anatomy = anatomy
        for name in ("mean", "std"):
            values = torch.tensor(getattr(architecture, name))[:, None, None]
            self.register_buffer(name, values, persistent=False)

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N C"]:
        """Return the logits; grey is the luma of the colours."""
        if len(self.mean) == 1:
            luma = torch.tensor(LUMA, device=images.device)[:, None, None]
            images = (images * luma).sum(dim=1, keepdim=True)
        return self.network((images - self.mean) / self.std)

    @property
    def head(self) -> nn.Linear:
        """Return the last layer, which makes logits of features."""
        found = self.network.get_submodule(self.anatomy.head)
        assert isinstance(found, nn.Linear)
        return found

    @property
    def learned(self) -> list[nn.Module]:
        """Return the parts above the stem, from the input on; the last layer is one."""
        return [self.network.get_submodule(each) for each in self.anatomy.learned]

    def parts_above(self, layer: str) -> list[nn.Module]:
        """Return the parts above this layer (layer 1 to 3), from the input on; the last layer is one."""
        above, name = self.anatomy.learned, self.anatomy.layers[layer]
        start = above.index(name) + 1 if name in above else 0
        return [self.network.get_submodule(each) for each in above[start:]]

    def look(
        self, images: Float[Tensor, "N 3 H W"], layers: Iterable[str]
    ) -> dict[str, Float[Tensor, "N _"]]:
        """Return each of these layers' mean over the image, and the logits, by name, in single precision."""
        with watched(self.network, self.anatomy, layers) as seen:
            logits = self(images)
        return {layer: per_image(values) for layer, values in seen.items()} | {
            LOGITS: logits.float()
        }
