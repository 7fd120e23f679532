"""The networks of the article (A4 to A6) and their files.

Generator, feature extractor and classifier are one architecture: torchvision's ResNet-18 with one
output per class. Weights are kept as safetensors: reading one never runs code.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torchvision.models import resnet18

from unlearning.data.dataset import Dataset, Labelling, normalised
from unlearning.data.depth import PLAIN, Depth
from unlearning.errors import UserError
from unlearning.files import atomic
from unlearning.hardware import Hardware
from unlearning.settings import ImageSize
from unlearning.tensors import read_tensors
from unlearning.versions import Versions

Network = TypeVar("Network", bound=nn.Module)


class Header(BaseModel):
    """What stands beside the weights in their file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    image_size: ImageSize
    fingerprint: str | None = None
    depth: str | None = None


class Discriminator(nn.Module):
    """Tells a network's outputs on retain images (real, 1) from those on forget images (fake, 0).

    MLP C -> 512 -> 256 -> 1 with ReLU between (A6). Returns a logit, N; the article's sigmoid at the
    end is applied for the score, and by the losses of the recipe `article`.
    """

    def __init__(self, class_count: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(class_count, 512),
            nn.ReLU(),
            nn.Linear(512, 256),
            nn.ReLU(),
            nn.Linear(256, 1),
        )

    def forward(self, outputs: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
        """Return one logit per row: above 0 it reads as "an image of a class that is kept"."""
        return self.layers(outputs.float()).squeeze(1)


def new_classifier(class_count: int, seed: int) -> nn.Module:
    """Return a ResNet-18 with fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _classifier(class_count)
    return model.to(memory_format=torch.channels_last)


def _classifier(class_count: int) -> nn.Module:
    return resnet18(weights=None, num_classes=class_count)


def new_discriminator(class_count: int, seed: int) -> Discriminator:
    """Return a discriminator with fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Discriminator(class_count)


@torch.no_grad()
def predict_logits(
    model: nn.Module,
    data: Dataset,
    indices: Int[Tensor, " K"],
    hardware: Hardware,
    batch_size: int = 128,
) -> Float[Tensor, "K C"]:
    """Return the logits of these images, fp32 on the CPU; the model's mode is left as it was."""
    training = model.training
    model.eval().to(hardware.device)
    logits = []
    for batch in indices.split(batch_size):
        images = normalised(data.pixels(batch), hardware.device)
        with hardware.autocast():
            logits.append(model(images).float().cpu())
    model.train(training)
    return torch.cat(logits) if logits else torch.empty(0, len(data.classes))


@torch.no_grad()
def scores(discriminator: Discriminator, logits: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
    """Return the discriminator's score of each output, in [0, 1]: the sigmoid of its logit (A14)."""
    return discriminator(logits).sigmoid()


@torch.no_grad()
def require_finite(
    model: nn.Module,
    setting: str,
    learning_rate: float,
    images: Float[Tensor, "N 3 H W"] | None = None,
) -> None:
    """Check the weights and the statistics of batch normalisation after a training's last step.

    With `images` also what the model, in eval mode, makes of them: weights may be finite and too large to use.

    Raises: UserError that names the first tensor with a value that is not finite, and the `setting` of
    params.yaml that is the learning rate.
    """
    tensors = dict(model.state_dict())
    if images is not None:
        tensors["what it makes of its last images"] = model(images)
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(
                f"params.yaml: {setting} is {learning_rate}, and the training diverged: {name} is no "
                f"longer finite: lower {setting}"
            )


def save(
    model: nn.Module, labelling: Labelling, path: Path | str, fingerprint: str | None = None
) -> None:
    """Write the weights with the labelling, and the `fingerprint` of what they were made from, as metadata.

    One key for both, because safetensors writes several in random order and the bytes would not be stable.
    """
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    header = json.dumps(
        {
            "classes": labelling.classes,
            "image_size": labelling.image_size,
            "fingerprint": fingerprint,
        }
        | ({} if labelling.depth == PLAIN else {"depth": labelling.depth.dumps()})
    )
    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(weights, metadata={"labelling": header}))


def load_classifier(path: Path | str) -> tuple[nn.Module, Labelling]:
    """Return the classifier in eval mode and its labelling.

    Raises: UserError if the file is missing, or holds anything but what `save` wrote for a classifier.
    """
    model, labelling = _load(_classifier, path)
    return model.to(memory_format=torch.channels_last).eval(), labelling


def load_discriminator(path: Path | str) -> Discriminator:
    """Return the discriminator in eval mode. Raises: UserError as `load_classifier`."""
    return _load(Discriminator, path)[0].eval()


def _load(new: Callable[[int], Network], path: Path | str) -> tuple[Network, Labelling]:
    """Return `new(class_count)` with the file's weights, and their labelling."""
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: run `dvc repro` or `dvc pull` first")
    try:
        text, weights = read_tensors(path, "labelling")
        header = Header.model_validate_json(text)
        depth = PLAIN if header.depth is None else Depth.loads(header.depth)
    except (ValueError, TypeError) as error:
        fault = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(
            f"{path} is not a weights file of this project ({fault}): make it anew with `dvc repro`"
        ) from None
    class_count = len(header.classes)
    # Compared before memory is taken: a short file can name any number of classes.
    with torch.device("meta"):
        misfit = _misfit(new(class_count).state_dict(), weights)
    if misfit:
        raise UserError(f"{path} holds weights of another architecture: {misfit}")
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise UserError(f"{path} holds weights that are not finite: make it anew with `dvc repro`")
    model = new(class_count)
    model.load_state_dict(weights)
    return model, Labelling(header.classes, header.image_size, depth)


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


def load_versions(folder: Path | str) -> Versions[nn.Module]:
    """Return original, unlearned and retrained models. Raises: UserError as `load_classifier`."""
    folder = Path(folder)
    retrained = list((folder / "retrained").glob("*.safetensors"))
    for path in retrained:
        if not path.stem.isdecimal():
            raise UserError(
                f"{path} is none of the retrained models, whose names are seeds: remove it"
            )
    retrained.sort(key=lambda path: int(path.stem))
    return Versions(
        original=load_classifier(folder / "original.safetensors")[0],
        unlearned=load_classifier(folder / "unlearned.safetensors")[0],
        retrained={path.stem: load_classifier(path)[0] for path in retrained},
    )
