"""A baseline, DELETE: the original's own answers without the class to forget are what the model must learn.

To forget images it must answer as the original does once it may not name their class; to retain images,
which the source leaves out, as the original does once it may not name a class that is to go: without them
the kept classes suffer. The answers change, what the features remember is asked of nobody.

Source: decoupled distillation to erase, Zhou et al. 2025, arXiv:2503.23751. Length, optimiser and the last
edit are our game's, so that both can be compared at one cost.
"""

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unlearning.data.dataset import Dataset, endless_batches, scaled
from unlearning.methods.shared.flops import forward_flops, training_flops
from unlearning.methods.shared.game import Monitor, Players, Run
from unlearning.methods.shared.steps import Lost, Step, affordable, learn, retain_batches, train
from unlearning.models.classifier import Classifier
from unlearning.models.discriminator import new_discriminator
from unlearning.settings.game import GameParams

FORGET_SHARE = 4  # of a batch of retain images: how many forget images it shows besides


def init_players(original: Classifier, seed: int, noise: float) -> Players:
    """Return the original as generator; the discriminator is not used, nor is `noise`."""
    return Players(
        copy.deepcopy(original),
        copy.deepcopy(original),
        new_discriminator(original.head.out_features, seed),
    )


def unlearn(original: Classifier, data: Dataset, params: GameParams, run: Run) -> Classifier:
    """Return the generator after it was distilled on the original's answers without the class; see `methods`.

    All its layers learn. Raises: UserError when a loss, or at the end a weight, is no longer finite.
    """
    hardware = run.hardware
    teacher = copy.deepcopy(original).to(hardware.device).eval()
    generator = copy.deepcopy(run.players.generator).to(hardware.device)
    learned = learn(generator, [generator.network])
    retired = data.request.retired(data.classes)
    shown = params.batch_size + max(1, params.batch_size // FORGET_SHARE)
    of_step = shown * (training_flops(generator) + forward_flops(teacher))
    steps = plan(data, params, run.seed, affordable(run.budget, of_step))

    def objective(step: Step, images: Float[Tensor, "R 3 H W"], monitor: Monitor) -> Lost:
        asked = torch.cat([step.retain, step.besides])
        forget = scaled(data.pixels(step.besides), hardware.device)
        images = torch.cat([images, forget]).contiguous(memory_format=torch.channels_last)
        with hardware.autocast():
            with torch.no_grad():
                answers = teacher(images).float()
            logits = generator(images).float()
        is_forget = torch.arange(len(asked)) >= len(step.retain)
        targets = without_classes(answers, data.labels[asked], is_forget, retired)
        losses = F.cross_entropy(logits, targets.softmax(dim=1), reduction="none")
        retain_loss, forget_loss = losses.split([len(step.retain), len(step.besides)])
        monitor.losses(forget_loss=forget_loss.mean())
        return Lost(losses.mean(), retain_loss.mean(), logits[: len(step.retain)])

    return train(generator, learned, steps, objective, data, params, run, {})


def plan(data: Dataset, params: GameParams, seed: int, count: int) -> list[Step]:
    """Return so many steps: retain images, and forget images that were trained on besides, as indices."""
    draws = torch.Generator().manual_seed(seed)
    retain = retain_batches(data, params, draws)
    forget = endless_batches(
        data.select(role="forget", subset="train"),
        max(1, params.batch_size // FORGET_SHARE),
        draws,
    )
    return [Step(next(retain), next(forget)) for _ in range(count)]


def without_classes(
    logits: Float[Tensor, "N C"],
    labels: Int[Tensor, " N"],
    is_forget: Bool[Tensor, " N"],
    retired: list[int],
) -> Float[Tensor, "N C"]:
    """Return the logits with the retired classes' and each forget image's own at minus infinity."""
    own = F.one_hot(labels, logits.shape[1]).bool() & is_forget[:, None]
    own[:, retired] = True
    return logits.masked_fill(own.to(logits.device), -torch.inf)
