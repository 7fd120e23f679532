"""The game exactly as the article prints it (A4 to A12), so that anyone can see what it does.

Its faults are kept: the generator starts from random weights and is never trained to classify, no loss
touches retain images, the feature extractor is random too, and both losses apply a second sigmoid.
"""

import copy

import torch
from torch import nn

from unlearning.data.dataset import Dataset, normalised
from unlearning.game.players import Monitor, Optimizers, Outcome, Players, plan, touched
from unlearning.hardware import Hardware
from unlearning.losses import article_discriminator_loss, article_generator_loss
from unlearning.models import (
    new_classifier,
    new_discriminator,
    predict_logits,
    require_finite,
)
from unlearning.progress import Report, silent
from unlearning.resume import NOTHING_KEPT, Checkpoint, Parts
from unlearning.settings import GameParams


def init_players(original: nn.Module, class_count: int, seed: int) -> Players:
    """Return three networks with random weights; of the original only the number of classes counts."""
    return Players(
        generator=new_classifier(class_count, seed + 1),
        feature_extractor=new_classifier(class_count, seed + 2),
        discriminator=new_discriminator(class_count, seed),
    )


def play(
    players: Players,
    data: Dataset,
    params: GameParams,
    hardware: Hardware,
    report: Report = silent,
    checkpoint: Checkpoint = NOTHING_KEPT,
) -> Outcome:
    """Play the printed game on the training images; the caller's networks are left untouched.

    The weights, `adversary` and `forget_images` have no effect: the article has no such terms. With a
    `checkpoint` it goes on where that one ends.
    Raises: UserError when a loss, or at the end a weight, is no longer finite.
    """
    generator = copy.deepcopy(players.generator).to(hardware.device).train()
    discriminator = copy.deepcopy(players.discriminator).to(hardware.device).train()
    optimizers = Optimizers(generator, discriminator, params, lowerings=params.epochs)
    epochs = plan(data, params, least=2)  # the generator normalises each batch by its own variance
    seen = touched(epochs)
    # The extractor is frozen: its outputs are computed once per image.
    extracted = predict_logits(players.feature_extractor, data, seen, hardware).to(hardware.device)
    parts: Parts = {
        "generator": generator,
        "discriminator": discriminator,
        "optimizers": optimizers,
    }
    finished, rows = checkpoint.restore(parts)
    for row in rows:
        report(**row)

    for epoch, pairs in enumerate(epochs[finished:], start=finished + 1):
        monitor = Monitor(len(data.classes))
        for forget, retain in pairs:
            with hardware.autocast():
                outputs = generator(normalised(data.pixels(forget), hardware.device)).float()

            real = discriminator(extracted[torch.searchsorted(seen, retain)])
            fake = discriminator(outputs.detach())
            discriminator_loss = article_discriminator_loss(real, fake)
            optimizers.discriminator.zero_grad()
            discriminator_loss.backward()
            optimizers.discriminator.step()

            generator_loss = article_generator_loss(discriminator(outputs))
            optimizers.generator.zero_grad()
            generator_loss.backward()
            optimizers.generator.step()

            monitor.losses(discriminator_loss=discriminator_loss, generator_loss=generator_loss)
            monitor.discrimination(real, fake)
        # No retain image goes through the article's generator: it is asked once an epoch, to watch it.
        monitor.predictions(predict_logits(generator, data, pairs[-1][1], hardware))
        optimizers.lower()
        rows.append(monitor.row(epoch))
        report(**rows[-1])
        checkpoint.save(epoch, rows, parts)
    for player in (generator, discriminator):
        require_finite(player, "lr", params.lr)
    return Outcome(
        generator.eval().cpu(),
        discriminator.eval().cpu(),
        rows,
        image_passes=sum(len(forget) for pairs in epochs for forget, _ in pairs),
        extractor_passes=len(extracted),
    )
