"""The models that a run trains beside the original: at once, each on its share of the cores, if that is faster.

A small batch does not keep several cores busy: two trainings on a core each are over sooner than one after the
other on both (docs/scale.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from unlearning.base import cores, files, progress
from unlearning.base.progress import Curve, Done, meter, say, silent
from unlearning.base.stage import is_first, is_one_of_several
from unlearning.data import dataset
from unlearning.data.dataset import Dataset
from unlearning.models import foreign, weights
from unlearning.models.classifier import Classifier
from unlearning.models.forward import accuracy, predict_logits
from unlearning.models.panel import SAME_RECIPE, START
from unlearning.models.train import train
from unlearning.running import hardware
from unlearning.running.hardware import Hardware
from unlearning.running.resume import Row, Session
from unlearning.running.world import ALONE, World, joined
from unlearning.settings.machine import MachineParams
from unlearning.settings.model import ModelParams
from unlearning.settings.original import Training
from unlearning.settings.retrain import RetrainParams

# Pixels of all trainings' image passes from which on processes are worth their start: a minute of a ResNet-18.
WORTH = 1e7
FOLDERS = {
    "models/retrained": "Models retrained without the forget images, one per seed (`retrain.seeds`).",
    "models/controls": "Controls, where the original was not trained here or began with given weights.",
}
# What no reference follows from: how many others there are, and the seed of the original.
OF_OTHERS = ("retrain", "original.seed")
START_SEED = 0  # of the last layer, which no figure of this control reads


@dataclass(frozen=True)
class Reference:
    """A model to be trained: without the images to forget, or the control that the same recipe makes of all."""

    seed: int
    is_control: bool = False

    @property
    def name(self) -> str:
        """Return what its checkpoint and its file are called."""
        return SAME_RECIPE if self.is_control else str(self.seed)

    @property
    def path(self) -> str:
        """Return where its weights belong."""
        return f"models/{'controls' if self.is_control else 'retrained'}/{self.name}.safetensors"

    def images(self, data: Dataset) -> Int[Tensor, " K"]:
        """Return what it is trained on."""
        return data.trainable if self.is_control else data.select(role="retain", subset="train")


@dataclass(frozen=True)
class Made:
    """What is known of one whose weights are written: accuracy on validation images, losses by epoch."""

    validation_accuracy: float
    losses: list[Row]


@dataclass(frozen=True)
class Plan:
    """What all have in common."""

    model: ModelParams
    training: Training
    machine: MachineParams
    session: Session


def write_all(
    plan: Plan,
    asked: RetrainParams,
    data: Dataset,
    device: Hardware,
    processes: int | Literal["auto"],
) -> tuple[dict[str, float], list[Row]]:
    """Write given and trained references, and controls; return validation accuracies by name, and the losses.

    A process that only helps returns neither. `processes`: as `world.joined`. Raises: as `cores.at_once`,
    `train`, and `foreign.load_classifier` of what `retrain.weights` names.
    """
    references = [Reference(seed) for seed in asked.seeds]
    if references and data.request.began_with_given(plan.model.weights):
        # The original has a recipe of its own: what ours makes of all images tells both apart from memory.
        references.append(Reference(asked.seeds[0], is_control=True))
    made = train_references(plan, references, data, device, processes)
    if not is_first():
        return {}, []
    for folder, holds in FOLDERS.items():
        Path(folder).mkdir(parents=True, exist_ok=True)
        files.note(folder, holds)
    if plan.model.start:
        begun = foreign.new_model(plan.model, data, START_SEED).eval()
        path = f"models/controls/{START}.safetensors"
        weights.save(begun, data.labelling, path, plan.session.fingerprint)
    accuracies = {
        str(number): _take(plan, file, number, data, device)
        for number, file in enumerate(asked.weights, start=1)
    }
    rows: list[Row] = []
    for reference, each in zip(references, made, strict=True):
        if not reference.is_control:
            accuracies[reference.name] = each.validation_accuracy
            rows += each.losses
    return accuracies, rows


def _take(plan: Plan, file: str, number: int, data: Dataset, device: Hardware) -> float:
    """Write a model that a person retrained, as the reference of this number; return its accuracy."""
    model = foreign.load_classifier(file, "retrain.weights", plan.model, data.labelling)
    path = Reference(number).path
    weights.save(model, data.labelling, path, plan.session.fingerprint)
    return validation_accuracy(model, data, device)


def train_references(
    plan: Plan,
    references: Sequence[Reference],
    data: Dataset,
    device: Hardware,
    processes: int | Literal["auto"],
) -> list[Made]:
    """Train and write them; return what is known of each, in order; a process that only helps knows nothing.

    One that an earlier run finished is not trained again. `processes`: as `world.joined`; they train one after
    the other together. Raises: as `train` and `cores.at_once`.
    """
    if not references:
        return []
    passes = sum(plan.training.epochs * len(each.images(data)) for each in references)
    if is_faster_at_once(len(references), passes, data.image_size, device, processes):
        with meter(passes, "images") as advance:

            def hear(said: str | Done) -> None:
                if isinstance(said, str):
                    say(said)
                else:
                    advance(said.more, said.earlier)

            made = cores.at_once(partial(_in_a_process, plan), references, hear)
    else:
        with joined(processes, plan.training.batch_size, device) as (world, own):
            made = [_train(plan, reference, data, own, world) for reference in references]
    return [each for each in made if each]


def is_faster_at_once(
    trainings: int, passes: int, image_size: int, device: Hardware, processes: int | Literal["auto"]
) -> bool:
    """Return whether trainings of so many image passes together take a process each.

    Not on a GPU, which one training keeps busy, nor where several `processes` are to share each batch.
    """
    return (
        device.device.type == "cpu"
        and processes in (1, "auto")
        and not is_one_of_several()
        and min(trainings, cores.available()) > 1
        and passes * image_size**2 >= WORTH
    )


def _in_a_process(plan: Plan, reference: Reference, tell: cores.Tell) -> Made | None:
    progress.tell(tell)
    device = hardware.choose(plan.machine.device, plan.machine.precision)
    return _train(plan, reference, dataset.load("data"), device, ALONE)


def _train(
    plan: Plan, reference: Reference, data: Dataset, device: Hardware, world: World
) -> Made | None:
    curve, images = Curve("retrain"), reference.images(data)
    finished = plan.session.finished(str(reference), world.size)
    model = foreign.new_model(plan.model, data, reference.seed)
    epochs, rows = finished.restore({"model": model})
    # Another experiment may just have written it, and not all processes of this one have seen it.
    seen_by_all = world.mean(torch.tensor(float(epochs), device=device.device))
    if epochs and seen_by_all == epochs:
        model.eval()
        for row in rows:
            curve(**row)
        with meter(epochs * len(images), "images") as advance:
            advance(epochs * len(images), earlier=True)
    else:
        model = train(
            foreign.new_model(plan.model, data, reference.seed) if epochs else model,
            data,
            images,
            plan.training,
            reference.seed,
            device,
            silent if reference.is_control else curve.tagged(seed=reference.seed),
            plan.session.checkpoint(reference.name),
            world,
        )
    if not world.is_first:
        return None
    if not epochs:
        finished.save(plan.training.epochs, curve.rows, {"model": model})
    weights.save(model, data.labelling, reference.path, plan.session.fingerprint)
    return Made(validation_accuracy(model, data, device), curve.rows)


def validation_accuracy(model: Classifier, data: Dataset, device: Hardware) -> float:
    """Return the accuracy on the validation images that are to be kept."""
    validation = data.select(role="retain", subset="validation")
    return accuracy(predict_logits(model, data, validation, device), data.labels[validation])
