"""Our game: it starts from the trained original, and what is kept has a loss of its own.

The discriminator learns to tell the original's outputs on retain images (real) from the generator's on
forget images (fake), and returns a logit. The generator deceives it, and besides
- stays with the original on retain images (`retain_weight`), and
- gives forget images the original's own second thoughts: its distribution with the forget classes taken
  out (`teacher_weight`). Without this term the class is forgotten too, but its images are scattered
  over classes that a model retrained without it would not choose.

The feature extractor is the frozen original; its outputs are computed once per image. Batch
normalisation keeps the original's statistics: small batches, half of them of one class, would spoil them.
"""

import copy

import torch
from torch import nn

from unlearning.data.dataset import Dataset, normalised
from unlearning.game.players import Monitor, Optimizers, Outcome, Players, frozen_outputs, plan
from unlearning.hardware import Hardware
from unlearning.losses import discriminator_loss, distillation_kl, generator_loss, masked_teacher
from unlearning.models import new_discriminator
from unlearning.progress import Report, silent
from unlearning.settings import GameParams


def init_players(original: nn.Module, class_count: int, seed: int) -> Players:
    """Return generator and feature extractor as copies of the original, and a random discriminator."""
    return Players(
        copy.deepcopy(original), copy.deepcopy(original), new_discriminator(class_count, seed)
    )


def play(
    players: Players, data: Dataset, params: GameParams, hardware: Hardware, report: Report = silent
) -> Outcome:
    """Play the game on the training images; the caller's networks are left untouched.

    Raises: UserError in the first epoch in which a loss is no longer finite.
    """
    generator = copy.deepcopy(players.generator).to(hardware.device).eval()
    discriminator = copy.deepcopy(players.discriminator).to(hardware.device).train()
    epochs = plan(data, params)
    # Step by step, not epoch by epoch as the article: two or three epochs must end at rest too.
    optimizers = Optimizers(generator, discriminator, params, lowerings=sum(map(len, epochs)))
    original = frozen_outputs(players.feature_extractor, data, epochs, hardware)
    forget_labels = torch.tensor(data.forget_labels, device=hardware.device)
    rows = []
    image_passes = 0

    for epoch, pairs in enumerate(epochs, start=1):
        monitor = Monitor(len(data.classes))
        for forget, retain in pairs:
            together = torch.cat([retain, forget])
            with hardware.autocast():
                outputs = generator(normalised(data.pixels(together), hardware.device)).float()
            retain_logits, forget_logits = outputs.split([len(retain), len(forget)])

            real = discriminator(original[retain])
            fake = discriminator(forget_logits.detach())
            player_loss = discriminator_loss(real, fake)
            optimizers.discriminator.zero_grad()
            player_loss.backward()
            optimizers.discriminator.step()

            adversarial_loss = generator_loss(discriminator(forget_logits))
            retain_loss = distillation_kl(retain_logits, original[retain].log_softmax(dim=1))
            teacher_loss = distillation_kl(
                forget_logits, masked_teacher(original[forget], forget_labels)
            )
            loss = (
                adversarial_loss
                + params.retain_weight * retain_loss
                + params.teacher_weight * teacher_loss
            )
            optimizers.generator.zero_grad()
            loss.backward()
            optimizers.generator.step()

            image_passes += len(together)
            monitor.losses(
                discriminator_loss=player_loss,
                generator_loss=adversarial_loss,
                retain_loss=retain_loss,
                teacher_loss=teacher_loss,
            )
            monitor.discrimination(real, fake)
            monitor.predictions(retain_logits)
            optimizers.lower()
        rows.append(monitor.row(epoch))
        report(**rows[-1])
    return Outcome(
        generator.eval().cpu(), discriminator.eval().cpu(), rows, image_passes, len(original)
    )
