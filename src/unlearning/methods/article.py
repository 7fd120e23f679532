"""The game exactly as the article prints it (A4 to A12), so that anyone can see what it does.

Its faults are kept: the generator starts from random weights and is never trained to classify, no loss
touches retain images, the feature extractor is random too, and both losses apply a second sigmoid.
"""

import copy

import torch
from jaxtyping import Int
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from unlearning.base.errors import UserError
from unlearning.base.progress import bar
from unlearning.data.dataset import Dataset, endless_batches, scaled, shuffled_batches
from unlearning.methods.shared.game import Monitor, Players, Run, adam
from unlearning.methods.shared.losses import article_discriminator_loss, article_generator_loss
from unlearning.models.build import anew
from unlearning.models.classifier import Classifier
from unlearning.models.discriminator import new_discriminator
from unlearning.models.forward import predict_logits
from unlearning.models.train import require_finite
from unlearning.running.resume import Parts
from unlearning.settings.game import GameParams

# Forget and retain indices; "_": their numbers may differ, and from step to step.
Pair = tuple[Int[Tensor, "_"], Int[Tensor, "_"]]


def init_players(original: Classifier, seed: int, noise: float) -> Players:
    """Return three networks with random weights: of the original and `noise` nothing is used."""
    return Players(
        generator=anew(original, "generator", seed),
        feature_extractor=anew(original, "feature extractor", seed),
        discriminator=new_discriminator(original.head.out_features, seed),
    )


def unlearn(original: Classifier, data: Dataset, params: GameParams, run: Run) -> Classifier:
    """Return the generator after the printed game on the training images; see `methods`.

    The original, `cost`, `noise`, `adversary` and `adversary_weight` have no effect: the article has no such
    terms. Raises: UserError when a loss, or at the end a weight, is no longer finite.
    """
    hardware = run.hardware
    generator = copy.deepcopy(run.players.generator).to(hardware.device).train()
    discriminator = copy.deepcopy(run.players.discriminator).to(hardware.device).train()
    optimizer, discriminator_optimizer = adam(generator, params), adam(discriminator, params)
    schedule, discriminator_schedule = (
        CosineAnnealingLR(each, params.epochs) for each in (optimizer, discriminator_optimizer)
    )
    epochs = plan(data, params, run.seed)
    seen = touched(epochs)
    # The extractor is frozen: its outputs are computed once per image.
    extracted = predict_logits(copy.deepcopy(run.players.feature_extractor), data, seen, hardware)
    extracted = extracted.to(hardware.device)
    parts: Parts = {
        "generator": generator,
        "discriminator": discriminator,
        "optimizer": optimizer,
        "schedule": schedule,
        "discriminator_optimizer": discriminator_optimizer,
        "discriminator_schedule": discriminator_schedule,
    }
    finished = run.restore(parts, unit="epoch")

    rounds = bar(epochs[finished:], len(epochs), "epochs of the game", finished)
    for epoch, pairs in enumerate(rounds, start=finished + 1):
        monitor = Monitor(len(data.classes))
        for forget, retain in pairs:
            with hardware.autocast():
                outputs = generator(scaled(data.pixels(forget), hardware.device)).float()

            real = discriminator(extracted[torch.searchsorted(seen, retain)])
            fake = discriminator(outputs.detach())
            discriminator_loss = article_discriminator_loss(real, fake)
            discriminator_optimizer.zero_grad()
            discriminator_loss.backward()
            discriminator_optimizer.step()

            generator_loss = article_generator_loss(discriminator(outputs))
            optimizer.zero_grad()
            generator_loss.backward()
            optimizer.step()

            monitor.losses(discriminator_loss=discriminator_loss, generator_loss=generator_loss)
            monitor.discrimination(real, fake)
        # No retain image goes through the article's generator: it is asked once an epoch, to watch it.
        monitor.predictions(predict_logits(generator, data, pairs[-1][1], hardware))
        schedule.step()
        discriminator_schedule.step()
        run.add_row(monitor.row(epoch))
        run.save(epoch, parts)
    for player in (generator, discriminator):
        require_finite(player, "lr", params.lr)
    run.discriminator = discriminator.eval().cpu()
    run.image_passes = sum(len(forget) for pairs in epochs for forget, _ in pairs)
    return generator.eval().cpu()


def plan(data: Dataset, params: GameParams, seed: int) -> list[list[Pair]]:
    """Return per epoch the batches of forget indices, each paired with retain indices (A10).

    An epoch is one pass over the forget images, so that the cost follows the request and not the data
    set; retain images come in random order and only start again once all have had their turn. A batch to
    forget has 2 images at least: the generator normalises each by its own variance. Raises: UserError if fewer
    are trained on.
    """
    generator = torch.Generator().manual_seed(seed)
    forget = data.select(role="forget", subset="train")
    if len(forget) < 2:
        raise UserError(
            "params.yaml: recipe is 'article', whose batch normalisation needs 2 or more images to forget "
            f"that are trained on, but there is {len(forget)}: ask for more, or take recipe adversarial"
        )
    retain = endless_batches(
        data.select(role="retain", subset="train"), params.batch_size, generator
    )
    epochs = []
    for _ in range(params.epochs):
        batches = shuffled_batches(forget, params.batch_size, generator, least=2)
        epochs.append([(batch, next(retain)) for batch in batches])
    return epochs


def touched(epochs: list[list[Pair]]) -> Int[Tensor, " N"]:
    """Return the indices of all images in a plan, each once, in order."""
    return torch.cat([torch.cat(pair) for pairs in epochs for pair in pairs]).unique()
