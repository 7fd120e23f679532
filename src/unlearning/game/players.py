"""Who plays, with what, and how a game is watched: what both recipes share."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unlearning.data.dataset import Dataset, shuffled_batches
from unlearning.errors import UserError
from unlearning.models import Discriminator
from unlearning.settings import GameParams
from unlearning.words import GameWarning

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

    `epochs`: rows of monitored values, the last of each epoch over the whole of it. `image_passes`:
    images sent forward and backward through the generator. `extractor_passes`: images sent forward
    through the frozen extractor.
    """

    generator: nn.Module
    discriminator: Discriminator
    epochs: list[dict[str, int | float]]
    image_passes: int
    extractor_passes: int


# Forget and retain indices; "_": their numbers may differ, and from step to step.
Pair = tuple[Int[Tensor, "_"], Int[Tensor, "_"]]


def plan(
    data: Dataset, params: GameParams, most: int | None = None, least: int = 1
) -> list[list[Pair]]:
    """Return per epoch the batches of forget indices, each paired with retain indices (A10).

    An epoch is one pass over the forget images, so that the cost follows the request and not the data
    set; retain images come in random order and only start again once all have had their turn. Of more
    than `most` forget images, each epoch takes so many, drawn anew.
    """
    generator = torch.Generator().manual_seed(params.seed)
    forget = data.select(role="forget", subset="train")
    retain = _endless(data.select(role="retain", subset="train"), params.batch_size, generator)
    epochs = []
    for _ in range(params.epochs):
        chosen = forget
        if most is not None and len(forget) > most:
            chosen = forget[torch.randperm(len(forget), generator=generator)[:most]]
        batches = shuffled_batches(chosen, params.batch_size, generator, least)
        epochs.append([(batch, next(retain)) for batch in batches])
    return epochs


def touched(epochs: list[list[Pair]]) -> Int[Tensor, " N"]:
    """Return the indices of all images in a plan, each once, in order."""
    return torch.cat([torch.cat(pair) for pairs in epochs for pair in pairs]).unique()


def _endless(
    indices: Int[Tensor, " K"], size: int, generator: torch.Generator
) -> Iterator[Int[Tensor, "_"]]:
    while True:
        yield from shuffled_batches(indices, size, generator)


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

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes."""
        return {str(number): part.state_dict() for number, part in enumerate(self._parts())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        for number, part in enumerate(self._parts()):
            part.load_state_dict(state_dict[str(number)])

    def _parts(self) -> list[torch.optim.Optimizer | torch.optim.lr_scheduler.LRScheduler]:
        return [self.generator, self.discriminator, *self._schedules]


class Monitor:
    """Collects one epoch's values without waiting for the device, and sums them up (A13, A20)."""

    def __init__(self, class_count: int):
        self._class_count = class_count
        self._losses: dict[str, list[Tensor]] = {}
        self._hits: list[Tensor] = []
        self._predictions: list[Tensor] = []
        self._forget_predictions: list[Tensor] = []
        self._forget_features: list[Tensor] = []

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

    def forget_images(self, logits: Float[Tensor, "N C"], features: Float[Tensor, "N D"]) -> None:
        """Note what the generator makes of forget images."""
        self._forget_predictions.append(logits.detach().argmax(dim=1))
        self._forget_features.append(features.detach())

    def row(self, epoch: int | float) -> dict[str, int | float]:
        """Return the means since the epoch's start, the discriminator's accuracy and how varied outputs are.

        `epoch`: the number of those that are over; a part of one counts as a fraction.

        Raises: UserError if a loss is not finite.
        """
        means = {name: torch.stack(values).mean().item() for name, values in self._losses.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                raise UserError(
                    f"params.yaml: with this lr, {name} of epoch {math.ceil(epoch)} is {value}: lower lr"
                )
        row = {
            "epoch": epoch,
            **means,
            "generator_loss_swing": swing(torch.stack(self._losses["generator_loss"])),
            "discriminator_accuracy": torch.cat(self._hits).double().mean().item(),
            "effective_classes": effective_classes(torch.cat(self._predictions), self._class_count),
        }
        if self._forget_predictions:
            predicted = torch.cat(self._forget_predictions)
            row["forget_effective_classes"] = effective_classes(predicted, self._class_count)
            row["forget_effective_rank"] = effective_rank(torch.cat(self._forget_features))
        return row


def swing(values: Float[Tensor, " N"]) -> float:
    """Return the mean absolute change from one value to the next, in their unit; 0 if there is only one.

    A game that goes round in circles keeps a large one to its end (A20).
    """
    return values.double().diff().abs().mean().item() if len(values) > 1 else 0.0


def effective_classes(predictions: Int[Tensor, " N"], class_count: int) -> float:
    """Return exp(entropy) of the predicted classes' shares, in [1, class_count].

    1: every input is given the same class, which is mode collapse; 9 if nine classes are predicted
    equally often. Predictions must not be empty.
    """
    shares = torch.bincount(predictions, minlength=class_count).double() / len(predictions)
    return torch.special.entr(shares).sum().exp().item()


def effective_rank(features: Float[Tensor, "N D"]) -> float:
    """Return exp(entropy) of the centred features' singular values, in [1, min(N, D)]; 1 if all are equal.

    Low: all images share few directions, which is the collapse of a representation.
    Source: Roy & Vetterli 2007, "The Effective Rank", definition 1.
    """
    values = torch.linalg.svdvals((features - features.mean(dim=0)).double())
    # All images alike: what is left is rounding.
    if values.sum() <= 1e-9 * features.double().norm():
        return 1.0
    return torch.special.entr(values / values.sum()).sum().exp().item()


def warning(last: dict[str, int | float]) -> GameWarning:
    """Return what went wrong by the last epoch, if anything did."""
    won = last["discriminator_accuracy"] >= WON_OUTRIGHT
    collapsed = last["effective_classes"] < COLLAPSED
    if won and collapsed:
        return GameWarning.WON_AND_COLLAPSED
    return GameWarning.WON if won else GameWarning.COLLAPSED if collapsed else GameWarning.NONE
