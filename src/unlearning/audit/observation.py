"""What each model makes of the audited images: one forward pass per model, shared by all figures."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from unlearning.data.dataset import Dataset, normalised
from unlearning.hardware import Hardware

# Nodes of ResNet-18's graph and the names that tables show; the last is the penultimate layer.
LAYERS = {
    "maxpool": "stem",
    "layer1": "layer1",
    "layer2": "layer2",
    "layer3": "layer3",
    "avgpool": "features",
}
EARLY, FEATURES = "layer2", "features"
LOGITS = "fc"
# Training images per class that are looked at, whatever the data's size. Membership attacks are measured on
# those of the forget classes; a probe takes as many of each class, or it would favour the larger ones.
FORGET_TRAINING_IMAGES, RETAIN_TRAINING_IMAGES = 200, 50


@dataclass(frozen=True)
class Sample:
    """The audited images: all test images, and up to 200 training images of a forget class, 50 of others.

    `indices` into the data set; the other fields follow its order. `rows` picks by role and subset.
    """

    indices: Int[Tensor, " N"]
    labels: np.ndarray
    roles: np.ndarray
    subsets: np.ndarray
    forget_labels: tuple[int, ...]
    class_count: int

    def rows(self, role: str | None, subset: str) -> np.ndarray:
        """Return the positions of the images with this role (None: either) in this subset, in order."""
        chosen = self.subsets == subset
        return np.flatnonzero(chosen & (self.roles == role) if role else chosen)

    @property
    def probed_rows(self) -> np.ndarray:
        """Return the positions of up to 50 training images of every class, in order."""
        train = self.rows(None, "train")
        by_class = [train[self.labels[train] == label] for label in np.unique(self.labels)]
        chosen = [
            rows[spread_evenly(len(rows), min(len(rows), RETAIN_TRAINING_IMAGES))]
            for rows in by_class
        ]
        return np.sort(np.concatenate(chosen))


@dataclass(frozen=True)
class Observation:
    """One model's view of a sample: logits, N x C, and per layer the activations' spatial mean, N x D."""

    logits: Float[Tensor, "N C"]
    layers: dict[str, np.ndarray]

    @property
    def probs(self) -> np.ndarray:
        """Return the softmax in double precision, N x C."""
        return self.logits.double().softmax(dim=1).numpy()


def sample(data: Dataset) -> Sample:
    """Return the images that an audit looks at, in the data set's order; none that was withdrawn."""
    audited = ("forget", "retain")
    train = data.select(role=audited, subset="train")
    chosen = [data.select(role=audited, subset="test")]
    for label in range(len(data.classes)):
        of_class = train[data.labels[train] == label]
        most = FORGET_TRAINING_IMAGES if label in data.forget_labels else RETAIN_TRAINING_IMAGES
        count = min(len(of_class), most)
        chosen.append(of_class[spread_evenly(len(of_class), count)])
    indices = torch.cat(chosen).sort().values
    return Sample(
        indices,
        data.labels[indices].numpy(),
        data.roles[indices.numpy()],
        data.subsets[indices.numpy()],
        tuple(data.forget_labels),
        len(data.classes),
    )


def spread_evenly(available: int, count: int) -> np.ndarray:
    """Return `count` positions out of `available`, as evenly spread as whole numbers allow."""
    return np.arange(count) * available // max(count, 1)


@torch.no_grad()
def observe(
    model: nn.Module, data: Dataset, sample: Sample, hardware: Hardware, batch_size: int = 128
) -> Observation:
    """Return what the model makes of the sample; the model is left untouched, in the mode it was in."""
    # The extractor shares the model's weights, and traces it in both modes.
    training = model.training
    extractor = create_feature_extractor(model, return_nodes=[*LAYERS, LOGITS])
    extractor.eval().to(hardware.device)
    parts: dict[str, list[Tensor]] = {node: [] for node in (*LAYERS, LOGITS)}
    for batch in sample.indices.split(batch_size):
        with hardware.autocast():
            outputs = extractor(normalised(data.pixels(batch), hardware.device))
        for node, values in outputs.items():
            pooled = values.float().flatten(2).mean(dim=2) if values.dim() == 4 else values.float()
            parts[node].append(pooled.cpu())
    model.train(training)
    return Observation(
        torch.cat(parts[LOGITS]),
        {name: torch.cat(parts[node]).numpy() for node, name in LAYERS.items()},
    )
