"""The steps of a recipe that keeps classes by retain images: what is shown, optimiser, curve, states."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unlearning.base.progress import bar
from unlearning.data.dataset import Dataset, crop_and_flip, endless_batches, scaled
from unlearning.methods.shared.cost import LEAST_STEPS
from unlearning.methods.shared.game import Monitor, Run, adam
from unlearning.models.classifier import Classifier
from unlearning.models.head import edit_head
from unlearning.models.train import one_cycle, require_finite
from unlearning.running.hardware import Hardware
from unlearning.running.resume import Parts
from unlearning.settings.game import GameParams

ROUNDS = 10  # rows of the curve, and places where a killed game goes on
NOBODY = torch.empty(0, dtype=torch.long)


@dataclass(frozen=True)
class Step:
    """The images of one step: `retain` as indices, `besides` as the recipe counts what it shows besides."""

    retain: Int[Tensor, " R"]
    besides: Int[Tensor, " K"]


@dataclass(frozen=True)
class Lost:
    """What one step loses in all, over its retain images, and what the generator answers to these."""

    all: Float[Tensor, ""]
    retain: Float[Tensor, ""]
    retain_logits: Float[Tensor, "R C"]


# Of a step whose retain images were cropped and flipped; other losses are noted in the monitor.
Objective = Callable[[Step, Float[Tensor, "R 3 H W"], Monitor], Lost]


def learn(generator: Classifier, parts: Iterable[nn.Module]) -> list[nn.Module]:
    """Return the parts, whose weights alone learn from now on."""
    learned = list(parts)
    generator.requires_grad_(False)
    for part in learned:
        part.requires_grad_()
    return learned


def affordable(budget: int | float, of_step: float) -> int:
    """Return how many steps a budget of floating-point operations pays for, 24 at least."""
    return max(LEAST_STEPS, int(budget / of_step))


def retain_batches(
    data: Dataset, params: GameParams, draws: torch.Generator
) -> Iterator[Int[Tensor, " R"]]:
    """Yield batches of retain images to train on in random order, each again once all have had their turn.

    At least 2: the generator normalises each batch by its own variance.
    """
    retain = data.select(role="retain", subset="train")
    return endless_batches(retain, params.batch_size, draws, least=2)


def by_labels(
    generator: Classifier,
    labels: Int[Tensor, " R"],
    images: Float[Tensor, "R 3 H W"],
    hardware: Hardware,
) -> Lost:
    """Return the cross-entropy of these images' labels, in nats."""
    with hardware.autocast():
        logits = generator(images).float()
    loss = F.cross_entropy(logits, labels.to(hardware.device))
    return Lost(loss, loss, logits)


def train(
    generator: Classifier,
    learned: Sequence[nn.Module],
    steps: Sequence[Step],
    objective: Objective,
    data: Dataset,
    params: GameParams,
    run: Run,
    others: Parts,
) -> Classifier:
    """Return the generator after the steps, outputs of forgotten classes retired, in eval mode on the CPU.

    The steps are taken in up to 10 rounds, by Adam and one cycle of the learning rate; see `methods`.

    The learned parts normalise by the batch, all others by the statistics that they have. `others`: what else
    has a state. Left in `run`: the curve, and how many images passed. Raises: UserError when a loss, or at the
    end a weight, is no longer finite.
    """
    device = run.hardware.device
    optimizer = adam(generator, params)
    schedule = one_cycle(optimizer, len(steps))
    draws = torch.Generator().manual_seed(run.seed)
    parts: Parts = {
        "generator": generator,
        "optimizer": optimizer,
        "schedule": schedule,
        **others,
    }
    finished = run.restore(parts, draws)
    retain_images = len(data.select(role="retain", subset="train"))
    ends = [len(steps) * number // ROUNDS for number in range(ROUNDS + 1)]
    passed = list(accumulate((len(step.retain) for step in steps), initial=0))
    plan = [steps[start:end] for start, end in pairwise(ends)]
    for number, chunk in enumerate(
        bar(plan[finished:], ROUNDS, "rounds of the game", finished), start=finished + 1
    ):
        monitor = Monitor(len(data.classes))
        for step in chunk:
            pixels = data.pixels(step.retain).to(device)
            images = scaled(crop_and_flip(pixels, draws), device)
            generator.eval()
            for part in learned:
                part.train()
            lost = objective(step, images, monitor)
            optimizer.zero_grad()
            lost.all.backward()
            optimizer.step()
            schedule.step()
            monitor.losses(retain_loss=lost.retain)
            monitor.predictions(lost.retain_logits)
        run.add_row(monitor.row(round(passed[ends[number]] / retain_images, 2)))
        run.save(number, parts, draws)
    require_finite(generator, "lr", params.lr)
    run.image_passes = sum(len(step.retain) + len(step.besides) for step in steps)
    return edit_head(generator.requires_grad_().eval().cpu(), data.request.retired(data.classes))
