"""Everything that the report is made from, read once: metrics, series, examples, fingerprints, versions."""

import base64
import io
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from unlearning.audit import columns
from unlearning.base import cores
from unlearning.base.errors import UserError
from unlearning.base.files import read_table
from unlearning.base.fingerprint import sha256
from unlearning.base.shards import Shards
from unlearning.charts.style import STYLES, family_of
from unlearning.data import request
from unlearning.data.request import Request
from unlearning.report.cautions import cautions
from unlearning.report.metrics import TABLES, Metrics
from unlearning.settings.whole import Params

METRICS = (
    "prepare_data",
    "split_dataset",
    "train_original",
    "retrain",
    "adversarial_train",
    "evaluate_forget",
    "evaluate_retain",
    "audit",
)
# With the columns that are drawn.
SERIES: Mapping[str, Sequence[str]] = {
    "audit_figures": ("figure",),
    "train_original": ("epoch", "loss"),
    "retrain": ("seed", "epoch", "loss"),
    "adversarial_train": ("epoch",),
    "forget_confusion": ("actual", "predicted"),
    "retain_confusion": ("actual", "predicted"),
    "audit_layers": columns.LAYERS,
    "audit_relearning": columns.CURVES,
    "audit_histograms": columns.HISTOGRAMS,
}
FINGERPRINTED = (
    "data/images/*.npy",
    "data/samples.csv",
    "data/split.csv",
    "models/*.safetensors",
    "models/retrained/*.safetensors",
)
HIDDEN = "not shown"
# Pictures stand in the page itself: no larger than they are shown. JPEG's quality, 1 to 95.
PICTURE_SIDE, PICTURE_QUALITY = 256, 85


@dataclass(frozen=True)
class Example:
    """A forget image as a data: URI, with its class and each model's top predictions.

    `answers` holds, by model, pairs of class and probability as text, highest first.
    """

    actual: str
    picture: str
    answers: dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Evidence:
    """What the page and the model card are made from."""

    params: Params
    metrics: Metrics
    series: Mapping[str, pd.DataFrame]
    request: Request
    split_given: bool
    skipped: pd.DataFrame
    copies: pd.DataFrame
    examples: list[Example]
    fingerprints: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def classes(self) -> list[str]:
        """Return all classes that have images, by name."""
        return list(self.metrics.items("images_per_class"))

    @property
    def outputs(self) -> int:
        """Return how many classes the network answers with: those, too, whose images were deleted since."""
        return len(self.request.classes_met.union(self.classes))

    @property
    def forgotten(self) -> list[str]:
        """Return the classes to forget, as they were asked for; none if single images are."""
        return [] if self.of_images else self.params.forget.classes

    @property
    def asked(self) -> str:
        """Return what was asked for in a few words, but for what may name a person."""
        forget = self.params.forget
        hidden = {
            "files": forget.files and "a list",
            "where": dict.fromkeys(forget.where, "a value not shown here"),
        }
        return forget.model_copy(update=hidden).said

    @property
    def previous(self) -> list[str]:
        """Return the files of the requests met before, without the path of one machine."""
        return [without_machine(path) for path in self.params.forget.previous]

    @property
    def of_images(self) -> bool:
        """Return whether single images were to be forgotten, not whole classes."""
        return self.params.forget.of_images

    @property
    def source(self) -> str:
        """Return where the images come from, without the path of one machine."""
        if self.params.data.source == "synthetic":
            return "drawn by the project itself"
        if self.params.data.source in ("folder", "table"):
            return f"photographs of the {self.params.data.source} {without_machine(self.params.data.path)}"
        return f"the data set {self.params.data.source}"

    @property
    def network(self) -> str:
        """Return the architecture, and where its weights come from, without the path of one machine."""
        model = self.params.model
        if model.weights:
            return f"{model.name} with given weights ({without_machine(model.weights)})"
        start = f" from {without_machine(model.start)}" if model.start else " from random weights"
        return f"{model.name}, trained{start}"

    @property
    def has_same_recipe(self) -> bool:
        """Return whether a control was trained by the retrained models' recipe on all images."""
        return "same_recipe" in self.series["audit_figures"]

    @property
    def has_start(self) -> bool:
        """Return whether training began with other than random weights, and these stand beside as a control."""
        return "start" in self.series["audit_figures"]

    @property
    def cautions(self) -> list[str]:
        """Return what a reader must know of the references."""
        return cautions(self.params, self.request, split_given=self.split_given)


