"""Our game: the original loses part of its weights, learns the kept classes anew, and meets an auditor.

What a network memorised of the images to forget sits in its features, deeper ones above all, and whoever trains
on these images again only memorises them anew (docs/experiments.md). So

- before the game the generator is the original with noise in place of part of the weights (`noise`,
  `models/perturb.py`);
- in the first half it sees retain images alone, with their labels, as a retrained model does. Nothing holds it
  to the original: the original's outputs and features know the class that is to go;
- in the second half it also sees forget images, a few per step: some that were trained on, and validation
  images like them (of the same classes; of a request for single images that is what they must become like).
  Nothing says what to answer to them: that is left to what it learned of the kept
  classes, as with a model that never saw them. It meets its adversary (`adversary_weight`): `members`, the
  auditor of `shared/members.py`, must not tell the one from the other; `discriminator`, the article's, must
  take the outputs of those trained on for the original's of retain images.

Only through its adversary does a forget image reach the generator: no label and no target names it, and it
passes apart from retain images, normalised by what batch normalisation gathered from these. Without an
adversary the game is the same whatever the forget images show.

The discriminator learns in the second half whichever is chosen: it keeps the article's score. The length of the
game follows from `cost`, the share of one retraining's arithmetic that it may take (`shared/cost.py`).

The stem (of a ResNet-18 its first convolution) is left as it is. Layer 1 holds little memory, but what it
learned of the class keeps look-alike classes from taking its images (docs/experiments.md#first-stage): it gets
half of the noise, and learns along. After the game the outputs of whole classes that are to be forgotten are
retired (`models/head.py`): what little they still say of a class is enough for a membership attack. Forget
accuracy is 0 from then on by construction, and proves nothing alone. Then all outputs are made surer, half of
the way to the original's (`shared/confidence.py`). Of single images nothing is retired, and nothing made surer:
a model that never saw them knows their classes.
"""

import copy
from dataclasses import replace
from itertools import islice

import torch
from jaxtyping import Float
from torch import Tensor

from unlearning.data.dataset import Dataset, endless_batches
from unlearning.methods.shared import confidence
from unlearning.methods.shared.adversaries import Adversaries
from unlearning.methods.shared.flops import forward_flops, training_flops
from unlearning.methods.shared.game import Monitor, Players, Run
from unlearning.methods.shared.members import Known
from unlearning.methods.shared.steps import (
    NOBODY,
    Lost,
    Step,
    affordable,
    by_labels,
    learn,
    retain_batches,
    train,
)
from unlearning.models.classifier import Classifier
from unlearning.models.discriminator import new_discriminator
from unlearning.models.perturb import shrink_and_perturb
from unlearning.models.train import require_finite
from unlearning.settings.game import GameParams

# Of a batch of retain images, how many members and unseen images the second half shows besides.
MEMBERS_SHARE, UNSEEN_SHARE = 4, 8


def init_players(original: Classifier, seed: int, noise: float) -> Players:
    """Return the perturbed original as generator, the original as feature extractor, a random discriminator."""
    return Players(
        shrink_and_perturb(original, noise, seed),
        copy.deepcopy(original),
        new_discriminator(original.head.out_features, seed),
    )


def unlearn(original: Classifier, data: Dataset, params: GameParams, run: Run) -> Classifier:
    """Return the generator after the game on the training images; see `methods`.

    What the auditor knows as unseen are validation images like those to forget (`Known.of`). Raises:
    UserError when a loss, or at the end a weight, is no longer finite.
    """
    hardware = run.hardware
    generator = copy.deepcopy(run.players.generator).to(hardware.device)
    learned = learn(generator, generator.learned)
    known = Known.of(data, run.seed)
    shown = _besides(params.batch_size, known.members, known.unseen)
    held_out = confidence.asked(data)
    looked_at = 2 * len(held_out) + (len(known.images) if params.adversary == "members" else 0)
    count = length(generator, params.batch_size, shown, run.budget, looked_at)
    steps = play(data, params, run.seed, count, known.members, known.unseen)
    adversaries = Adversaries(original, data, known, params, run, count // 2)

    def objective(step: Step, images: Float[Tensor, "R 3 H W"], monitor: Monitor) -> Lost:
        lost = by_labels(generator, data.labels[step.retain], images, hardware)
        if not len(step.besides):
            return lost
        met = adversaries.meet(generator, step.besides, images, monitor)
        return replace(lost, all=lost.retain + params.adversary_weight * met)

    unlearned = train(generator, learned, steps, objective, data, params, run, adversaries.parts)
    require_finite(adversaries.discriminator, "lr", params.lr)
    run.discriminator = adversaries.discriminator.eval().cpu()
    return confidence.as_sure(unlearned, original, data, held_out, hardware)


def length(
    generator: Classifier,
    batch_size: int,
    besides: tuple[int, int],
    budget: int | float,
    looked_at: int,
) -> int:
    """Return how many steps the budget of floating-point operations pays for, 24 at least.

    `besides`: the members and unseen images that a step of the second half shows. `looked_at`: the images that
    are looked at once.
    """
    trained = training_flops(generator)
    asked = forward_flops(generator)
    of_members, of_unseen = besides
    # The second half also asks the original about as many retain images as members.
    shown = batch_size + (of_members + of_unseen) / 2
    of_step = shown * trained + of_members / 2 * asked
    return affordable(budget - looked_at * asked, of_step)


def play(
    data: Dataset, params: GameParams, seed: int, steps: int, members: int, unseen: int
) -> list[Step]:
    """Return the steps of the game; the second half shows members and unseen images besides, by their places.

    Retain images, members and unseen images come in random order, each again only once all have had their turn.
    """
    draws = torch.Generator().manual_seed(seed)
    retain = retain_batches(data, params, draws)
    of_members, of_unseen = _besides(params.batch_size, members, unseen)
    member_batches = endless_batches(torch.arange(members), of_members, draws)
    unseen_batches = endless_batches(members + torch.arange(unseen), of_unseen, draws)
    first = [Step(batch, NOBODY) for batch in islice(retain, -(-steps // 2))]
    return first + [
        Step(next(retain), torch.cat([next(member_batches), next(unseen_batches)]))
        for _ in range(steps // 2)
    ]


def _besides(batch_size: int, members: int, unseen: int) -> tuple[int, int]:
    """Return how many members and unseen images a step of the second half shows.

    Of few at most half: an auditor is fitted to those that the step does not show.
    """
    return (
        max(1, min(batch_size // MEMBERS_SHARE, members // 2)),
        max(1, min(batch_size // UNSEEN_SHARE, unseen // 2)),
    )
