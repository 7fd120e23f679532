"""What a run will train and take, in figures and minutes; and what so few images cannot show."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from unlearning.audit.membership import FALSE_POSITIVE_RATES, LEAST
from unlearning.base.progress import duration
from unlearning.check.possible import Possible, remarks
from unlearning.data import SUBSETS
from unlearning.data.dataset import scaled
from unlearning.methods.shared import cost
from unlearning.methods.shared.game import opponent
from unlearning.methods.shared.members import LEAST_ROWS
from unlearning.models import build
from unlearning.models.classifier import Classifier
from unlearning.models.references import is_faster_at_once
from unlearning.observe.schedule import BUDGET
from unlearning.observe.views import MOST_IMAGES
from unlearning.report.cautions import cautions
from unlearning.running.hardware import Hardware
from unlearning.settings.original import Training
from unlearning.settings.whole import Params
from unlearning.sources import listing

# Steps are timed for so long once the first two are over, which also set the memory up.
TIMED_SECONDS, WARM_UP_STEPS = 2.0, 2
# Files that are decoded a second on a core, of some hundred thousand pixels (docs/experiments.md).
DECODED_A_SECOND = 300
# An image forward costs a third of one forward and backward.
FORWARD = 1 / 3
# Small batches and the adversaries: a game takes more of the clock than of arithmetic (ResNet-18 1.4 to 1.6;
# the article's 1.8 to 2.5 times a training's for an image of its generator).
GAME_BY_CLOCK = 1.6
# Retrained at once, each on its share of the cores, models are over so much sooner (two cores; docs/scale.md).
AT_ONCE = 1.2
STAGES = 12  # of the pipeline, that start a process each
STAGE_SECONDS = 6.0  # to import PyTorch and begin
# Test images of kept classes: of 450 a model that lost nothing seldom misses two points more, of 180 it does
# (docs/audit.md).
SHOW_A_LOSS = 400


@dataclass(frozen=True)
class Forecast:
    """A training's image passes, images a second, and seconds by part of the run."""

    image_size: int
    training: Training
    parameters: int
    passes: int
    speed: float
    seconds: dict[str, float]


def forecast(
    params: Params,
    found: Possible,
    hardware: Hardware,
    speed_of: Callable[[Classifier, int, Hardware], float] | None = None,
) -> Forecast:
    """Return what a run with these parameters will take on this machine. `speed_of`: as `images_a_second`."""
    size, sizes = listing.image_size(params.data, found.images), found.sizes
    training = params.original.training(sizes.forget + sizes.retain)
    model = build.new_classifier(
        build.of_params(params.model, size),
        size,
        len(found.counts),
        seed=0,
    )
    speed = (speed_of or images_a_second)(model, training.batch_size, hardware)
    images = found.by_role
    total = sum(sum(images[role].values()) for role in ("forget", "retain"))
    passes = sizes.retain * training.epochs
    one = passes / speed
    game = cost.passes(params, sizes, training) / speed * GAME_BY_CLOCK
    retrained = len(params.retrain.seeds)
    # One more on all images, where the original has a recipe of its own.
    given = found.asked.request.began_with_given(params.model.weights)
    controls = int(given and retrained > 0)
    trainings = retrained + controls
    all_retrained = one * trainings
    if is_faster_at_once(
        trainings, passes * trainings, size, hardware, params.distributed.processes
    ):
        all_retrained /= AT_ONCE
    models = 2 + retrained + controls + len(params.retrain.weights)
    looked_at = sum(
        min(images[role][subset], MOST_IMAGES)
        for role in ("forget", "retain")
        for subset in ("train", "test")
    )
    relearned = 0 if params.forget.of_images else 2 * BUDGET
    observed = models * (looked_at * FORWARD + relearned) / speed
    original = (
        0.0 if params.model.weights else (sizes.forget + sizes.retain) * training.epochs / speed
    )
    return Forecast(
        size,
        training,
        sum(weight.numel() for weight in model.parameters()),
        passes,
        speed,
        {
            "images": total / DECODED_A_SECOND / torch.get_num_threads(),
            "original": original,
            "retrained models": all_retrained,
            "game": game,
            "observation": observed,
            "start of the stages": STAGES * STAGE_SECONDS,
        },
    )


