"""What was observed, in files: read by every judgement, without PyTorch.

In data/observed: `images.csv` names the images in order, `classes.csv` the classes; `<model>.safetensors`
holds one model's observation, `shared.safetensors` what belongs to none or to all of them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from safetensors.numpy import load as of_bytes
from safetensors.numpy import save as to_bytes
from scipy.special import softmax

from unlearning.base.errors import UserError
from unlearning.base.files import atomic, read_table, write_table
from unlearning.base.sampling import spread_evenly
from unlearning.base.tensors import read_tensors
from unlearning.models.panel import CONTROL, ORIGINAL, SAME_RECIPE, START, UNLEARNED, Panel

EXTRACTOR = "extractor"  # the network whose outputs the article scores
# Training images per class that a probe is fitted to; as many of each, or it would favour the larger ones.
PROBED_IMAGES = 50
LEAST_PROBED = 5  # which the attack by few images takes


@dataclass(frozen=True)
class Sample:
    """The audited images; all fields follow their order. `rows` picks by role and subset.

    `indices`: rows of data/images. `labels`: places in `classes`. `roles`: as in data/split.csv, or "unseen" of
    an image that is looked at for nothing but being like those to forget. `forget_labels`: of whole classes
    that are to be forgotten; none where single images are. `is_unseen`: like those to forget, and no model was
    trained on it. `earlier`: the number of the earlier request that covers it, 0 for none. `before`: by class
    the test accuracy of the model that the first of the earlier requests was asked of. `earlier_labels`: of
    the classes that these took out.
    """

    indices: Int[np.ndarray, " N"]
    labels: Int[np.ndarray, " N"]
    roles: np.ndarray
    subsets: np.ndarray
    forget_labels: tuple[int, ...]
    classes: tuple[str, ...]
    is_unseen: Bool[np.ndarray, " N"]
    earlier: Int[np.ndarray, " N"]
    before: Mapping[str, float] = field(default_factory=dict)
    earlier_labels: tuple[int, ...] = ()

    @property
    def retired_labels(self) -> tuple[int, ...]:
        """Return the places of all classes whose outputs say nothing."""
        return self.forget_labels + self.earlier_labels

    @property
    def of_images(self) -> bool:
        """Return whether single images are to be forgotten, not whole classes."""
        return not self.forget_labels

    @property
    def members(self) -> np.ndarray:
        """Return the positions of the forget images that were trained on."""
        return self.rows("forget", "train")

    @property
    def unseen(self) -> np.ndarray:
        """Return the positions of the test images that are like those to forget."""
        return np.flatnonzero(self.is_unseen)

    @property
    def judged(self) -> np.ndarray:
        """Return the positions of the forget images whose answers are compared with those of retrained models.

        Of whole classes test images, since the class is to be forgotten; of single images these themselves.
        """
        return self.members if self.of_images else self.rows("forget", "test")

    @property
    def retain_before(self) -> Float[np.ndarray, " K"] | None:
        """Return its class's accuracy before the first request of each retain test image, if known of all."""
        kept = [self.classes[label] for label in self.labels[self.rows("retain", "test")]]
        if not set(kept) <= set(self.before):
            return None
        return np.array([self.before[name] for name in kept])

    def rows(self, role: str | None, subset: str) -> np.ndarray:
        """Return the positions of this role's images (None: forget or retain) in this subset, in order."""
        roles = (role,) if role else ("forget", "retain")
        return np.flatnonzero((self.subsets == subset) & np.isin(self.roles, roles))

    def of_earlier(self, number: int) -> np.ndarray:
        """Return the positions of the images by which an earlier request is tested again."""
        return np.flatnonzero(self.earlier == number)

    @property
    def probed_rows(self) -> np.ndarray:
        """Return the positions of up to 50 training images of every class, in order.

        Of a class to forget no more than the kept ones have in the median, or five: among fewer of each other
        class its own would be the nearest.
        """
        train = self.rows(None, "train")
        of = {label: train[self.labels[train] == label] for label in np.unique(self.labels[train])}
        kept = [len(rows) for label, rows in of.items() if label not in self.forget_labels]
        usual = min(PROBED_IMAGES, max(LEAST_PROBED, int(np.median(kept))))
        most = dict.fromkeys(self.forget_labels, usual)
        chosen = [
            rows[spread_evenly(len(rows), most.get(label, PROBED_IMAGES))]
            for label, rows in of.items()
        ]
        return np.sort(np.concatenate(chosen))


