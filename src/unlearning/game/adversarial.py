"""Our game: it starts from the trained original, and what is kept has a loss of its own.

The generator, besides deceiving its adversary (`adversary_weight`),
- stays with the original's outputs on retain images (`retain_weight`),
- gives forget images the outputs that a model would which never saw the class, as far as the original
  lets us know (`teacher_weight`; `teacher` says how), and
- keeps the features of retain images where they were, and takes from those of forget images what sets their
  class apart (`feature_weight`; `kept_features` says how).

Adversaries: `best_response` looks at features; `discriminator`, the article's, at outputs. The first tells
the features of forget images from mixtures of kept classes' features in the shares of the teacher's answers:
what the features must not show is the class, not that an image is ambiguous. The discriminator learns to
tell the original's outputs on retain images (real) from the generator's on forget images (fake) whichever
is chosen: it keeps the article's score.

Batch normalisation keeps the original's statistics: small batches, half of them of one class, would spoil
them. After the game the forget classes' outputs are retired (`heads`): what little they still say of a class is
enough for a membership attack. Forget accuracy is 0 from then on by construction, and proves nothing alone.
"""

import copy

import torch
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from unlearning.data.dataset import Dataset, normalised
from unlearning.game import knowledge, teacher
from unlearning.game.best_response import advantage
from unlearning.game.kept_features import KeptFeatures
from unlearning.game.players import Monitor, Optimizers, Outcome, Players, plan, touched
from unlearning.hardware import Hardware
from unlearning.heads import edit_head
from unlearning.losses import discriminator_loss, distillation_kl, generator_loss
from unlearning.models import new_discriminator, require_finite
from unlearning.progress import Report, silent
from unlearning.resume import NOTHING_KEPT, Checkpoint, Parts
from unlearning.settings import GameParams

ROWS = 10  # of the curve at least, if there are so many steps: one epoch would be a single point
MIXTURES = 64  # that the best response is shown per step; they cost no pass


def init_players(original: nn.Module, class_count: int, seed: int) -> Players:
    """Return generator and feature extractor as copies of the original, and a random discriminator."""
    return Players(
        copy.deepcopy(original), copy.deepcopy(original), new_discriminator(class_count, seed)
    )


def play(
    players: Players,
    data: Dataset,
    params: GameParams,
    hardware: Hardware,
    report: Report = silent,
    checkpoint: Checkpoint = NOTHING_KEPT,
) -> Outcome:
    """Play the game on the training images; the caller's networks are left untouched.

    With a `checkpoint` it goes on where that one ends.
    Raises: UserError when a loss, or at the end a weight, is no longer finite.
    """
    generator = copy.deepcopy(players.generator).to(hardware.device).eval()
    discriminator = copy.deepcopy(players.discriminator).to(hardware.device).train()
    epochs = plan(data, params, params.forget_images)
    # Step by step, not epoch by epoch as the article: a single epoch must end at rest too.
    optimizers = Optimizers(generator, discriminator, params, lowerings=sum(map(len, epochs)))
    probed = knowledge.probed_images(data, params.seed)
    seen = torch.cat([touched(epochs), probed]).unique()
    # The original is frozen: each image passes it once.
    frozen = copy.deepcopy(players.feature_extractor)
    original = knowledge.consult(frozen, data, seen, hardware)
    forget_seen = seen[torch.from_numpy(data.roles[seen.numpy()] == "forget")]
    draws = torch.Generator().manual_seed(params.seed)
    kept = KeptFeatures(original, probed, data, draws)
    targets = teacher.find_targets(original, kept, forget_seen, probed, data)
    outputs_of = create_feature_extractor(
        generator, return_nodes=[knowledge.FEATURES, knowledge.HEAD]
    )
    row_every = max(1, sum(map(len, epochs)) // ROWS)
    parts: Parts = {
        "generator": generator,
        "discriminator": discriminator,
        "optimizers": optimizers,
    }
    finished, rows = checkpoint.restore(parts, draws)
    for row in rows:
        report(**row)

    for epoch, pairs in enumerate(epochs[finished:], start=finished + 1):
        monitor = Monitor(len(data.classes))
        for step, (forget, retain) in enumerate(pairs, start=1):
            together = torch.cat([retain, forget])
            with hardware.autocast():
                found = outputs_of(normalised(data.pixels(together), hardware.device))
            sizes = [len(retain), len(forget)]
            retain_logits, forget_logits = found[knowledge.HEAD].float().split(sizes)
            retain_features, forget_features = (
                found[knowledge.FEATURES].float().flatten(1).split(sizes)
            )
            retain_places = original.places(retain)
            forget_places = torch.searchsorted(forget_seen, forget).to(hardware.device)
            target = targets.log_probs[forget_places]

            real = discriminator(original.logits[retain_places])
            fake = discriminator(forget_logits.detach())
            player_loss = discriminator_loss(real, fake)
            optimizers.discriminator.zero_grad()
            player_loss.backward()
            optimizers.discriminator.step()

            if params.adversary == "best_response":
                mixtures = kept.mixtures(targets.log_probs, MIXTURES)
                adversarial_loss = advantage(kept.turned(forget_features), kept.turned(mixtures))
            elif params.adversary == "discriminator":
                adversarial_loss = generator_loss(discriminator(forget_logits))
            else:
                adversarial_loss = forget_logits.new_zeros(())
            retain_loss = distillation_kl(
                retain_logits, original.logits[retain_places].log_softmax(dim=1)
            )
            teacher_loss = distillation_kl(forget_logits, target)
            feature_loss = kept.gap(retain_features, original.features[retain_places]) + kept.gap(
                forget_features, targets.features[forget_places]
            )
            loss = (
                params.adversary_weight * adversarial_loss
                + params.retain_weight * retain_loss
                + params.teacher_weight * teacher_loss
                + params.feature_weight * feature_loss
            )
            optimizers.generator.zero_grad()
            loss.backward()
            optimizers.generator.step()

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
            optimizers.lower()
            if step % row_every == 0 or step == len(pairs):
                rows.append(monitor.row(round(epoch - 1 + step / len(pairs), 2)))
                report(**rows[-1])
        checkpoint.save(epoch, rows, parts, draws)
    for player in (generator, discriminator):
        require_finite(player, "lr", params.lr)
    return Outcome(
        edit_head(generator.eval().cpu(), data.forget_labels),
        discriminator.eval().cpu(),
        rows,
        image_passes=sum(len(images) for pairs in epochs for pair in pairs for images in pair),
        extractor_passes=len(seen),
    )
