"""Our game: it starts from the trained original, and what is kept has a loss of its own.

The generator, besides deceiving its adversary (`adversary_weight`),
- stays with the original's outputs on retain images (`retain_weight`),
- gives forget images the outputs that a model would which never saw the class, as far as the original
  lets us know (`teacher_weight`), and
- keeps the features of retain images where they were, and takes from those of forget images what sets their
  class apart (`feature_weight`; `shared/targets.py` says how both targets are found).

Adversaries: `best_response` looks at features; `discriminator`, the article's, at outputs. The first tells
the features of forget images from mixtures of kept classes' features in the shares of the teacher's answers:
what the features must not show is the class, not that an image is ambiguous. The discriminator learns to
tell the original's outputs on retain images (real) from the generator's on forget images (fake) whichever
is chosen: it keeps the article's score.

Batch normalisation keeps the original's statistics: small batches, half of them of one class, would spoil
them. After the game the forget classes' outputs are retired (`models/head.py`): what little they still say of
a class is enough for a membership attack. Forget accuracy is 0 from then on by construction, and proves
nothing alone.
"""

import copy

import torch
from torch import nn

from unlearning.base.resume import Parts
from unlearning.data.dataset import Dataset, normalised
from unlearning.methods.shared.best_response import advantage
from unlearning.methods.shared.game import Monitor, Players, Run, adam, plan, touched
from unlearning.methods.shared.losses import discriminator_loss, distillation_kl, generator_loss
from unlearning.methods.shared.targets import KeptFeatures, find_targets, freeze, probed_images
from unlearning.models.anatomy import extractor
from unlearning.models.discriminator import new_discriminator
from unlearning.models.head import edit_head
from unlearning.models.layers import FEATURES, LOGITS
from unlearning.models.train import require_finite
from unlearning.settings.game import GameParams

ROWS = 10  # of the curve at least, if there are so many steps: one epoch would be a single point
MIXTURES = 64  # that the best response is shown per step; they cost no pass


def init_players(original: nn.Module, class_count: int, seed: int) -> Players:
    """Return generator and feature extractor as copies of the original, and a random discriminator."""
    return Players(
        copy.deepcopy(original), copy.deepcopy(original), new_discriminator(class_count, seed)
    )


def unlearn(original: nn.Module, data: Dataset, params: GameParams, run: Run) -> nn.Module:
    """Return the generator after the game on the training images; see `methods`.

    Raises: UserError when a loss, or at the end a weight, is no longer finite.
    """
    hardware = run.hardware
    generator = copy.deepcopy(run.players.generator).to(hardware.device).eval()
    discriminator = copy.deepcopy(run.players.discriminator).to(hardware.device).train()
    epochs = plan(data, params, run.seed, params.forget_images)
    # Step by step, not epoch by epoch as the article: a single epoch must end at rest too.
    steps = sum(map(len, epochs))
    optimizer, schedule = adam(generator, params, steps)
    discriminator_optimizer, discriminator_schedule = adam(discriminator, params, steps)
    probed = probed_images(data, run.seed)
    seen = torch.cat([touched(epochs), probed]).unique()
    # The original is frozen: each image passes it once.
    frozen = freeze(copy.deepcopy(original), data, seen, hardware)
    forget_seen = seen[torch.from_numpy(data.roles[seen.numpy()] == "forget")]
    draws = torch.Generator().manual_seed(run.seed)
    kept = KeptFeatures(frozen, probed, data, draws)
    targets = find_targets(frozen, kept, forget_seen, probed, data)
    outputs_of = extractor(generator, [FEATURES])
    row_every = max(1, steps // ROWS)
    parts: Parts = {
        "generator": generator,
        "discriminator": discriminator,
        "optimizer": optimizer,
        "schedule": schedule,
        "discriminator_optimizer": discriminator_optimizer,
        "discriminator_schedule": discriminator_schedule,
    }
    finished = run.restore(parts, draws)

    for epoch, pairs in enumerate(epochs[finished:], start=finished + 1):
        monitor = Monitor(len(data.classes))
        for step, (forget, retain) in enumerate(pairs, start=1):
            # One pass of the generator for both kinds: R retain images first, then F to forget.
            together = torch.cat([retain, forget])
            with hardware.autocast():
                found = outputs_of(normalised(data.pixels(together), hardware.device))
            sizes = [len(retain), len(forget)]
            retain_logits, forget_logits = found[LOGITS].float().split(sizes)  # R x C, F x C
            retain_features, forget_features = found[FEATURES].float().flatten(1).split(sizes)
            # What the original made of the same images, and what is wanted of those to forget.
            retain_places = frozen.places(retain)
            forget_places = torch.searchsorted(forget_seen, forget).to(hardware.device)
            target = targets.log_probs[forget_places]  # F x C

            # The discriminator's step (A8): the original's outputs on R are real, the generator's on F fake.
            real = discriminator(frozen.logits[retain_places])
            fake = discriminator(forget_logits.detach())
            player_loss = discriminator_loss(real, fake)
            discriminator_optimizer.zero_grad()
            player_loss.backward()
            discriminator_optimizer.step()

            # The generator's step (A9, and ours): deceive the adversary, keep R, give F its targets.
            if params.adversary == "best_response":
                mixtures = kept.mixtures(targets.log_probs, MIXTURES)
                adversarial_loss = advantage(
                    kept.directions(forget_features), kept.directions(mixtures)
                )
            elif params.adversary == "discriminator":
                adversarial_loss = generator_loss(discriminator(forget_logits))
            else:
                adversarial_loss = forget_logits.new_zeros(())
            retain_loss = distillation_kl(
                retain_logits, frozen.logits[retain_places].log_softmax(dim=1)
            )
            teacher_loss = distillation_kl(forget_logits, target)
            feature_loss = kept.gap(retain_features, frozen.features[retain_places]) + kept.gap(
                forget_features, targets.features[forget_places]
            )
            loss = (
                params.adversary_weight * adversarial_loss
                + params.retain_weight * retain_loss
                + params.teacher_weight * teacher_loss
                + params.feature_weight * feature_loss
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

            # Both learning rates fall a little; the row of the curve covers the epoch up to here.
            schedule.step()
            discriminator_schedule.step()
            monitor.losses(
                discriminator_loss=player_loss,
                generator_loss=adversarial_loss,
                retain_loss=retain_loss,
                teacher_loss=teacher_loss,
                feature_loss=feature_loss,
            )
            monitor.discrimination(real, fake)
            monitor.predictions(retain_logits)
            monitor.forget_images(forget_logits, forget_features)
            if step % row_every == 0 or step == len(pairs):
                run.add_row(monitor.row(round(epoch - 1 + step / len(pairs), 2)))
        run.save(epoch, parts, draws)
    for player in (generator, discriminator):
        require_finite(player, "lr", params.lr)
    run.discriminator = discriminator.eval().cpu()
    run.image_passes = sum(len(images) for pairs in epochs for pair in pairs for images in pair)
    run.extractor_passes = len(seen)
    return edit_head(generator.eval().cpu(), data.forget_labels)
