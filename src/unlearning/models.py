"""The networks of the article (A4 to A6) and their files.

Generator, feature extractor and classifier are one architecture: torchvision's ResNet-18 with one
output per class. Weights are kept as safetensors: reading one never runs code.
"""

import json
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torchvision.models import resnet18

from unlearning.data.dataset import Dataset, Labelling, normalised
from unlearning.errors import UserError
from unlearning.files import atomic
from unlearning.hardware import Hardware
from unlearning.versions import Versions


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
        model = resnet18(weights=None, num_classes=class_count)
    return model.to(memory_format=torch.channels_last)


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
    )
    with atomic(path) as temporary:
        temporary.write_bytes(to_bytes(weights, metadata={"labelling": header}))


def load_classifier(path: Path | str) -> tuple[nn.Module, Labelling]:
    """Return the classifier in eval mode and its labelling.

    Raises: UserError if the file is missing or not one that `save` wrote.
    """
    weights, labelling = _read(path)
    model = resnet18(weights=None, num_classes=len(labelling.classes))
    _fill(model, weights, path)
    return model.to(memory_format=torch.channels_last).eval(), labelling


def load_discriminator(path: Path | str) -> Discriminator:
    """Return the discriminator in eval mode. Raises: UserError as `load_classifier`."""
    weights, labelling = _read(path)
    model = Discriminator(len(labelling.classes))
    _fill(model, weights, path)
    return model.eval()


def _read(path: Path | str) -> tuple[dict[str, Tensor], Labelling]:
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: run `dvc repro` or `dvc pull` first")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["labelling"])
        labelling = Labelling(tuple(header["classes"]), int(header["image_size"]))
        return load_file(path), labelling
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is not a weights file of this project ({error}): make it anew with `dvc repro`"
        ) from None


def _fill(model: nn.Module, weights: dict[str, Tensor], path: Path | str) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{path} holds weights of another architecture: {str(error).splitlines()[0]}"
        ) from None


def load_versions(folder: Path | str) -> Versions[nn.Module]:
    """Return original, unlearned and retrained models. Raises: UserError as `load_classifier`."""
    folder = Path(folder)
    retrained = sorted(
        (folder / "retrained").glob("*.safetensors"), key=lambda path: int(path.stem)
    )
    return Versions(
        original=load_classifier(folder / "original.safetensors")[0],
        unlearned=load_classifier(folder / "unlearned.safetensors")[0],
        retrained={path.stem: load_classifier(path)[0] for path in retrained},
    )
