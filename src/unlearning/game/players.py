"""Who plays, with what, and how a game is watched: what both recipes share."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unlearning.data.dataset import Dataset, shuffled_batches
from unlearning.errors import UserError
from unlearning.hardware import Hardware
from unlearning.models import Discriminator, predict_logits
from unlearning.settings import GameParams

# Bounds of the warnings (A20), ours.
WON_OUTRIGHT = 0.98  # share of outputs that the discriminator tells apart in the last epoch
COLLAPSED = 1.5  # effective number of classes predicted for retain images


@dataclass(frozen=True)
class Players:
    """The three networks of the game; the feature extractor is fixed during it (A5)."""

    generator: nn.Module
    feature_extractor: nn.Module
    discriminator: Discriminator


@dataclass(frozen=True)
class Outcome:
    """What a game leaves behind.

    `epochs`: one row of monitored values per epoch. `image_passes`: images sent forward and backward
    through the generator. `extractor_passes`: images sent forward through the frozen extractor.
    """

    generator: nn.Module
    discriminator: Discriminator
    epochs: list[dict[str, int | float]]
    image_passes: int
    extractor_passes: int


# Forget and retain indices; "_": their numbers may differ, and from step to step.
Pair = tuple[Int[Tensor, "_"], Int[Tensor, "_"]]


def plan(data: Dataset, params: GameParams) -> list[list[Pair]]:
    """Return per epoch the batches of forget indices, each paired with retain indices (A10).

    An epoch is one pass over the forget images, so that the cost follows the request and not the data
    set; retain images come in random order and only start again once all have had their turn.
    """
    generator = torch.Generator().manual_seed(params.seed)
    forget = data.select(role="forget", subset="train")
    retain = _endless(data.select(role="retain", subset="train"), params.batch_size, generator)
    return [
        [(batch, next(retain)) for batch in shuffled_batches(forget, params.batch_size, generator)]
        for _ in range(params.epochs)
    ]


def _endless(
    indices: Int[Tensor, " K"], size: int, generator: torch.Generator
) -> Iterator[Int[Tensor, "_"]]:
    while True:
        yield from shuffled_batches(indices, size, generator)


class FrozenOutputs:
    """The frozen feature extractor's logits of the images that a game touches, computed once."""

    def __init__(self, indices: Int[Tensor, " K"], logits: Float[Tensor, "K C"]):
        self._indices = indices
        self._logits = logits

    def __getitem__(self, wanted: Int[Tensor, " N"]) -> Float[Tensor, "N C"]:
        """Return the logits of these images, in this order."""
        return self._logits[torch.searchsorted(self._indices, wanted).to(self._logits.device)]

    def __len__(self) -> int:
        return len(self._indices)


def frozen_outputs(
    extractor: nn.Module, data: Dataset, epochs: list[list[Pair]], hardware: Hardware
) -> FrozenOutputs:
    """Return the extractor's outputs of every image in the plan; images outside it are not touched."""
    touched = torch.cat([torch.cat(pair) for pairs in epochs for pair in pairs]).unique()
    return FrozenOutputs(
        touched, predict_logits(extractor, data, touched, hardware).to(hardware.device)
    )


class Optimizers:
    """One Adam and one cosine schedule per player (A11, A12), lowered to 0 in `lowerings` calls."""

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, params: GameParams, lowerings: int
    ):
        self.generator, self.discriminator = (
            torch.optim.Adam(
                player.parameters(),
                params.lr,
                (params.beta1, params.beta2),
                weight_decay=params.weight_decay,
            )
            for player in (generator, discriminator)
        )
        self._schedules = [
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, lowerings)
            for optimizer in (self.generator, self.discriminator)
        ]

    def lower(self) -> None:
        """Lower both learning rates a little."""
        for schedule in self._schedules:
            schedule.step()


class Monitor:
    """Collects one epoch's values without waiting for the device, and sums them up (A13, A20)."""

    def __init__(self, class_count: int):
        self._class_count = class_count
        self._losses: dict[str, list[Tensor]] = {}
        self._hits: list[Tensor] = []
        self._predictions: list[Tensor] = []

    def losses(self, **values: Tensor) -> None:
        """Note the losses of one step."""
        for name, value in values.items():
            self._losses.setdefault(name, []).append(value.detach())

    def discrimination(self, real: Float[Tensor, " N"], fake: Float[Tensor, " M"]) -> None:
        """Note the discriminator's logits: it is right where real is above 0 and fake is not."""
        self._hits.append(torch.cat([real.detach() > 0, fake.detach() <= 0]))

    def predictions(self, retain_logits: Float[Tensor, "N C"]) -> None:
        """Note the classes that the generator gives to retain images."""
        self._predictions.append(retain_logits.detach().argmax(dim=1))

    def row(self, epoch: int) -> dict[str, int | float]:
        """Return the epoch's means, the discriminator's accuracy and the number of classes predicted.

        Raises: UserError if a loss is not finite.
        """
        means = {name: torch.stack(values).mean().item() for name, values in self._losses.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                raise UserError(
                    f"params.yaml: with this lr, {name} of epoch {epoch} is {value}: lower lr"
                )
        return {
            "epoch": epoch,
            **means,
            "discriminator_accuracy": torch.cat(self._hits).double().mean().item(),
            "effective_classes": effective_classes(torch.cat(self._predictions), self._class_count),
        }


def effective_classes(predictions: Int[Tensor, " N"], class_count: int) -> float:
    """Return exp(entropy) of the predicted classes' shares, in [1, class_count].

    1: every input is given the same class, which is mode collapse; 9 if nine classes are predicted
    equally often. Predictions must not be empty.
    """
    shares = torch.bincount(predictions, minlength=class_count).double() / len(predictions)
    return torch.special.entr(shares).sum().exp().item()


def warnings(last: dict[str, int | float]) -> list[str]:
    """Return in plain words what went wrong by the last epoch; empty if nothing did."""
    found = []
    if last["discriminator_accuracy"] >= WON_OUTRIGHT:
        found.append(
            f"the discriminator won outright: it tells {last['discriminator_accuracy']:.0%} of the "
            "outputs apart, so the generator still treats forget images in a way of their own"
        )
    if last["effective_classes"] < COLLAPSED:
        found.append(
            f"the generator collapsed: it predicts {last['effective_classes']:.1f} classes for retain images"
        )
    return found