@dataclass(frozen=True)
class RelearningCurve:
    """Which forget test images were recognised after so many image passes: `hits`, checks x images."""

    passes: tuple[int, ...]
    hits: Float[np.ndarray, "checks images"]

    @property
    def accuracies(self) -> np.ndarray:
        """Return the forget accuracy at each check."""
        return self.hits.mean(axis=1)


@dataclass(frozen=True)
class Observation:
    """What one model makes of a sample.

    `logits`: N x C. `layers`: per layer the activations' spatial mean, N x D; the control shares the
    original's. `train_accuracy`: by role, on training images. `curves`: by kind of fine-tuning; none where
    single images are to be forgotten.
    """

    logits: Float[np.ndarray, "N C"]
    layers: Mapping[str, np.ndarray]
    train_accuracy: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, RelearningCurve] = field(default_factory=dict)

    @property
    def probs(self) -> Float[np.ndarray, "N C"]:
        """Return the softmax in double precision."""
        return softmax(self.logits.astype(np.float64), axis=1)

    def right(self, sample: Sample, rows: np.ndarray) -> Float[np.ndarray, " K"]:
        """Return 1 where the largest logit is the label's (of equals the first counts), else 0."""
        return (self.logits[rows].argmax(axis=1) == sample.labels[rows]).astype(float)


@dataclass(frozen=True)
class Shared:
    """What belongs to no single model.

    `random_logits`: a random network's logits of the judged images, for ZRF. `structural_similarity`: of
    each class to those to forget, in [-1, 1], NaN for these themselves. `scores`: the discriminator's of the
    judged images, in [0, 1], by the file's name of the model whose outputs it scores.
    """

    random_logits: Float[np.ndarray, "M C"]
    structural_similarity: Float[np.ndarray, " C"]
    scores: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Observed:
    """All that judgement reads."""

    sample: Sample
    models: Panel[Observation]
    shared: Shared

    def scores(self) -> Panel[np.ndarray]:
        """Return the discriminator's scores of the outputs of original, unlearned and retrained models."""
        of = self.shared.scores
        return Panel(
            {name: of[name] for name in (ORIGINAL, UNLEARNED)},
            {seed: of[f"retrained/{seed}"] for seed in self.models.references},
        )


def save_sample(sample: Sample, folder: Path) -> None:
    """Write images.csv and classes.csv."""
    names = np.array(sample.classes)
    write_table(
        folder / "images.csv",
        pd.DataFrame(
            {
                "id": sample.indices,
                "class": names[sample.labels],
                "role": sample.roles,
                "subset": sample.subsets,
                "unseen": np.where(sample.is_unseen, "yes", ""),
                "request": sample.earlier.astype(str),
            }
        ),
    )
    role_of = dict.fromkeys(sample.earlier_labels, "earlier")
    role_of |= dict.fromkeys(sample.forget_labels, "forget")
    forgotten = [role_of.get(label, "") for label in range(len(names))]
    before = [f"{sample.before[name]:.4f}" if name in sample.before else "" for name in names]
    write_table(
        folder / "classes.csv",
        pd.DataFrame({"class": names, "role": forgotten, "before": before}),
    )


def save_observation(observation: Observation, path: Path, made_of: str) -> None:
    """Write one model's observation; `made_of`: the fingerprint of what it follows from."""
    arrays = {"logits": observation.logits}
    arrays |= {f"layer {name}": values for name, values in observation.layers.items()}
    for kind, curve in observation.curves.items():
        arrays |= {f"passes {kind}": np.array(curve.passes), f"hits {kind}": curve.hits}
    _save(path, arrays, {"made_of": made_of, "train_accuracy": dict(observation.train_accuracy)})


