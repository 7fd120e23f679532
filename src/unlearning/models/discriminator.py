"""The article's discriminator (A6) and its score (A14)."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unlearning.models.weights import load


class Discriminator(nn.Module):
    """Tells a network's outputs on retain images (real, 1) from those on forget images (fake, 0).

    MLP C -> 512 -> 256 -> 1 with ReLU between (A6). Returns a logit, N; the article's sigmoid at the
    end is applied for the score, and by the losses of the recipe `article`.
    """

    def __init__(self, class_count: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(class_count, 512),
            nn.ReLU(),
            nn.Linear(512, 256),
            nn.ReLU(),
            nn.Linear(256, 1),
        )

    def forward(self, outputs: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
        """Return one logit per row: above 0 it reads as "an image of a class that is kept"."""
        return self.layers(outputs.float()).squeeze(1)


def new_discriminator(class_count: int, seed: int) -> Discriminator:
    """Return a discriminator with fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Discriminator(class_count)


@torch.no_grad()
def scores(discriminator: Discriminator, logits: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
    """Return the discriminator's score of each output, in [0, 1]: the sigmoid of its logit (A14)."""
    return discriminator(logits).sigmoid()


def load_discriminator(path: Path | str) -> Discriminator:
    """Return the discriminator in eval mode. Raises: UserError as `weights.load`."""
    return load(Discriminator, path).eval()