def read(root: Path, params: Params) -> Evidence:
    """Return the evidence of the run in this folder. Raises: UserError or OSError if a file is unfit."""
    return Evidence(
        params=params,
        metrics=Metrics.read(root, METRICS, TABLES),
        series={
            name: series(root / f"plots/{name}.csv", needed) for name, needed in SERIES.items()
        },
        request=request.read(root / "data/request.json"),
        split_given="subset" in read_table(root / "data/samples.csv", ["id"]),
        skipped=read_table(root / "data/skipped.csv"),
        copies=read_table(root / "data/copies.csv"),
        examples=examples(root / "data", params.report.forget_images),
        fingerprints=fingerprints(root, FINGERPRINTED),
        versions=versions(),
    )


def series(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    """Return a table whose rows are drawn. Raises: UserError if it names a model that no run has."""
    table = read_table(path, needed)
    for model in table["model"].unique() if "model" in needed else ():
        if family_of(model) not in STYLES:
            raise UserError(f"{path} has a model {model!r}, which is unknown: run `dvc repro`")
    return table


def examples(folder: Path, count: int) -> list[Example]:
    """Return the first `count` images of data/audit_examples.csv; without any, no image is opened."""
    table = read_table(folder / "audit_examples.csv", columns.EXAMPLES)
    chosen = list(dict.fromkeys(table["id"]))[:count]
    if not chosen:
        return []
    samples = read_table(folder / "samples.csv", ["id", "class"])
    samples["row"] = range(len(samples))
    samples = samples.set_index("id")
    images = Shards(folder / "images")
    known = samples.index.is_unique and set(chosen) <= set(samples.index)
    if not known or len(samples) != len(images):
        raise UserError(
            f"{folder}: audit_examples.csv, samples.csv and images do not belong together: run "
            "`dvc repro`"
        )

    return [
        Example(
            actual=samples.loc[number, "class"],
            picture=jpeg(images[samples.loc[number, "row"]]),
            answers={
                str(model): list(zip(rows["class"], rows["probability"], strict=True))
                for model, rows in table[table["id"] == number].groupby("model", sort=False)
            },
        )
        for number in chosen
    ]


def jpeg(pixels: np.ndarray) -> str:
    """Return an image (H x W x 3, uint8) as a data: URI that a page can show without a file."""
    image = Image.fromarray(np.asarray(pixels))
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=PICTURE_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def fingerprints(root: Path, patterns: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each file that a pattern names, by its path below `root`, in order."""
    paths = [path for pattern in patterns for path in sorted(root.glob(pattern), key=_by_number)]
    return {path.relative_to(root).as_posix(): sha256(path) for path in paths}


def _by_number(path: Path) -> tuple[int, str]:
    """Sort retrained/2 before retrained/10."""
    return (int(path.stem) if path.stem.isdecimal() else -1, path.name)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the direct dependencies, and how many threads a process takes.

    On all of them the last digits of a figure depend.
    """
    requirements = metadata.requires("unlearning") or []
    names = [re.split(r"[^\w.-]", line)[0] for line in requirements if "extra ==" not in line]
    return {
        "threads": str(cores.threads()),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in sorted(names, key=str.lower)},
    }


def without_machine(path: str) -> str:
    """Return a path as given, but of an absolute one only the end: the rest belongs to one machine."""
    return PurePath(path).name if PurePath(path).is_absolute() else path


def parameters(params: Params) -> dict[str, str]:
    """Return every value of params.yaml by its dotted key, as the certificate shows it."""
    return dict(_flat(without_names(params), ""))


def without_names(params: Params) -> dict[str, Any]:
    """Return params.yaml as JSON has it, but for what may name a person.

    Not shown are absolute paths, `forget.files` and the values of `forget.where`.
    """
    values = params.model_dump(mode="json")
    forget = values["forget"]
    forget["where"] = dict.fromkeys(forget["where"], HIDDEN)
    forget["files"] = forget["files"] and HIDDEN
    return {key: _without_paths(value) for key, value in values.items()}


def _without_paths(value: Any) -> Any:
    """Return a value of JSON in which nothing is an absolute path."""
    if isinstance(value, dict):
        return {key: _without_paths(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_paths(each) for each in value]
    return HIDDEN if isinstance(value, str) and PurePath(value).is_absolute() else value


def _flat(values: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value:
            yield prefix + key, ", ".join(str(item) for item in value)
        else:
            yield prefix + key, "null" if value is None else str(value)
