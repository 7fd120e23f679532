"""Who plays, with what, and how a game is watched: what all recipes share."""

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unlearning.base.errors import UserError
from unlearning.base.progress import Report, silent
from unlearning.data.dataset import Labelling
from unlearning.methods.shared.flops import Work
from unlearning.methods.shared.words import GameWarning
from unlearning.models import weights
from unlearning.models.classifier import Classifier
from unlearning.models.discriminator import Discriminator, load_discriminator
from unlearning.running.hardware import Hardware
from unlearning.running.resume import NOTHING_KEPT, Checkpoint, Parts, Row, seed_epoch
from unlearning.settings.game import Adversary, GameParams

# Bounds of the warnings (A20), ours.
WON_OUTRIGHT = 0.98  # share of outputs that the discriminator tells apart in the last epoch
COLLAPSED = 1.5  # effective number of classes predicted for retain images


@dataclass(frozen=True)
class Players:
    """The three networks before the game; the feature extractor is fixed during it (A5)."""

    generator: Classifier
    feature_extractor: Classifier
    discriminator: Discriminator


def save_players(players: Players, labelling: Labelling, folder: Path | str, made_of: str) -> None:
    """Write the networks, a file each; `made_of`: the fingerprint of their inputs."""
    for name, network in vars(players).items():
        weights.save(network, labelling, Path(folder, f"{name}.safetensors"), made_of)


def load_players(folder: Path | str) -> Players:
    """Return what `save_players` wrote. Raises: UserError as `weights.load_classifier`."""
    return Players(
        weights.load_classifier(Path(folder, "generator.safetensors"))[0],
        weights.load_classifier(Path(folder, "feature_extractor.safetensors"))[0],
        load_discriminator(Path(folder, "discriminator.safetensors")),
    )


@dataclass
class Run:
    """What a method is given besides original, data and parameters, and what it leaves behind.

    `budget`: the floating-point operations that it may take, where its length is not fixed. `work` counts them
    while it is entered.

    Left behind: `rows` of monitored values, one of each round (of the article's game a round is an epoch);
    `discriminator` after the game, in eval mode, as it was where the recipe does not train it; `image_passes`,
    the images sent forward and backward through the generator.
    """

    players: Players
    seed: int
    hardware: Hardware
    report: Report = silent
    checkpoint: Checkpoint = NOTHING_KEPT
    work: Work = field(default_factory=Work)
    budget: int | float = 0
    rows: list[Row] = field(default_factory=list)
    discriminator: Discriminator = field(init=False)
    image_passes: int = 0

    def __post_init__(self) -> None:
        """Begin with the discriminator as it is."""
        self.discriminator = copy.deepcopy(self.players.discriminator).eval()

    def restore(
        self, parts: Parts, generator: torch.Generator | None = None, unit: str = "round"
    ) -> int:
        """Put the parts back to the last round kept, report the rows up to it, return its number.

        What dropout draws in the next one is seeded, as `save` does after each. `unit`: what a round is called.
        """
        finished, self.rows = self.checkpoint.restore({**parts, "work": self.work}, generator, unit)
        for row in self.rows:
            self.report(**row)
        seed_epoch(self.seed, finished + 1)
        return finished

    def add_row(self, row: Row) -> None:
        """Keep and report a row."""
        self.rows.append(row)
        self.report(**row)

    def save(self, number: int, parts: Parts, generator: torch.Generator | None = None) -> None:
        """Keep the state after so many rounds."""
        self.checkpoint.save(number, self.rows, {**parts, "work": self.work}, generator)
        seed_epoch(self.seed, number + 1)


def adam(player: nn.Module, params: GameParams) -> torch.optim.Adam:
    """Return an Adam of those of the player's weights that learn, with the article's knobs (A11)."""
    return torch.optim.Adam(
        [weight for weight in player.parameters() if weight.requires_grad],
        params.lr,
        (params.beta1, params.beta2),
        weight_decay=params.weight_decay,
        fused=True,
    )


class Monitor:
    """Collects the values of one row without waiting for the device, and sums them up (A13, A20)."""

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

    def row(self, epoch: int | float) -> dict[str, int | float]:
        """Return the means since the start, how varied outputs are, and how often a discriminator was right.

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
            "effective_classes": effective_classes(torch.cat(self._predictions), self._class_count),
        }
        if self._hits:
            row["discriminator_accuracy"] = torch.cat(self._hits).double().mean().item()
            row["generator_loss_swing"] = swing(torch.stack(self._losses["generator_loss"]))
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


def opponent(params: GameParams) -> Adversary:
    """Return whom the generator must deceive."""
    match params.recipe:
        case "article":
            return "discriminator"
        case "adversarial":
            return params.adversary
        case "delete" | "euk":
            return "none"
    assert_never(params.recipe)


def warning(last: dict[str, int | float], params: GameParams) -> GameWarning:
    """Return what went wrong by the last epoch, if anything did.

    A discriminator whom the generator did not have to deceive has won nothing.
    """
    won = (
        opponent(params) == "discriminator"
        and last.get("discriminator_accuracy", 0) >= WON_OUTRIGHT
    )
    collapsed = last.get("effective_classes", COLLAPSED) < COLLAPSED
    if won and collapsed:
        return GameWarning.WON_AND_COLLAPSED
    return GameWarning.WON if won else GameWarning.COLLAPSED if collapsed else GameWarning.NONE
