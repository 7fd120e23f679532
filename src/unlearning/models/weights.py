"""Weights in files: safetensors with a header, which may come from anyone. Reading one never runs code."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load as of_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from unlearning.base.errors import UserError
from unlearning.base.files import atomic
from unlearning.base.tensors import read_tensors, versioned
from unlearning.data.dataset import Labelling
from unlearning.models import build
from unlearning.models.classifier import Architecture, Classifier
from unlearning.settings.types import ImageSize

Network = TypeVar("Network", bound=nn.Module)


class Header(BaseModel):
    """What stands beside the weights in their file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    image_size: ImageSize
    fingerprint: str | None = None
    depth: str | None = None
    architecture: Architecture | None = None  # None: no classifier, or the article's ResNet-18


def save(
    model: nn.Module, labelling: Labelling, path: Path | str, fingerprint: str | None = None
) -> None:
    """Write the weights with the labelling, and the `fingerprint` of what they were made from, as metadata.

    One key for both, because safetensors writes several in random order and the bytes would not be stable.
    """
    about = {"architecture": asdict(model.architecture)} if isinstance(model, Classifier) else {}
    network = model.network if isinstance(model, Classifier) else model
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    header = json.dumps(
        {
            "classes": labelling.classes,
            "image_size": labelling.image_size,
            "fingerprint": fingerprint,
        }
        | ({"depth": labelling.depth} if labelling.depth else {})
        | about
    )
    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(weights, metadata={"labelling": header}))


def load_classifier(path: Path | str) -> tuple[Classifier, Labelling]:
    """Return the classifier in eval mode and its labelling.

    Raises: UserError if the file is missing, or holds anything but what `save` wrote for a classifier.
    """
    header, weights = _read(path)
    architecture = header.architecture or Architecture()
    try:
        network = _filled(
            lambda: build.network(architecture, header.image_size, len(header.classes)),
            weights,
            path,
        )
        model = build.around(network, architecture, header.image_size)
    except build.NoClassifierError as error:
        raise UserError(f"{path} holds weights of {architecture.name!r}, but {error}") from None
    return model.to(memory_format=torch.channels_last).eval(), _labelling(header)


def load(new: Callable[[int], Network], path: Path | str) -> Network:
    """Return `new(class_count)` with the file's weights. Raises: as `load_classifier`."""
    header, weights = _read(path)
    return _filled(lambda: new(len(header.classes)), weights, path)


def _read(path: Path | str) -> tuple[Header, dict[str, Tensor]]:
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: run `dvc repro` or `dvc pull` first")
    try:
        text, weights = read_tensors(path, "labelling", of_bytes)
        return Header.model_validate_json(text), weights
    except (ValueError, TypeError) as error:
        fault = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(
            f"{path} is not a weights file of this project ({fault}): make it anew with `dvc repro`"
        ) from None


def _filled(new: Callable[[], Network], weights: dict[str, Tensor], path: Path | str) -> Network:
    # Compared before memory is taken: a short file can name any network and any number of classes. Not so a
    # RegNet: it computes its widths by tensors, which hold nothing on "meta", and is built first.
    try:
        with torch.device("meta"):
            expected = new().state_dict()
    except NotImplementedError:
        expected = new().state_dict()
    if misfit := _misfit(expected, weights):
        raise UserError(f"{path} holds weights of another architecture: {misfit}")
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise UserError(f"{path} holds weights that are not finite: make it anew with `dvc repro`")
    model = new()
    model.load_state_dict(versioned(weights, model.state_dict()))
    return model


def _labelling(header: Header) -> Labelling:
    return Labelling(header.classes, header.image_size, header.depth or "")


def _misfit(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    """Return the first difference in names, shapes or types, or nothing."""
    for name in sorted(expected.keys() | weights.keys()):
        ours, theirs = (
            f"{tuple(of[name].shape)} {of[name].dtype}" if name in of else "missing"
            for of in (expected, weights)
        )
        if ours != theirs:
            return f"{name!r} is {theirs}, not {ours}"
    return ""


def controls(folder: Path) -> list[str]:
    """Return the names of the trained controls below `folder`, in order."""
    return [f"controls/{file.stem}" for file in sorted((folder / "controls").glob("*.safetensors"))]


def retrained(folder: Path) -> list[str]:
    """Return the names of the retrained models below `folder`, by seed. Raises: UserError for any other."""
    files = list((folder / "retrained").glob("*.safetensors"))
    for file in files:
        if not file.stem.isdecimal():
            raise UserError(
                f"{file} is none of the retrained models, whose names are seeds: remove it"
            )
    return [f"retrained/{file.stem}" for file in sorted(files, key=lambda file: int(file.stem))]
