"""All models of a run, each observed unless it already was, in a folder that `record` reads."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unlearning.base.files import atomic, whole_folder
from unlearning.base.fingerprint import of_stage, sha256
from unlearning.base.progress import bar, say
from unlearning.data.dataset import Dataset
from unlearning.models import weights
from unlearning.models.build import anew
from unlearning.models.discriminator import load_discriminator, scores
from unlearning.models.forward import predict_logits
from unlearning.models.head import edit_head
from unlearning.models.panel import CONTROL, ORIGINAL, UNLEARNED
from unlearning.observe import record, relearn, views
from unlearning.observe.record import EXTRACTOR, Observation, Sample, Shared
from unlearning.observe.schedule import BACK_AT
from unlearning.running.hardware import Hardware, described

RANDOM_NETWORK_SEED = 0


def observe_all(
    data: Dataset, models: Path, folder: Path, memory: Path, hardware: Hardware
) -> None:
    """Write the observations of original, control, unlearned and retrained models into the folder.

    A copy of each stays in `memory`, from which an equal one is taken instead of running its model again.

    Raises: UserError if a model is missing, broken, or under a name that is no seed.
    """
    sample = views.sample(data)
    retrained, controls = weights.retrained(models), weights.controls(models)
    # Whatever all observations follow from; the original, since its accuracy ends the curves of relearning.
    common = (
        f"{of_stage('observe', leave_out=('models/',))} {described(hardware)} "
        f"{torch.get_num_threads()} {sha256(models / f'{ORIGINAL}.safetensors')}"
    )
    found: dict[str, Observation] = {}
    # Where no class is to be forgotten, none can be hidden by an edit of the last layer, or come back.
    edited = () if sample.of_images else (CONTROL,)
    names = (ORIGINAL, *edited, UNLEARNED, *controls, *retrained)
    with whole_folder(folder) as new:
        record.save_sample(sample, new)
        for name in bar(names, len(names), "models observed"):
            file_of_model = models / f"{ORIGINAL if name == CONTROL else name}.safetensors"
            file = new / f"{name}.safetensors"
            made_of = hashlib.sha256(f"{common} {sha256(file_of_model)}".encode()).hexdigest()
            kept = memory / f"observe-{made_of[:16]}" / file.name
            if record.made_of(kept) != made_of:
                say(f"observe: {name}")
                model, _ = weights.load_classifier(file_of_model)
                if name == CONTROL:
                    model = edit_head(model, sample.forget_labels)
                    seen = views.with_head(found[ORIGINAL], model, hardware)
                else:
                    seen = views.observe(model, data, sample, hardware)
                if not sample.of_images:
                    known = found.get(ORIGINAL, seen)
                    back_at = BACK_AT * float(known.right(sample, sample.judged).mean())
                    seen = replace(seen, curves=relearn.curves(model, data, back_at, hardware))
                record.save_observation(seen, file, made_of)
                with atomic(kept, shared=True) as temporary:
                    shutil.copyfile(file, temporary)
            else:
                with atomic(file) as temporary:
                    shutil.copyfile(kept, temporary)
                os.utime(kept.parent)  # what was used lately is not removed as old
            # Of the others only the logits are asked for below: their layers would fill the memory.
            found[name] = record.load_observation(file, None if name == ORIGINAL else {})
        shared = _shared(data, sample, models, found, hardware)
        record.save_shared(shared, new / "shared.safetensors")


def _shared(
    data: Dataset,
    sample: Sample,
    models: Path,
    found: Mapping[str, Observation],
    hardware: Hardware,
) -> Shared:
    rows, gone = sample.judged, data.request.retired(data.classes)
    forget = torch.from_numpy(sample.indices[rows])
    discriminator = load_discriminator(models / "discriminator.safetensors")
    extractor, _ = weights.load_classifier(models / "init/feature_extractor.safetensors")
    random = anew(extractor, "random network", RANDOM_NETWORK_SEED)
    outputs = {
        name: torch.from_numpy(each.logits[rows]) for name, each in found.items() if name != CONTROL
    } | {EXTRACTOR: predict_logits(extractor, data, forget, hardware)}
    return Shared(
        predict_logits(random, data, forget, hardware).numpy(),
        np.array(
            [
                np.nan if label in gone else views.structural_similarity(data, label)
                for label in range(len(sample.classes))
            ]
        ),
        {name: scores(discriminator, logits).numpy() for name, logits in outputs.items()},
    )