def images_a_second(model: Classifier, batch_size: int, hardware: Hardware) -> float:
    """Return how many images a second the model is trained on, by a few steps on noise."""
    model = model.to(hardware.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    pixels = torch.randint(
        0, 256, (batch_size, model.image_size, model.image_size, 3), dtype=torch.uint8
    )
    labels = torch.arange(batch_size, device=hardware.device) % model.head.out_features
    steps, began = -WARM_UP_STEPS, 0.0
    while True:
        if steps == 0:
            began = time.monotonic()
        with hardware.autocast():
            logits = model(scaled(pixels, hardware.device))
        optimizer.zero_grad()
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        logits.sum().item()  # waits for the device
        steps += 1
        if steps > 0 and time.monotonic() - began > TIMED_SECONDS:
            return steps * batch_size / (time.monotonic() - began)


def not_measured(params: Params, images: dict[str, dict[str, int]]) -> list[str]:
    """Return what the audit or the game cannot do with these images and references, a line each."""
    forget, unseen = images["forget"]["train"], images["unseen"]
    references = len(params.retrain.seeds) + len(params.retrain.weights)
    lines = []
    if references == 0:
        lines.append(
            "no retrained model: the verdict is whether anything contradicts forgetting, which proves less"
        )
    elif references == 1:
        lines.append(
            "one retrained model: how far two of them differ is not known, so the verdict is whether anything "
            "contradicts forgetting"
        )
    if min(forget, unseen["test"]) < LEAST:
        lines.append(
            f"membership: it takes {LEAST} forget images trained on and {LEAST} like them to test, there are "
            f"{forget} and {unseen['test']}"
        )
    for name, (rate, least) in FALSE_POSITIVE_RATES.items():
        if unseen["test"] < least:
            lines.append(
                f"membership_tpr.{name}: {rate:.0%} of false positives takes {least} such test images, there "
                f"are {unseen['test']}"
            )
    tested = images["retain"]["test"]
    if tested < SHOW_A_LOSS:
        lines.append(
            f"small losses: on {tested} test images of the kept classes two points or more may be chance, on "
            f'{SHOW_A_LOSS} they seldom are; of these the verdict says "too few images to tell"'
        )
    known = unseen["validation"]
    if params.forget.labels == "wrong":  # then it knows others too (`members.Known`)
        known += images["retain"]["validation"]
    if opponent(params) == "members" and min(forget, known) < LEAST_ROWS:
        lines.append(
            f"the game's auditor: it takes {LEAST_ROWS} forget images trained on and {LEAST_ROWS} like them to "
            f"validate, there are {forget} and {known}: the game plays without it"
        )
    return lines


def told(params: Params, possible: Possible, found: Forecast, hardware: Hardware) -> list[str]:
    """Return the forecast in lines for a terminal."""
    model, counts = params.model, possible.counts
    whence = (
        f"trained already, {model.weights}"
        if model.weights
        else f"trained here from {model.start or 'random weights'}"
    )
    lines = [
        f"{len(counts)} classes, to forget: {params.forget.said}",
        f"{'images':<10}" + "".join(f"{subset:>12}" for subset in SUBSETS),
    ]
    lines += [
        f"  {role:<8}" + "".join(f"{of[subset]:>12}" for subset in SUBSETS)
        for role, of in possible.by_role.items()
        if role != "unseen"
    ]
    precision = "bf16" if hardware.bf16 else "fp32"
    lines += [
        f"model: {model.name}, {found.parameters / 1e6:.1f} million parameters, "
        f"{found.image_size} pixels, {whence}",
        f"one retraining: {found.training.epochs} epochs of batches of {found.training.batch_size}, "
        f"{found.passes:,} image passes, {found.speed:,.0f} a second on {hardware.device} in "
        + precision,
        "about "
        + ", ".join(f"{name} {duration(seconds)}" for name, seconds in found.seconds.items())
        + f"; together {duration(sum(found.seconds.values()))}",
    ]
    lines += [f"not measured: {line}" for line in not_measured(params, possible.by_role)]
    split_given = any(subset for given in counts.values() for subset in given)
    request = possible.asked.request
    notes = cautions(params, request, split_given=split_given)
    notes += [remark.removeprefix("warning: ") for remark in remarks(params, possible)]
    lines += [f"note: {line}" for line in notes]
    return lines