def save_shared(shared: Shared, path: Path) -> None:
    """Write what belongs to no single model."""
    arrays = {
        "random_logits": shared.random_logits,
        "structural_similarity": shared.structural_similarity,
    }
    arrays |= {f"score {name}": values for name, values in shared.scores.items()}
    _save(path, arrays, {})


def made_of(path: Path) -> str | None:
    """Return the fingerprint that stands in an observation's file, or None if there is no such file."""
    try:
        return json.loads(read_tensors(path, "about", of_bytes)[0])["made_of"]
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None


def load(folder: Path) -> Observed:
    """Return what the stage `observe` wrote. Raises: UserError if files are missing or not what it writes."""
    try:
        sample = _load_sample(folder)
        original = load_observation(folder / f"{ORIGINAL}.safetensors")
        subjects = {
            UNLEARNED: load_observation(folder / f"{UNLEARNED}.safetensors"),
            ORIGINAL: original,
        }
        if not sample.of_images:
            control = folder / f"{CONTROL}.safetensors"
            subjects[CONTROL] = load_observation(control, original.layers)
        for name in (SAME_RECIPE, START):
            control = folder / f"controls/{name}.safetensors"
            if control.exists():
                subjects[name] = load_observation(control)
        files = sorted(
            (folder / "retrained").glob("*.safetensors"), key=lambda file: int(file.stem)
        )
        references = {file.stem: load_observation(file) for file in files}
        _, arrays = read_tensors(folder / "shared.safetensors", "about", of_bytes)
        shared = Shared(
            arrays["random_logits"], arrays["structural_similarity"], _below(arrays, "score ")
        )
    except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{folder} is not what the stage observe writes ({type(error).__name__}: {error}): run "
            "`dvc repro`"
        ) from None
    return Observed(sample, Panel(subjects, references), shared)


def _load_sample(folder: Path) -> Sample:
    columns = ["id", "class", "role", "subset", "unseen", "request"]
    images = read_table(folder / "images.csv", columns)
    classes = read_table(folder / "classes.csv", ["class", "role", "before"])
    names = tuple(classes["class"])
    label_of = {name: label for label, name in enumerate(names)}
    before = zip(names, classes["before"], strict=True)
    return Sample(
        indices=images["id"].to_numpy(),
        labels=np.array([label_of[name] for name in images["class"]]),
        roles=images["role"].to_numpy(dtype=str),
        subsets=images["subset"].to_numpy(dtype=str),
        forget_labels=tuple(np.flatnonzero(classes["role"] == "forget").tolist()),
        classes=names,
        is_unseen=images["unseen"].eq("yes").to_numpy(),
        earlier=images["request"].to_numpy(dtype=int),
        before={name: float(each) for name, each in before if each},
        earlier_labels=tuple(np.flatnonzero(classes["role"] == "earlier").tolist()),
    )


def load_observation(path: Path, layers: Mapping[str, np.ndarray] | None = None) -> Observation:
    """Return what `save_observation` wrote, with these layers if it holds none. Raises: as `read_tensors`."""
    text, arrays = read_tensors(path, "about", of_bytes)
    return Observation(
        arrays["logits"],
        _below(arrays, "layer ") if layers is None else layers,
        json.loads(text)["train_accuracy"],
        {
            kind: RelearningCurve(tuple(passes.tolist()), arrays[f"hits {kind}"])
            for kind, passes in _below(arrays, "passes ").items()
        },
    )


def _below(arrays: Mapping[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    """Return the arrays whose name has this start, by the rest of it, in order of their names."""
    return {
        name.removeprefix(start): arrays[name] for name in sorted(arrays) if name.startswith(start)
    }


def _save(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    content = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(content, metadata={"about": json.dumps(about)}))
