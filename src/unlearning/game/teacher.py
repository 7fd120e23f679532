"""What the frozen original knows: features to keep, and what it would take a forget image for otherwise.

The target of a forget image joins two opinions that name no forgotten class:
- the original's distribution with the forget classes taken out: its second thoughts, which rest on features
  that learned the class (DELETE, Zhou et al. 2025, arXiv:2503.23751);
- a probe's: logistic regression on features of a middle layer, fitted to retain images alone. Such layers
  know shapes and colours, not classes, so the probe comes closer to a model that never saw the class.

Each alone errs in its own way (docs/experiments.md); their product is closer to retrained models.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from unlearning.data.dataset import Dataset, normalised
from unlearning.hardware import Hardware
from unlearning.losses import masked_teacher

PROBED, FEATURES, HEAD = "layer2", "avgpool", "fc"
PROBED_CELLS = 2  # the probed layer is averaged over 2 x 2 parts of the image
PROBED_PER_CLASS = 64  # retain images that the probe learns from
REGULARISATION = 0.001  # scikit-learn's C, of standardised features
# Exponents of the two opinions. Their geometric mean (0.5, 0.5) is less certain than retrained models are.
MASKED_WEIGHT, PROBE_WEIGHT = 0.5, 0.8


@dataclass(frozen=True)
class Knowledge:
    """What the frozen original makes of some images, in ascending order of `indices`.

    `logits`: N x C. `features`: N x D, of the penultimate layer. `middle`: N x E, of the probed layer.
    """

    indices: Int[Tensor, " N"]
    logits: Float[Tensor, "N C"]
    features: Float[Tensor, "N D"]
    middle: Float[Tensor, "N E"]

    def places(self, wanted: Int[Tensor, " K"]) -> Int[Tensor, " K"]:
        """Return the rows of these images, in this order."""
        return torch.searchsorted(self.indices, wanted).to(self.logits.device)


@torch.no_grad()
def consult(
    original: nn.Module,
    data: Dataset,
    indices: Int[Tensor, " N"],
    hardware: Hardware,
    batch_size: int = 128,
) -> Knowledge:
    """Return what the original makes of these images, one forward pass each."""
    training = original.training
    extractor = create_feature_extractor(original, return_nodes=[PROBED, FEATURES, HEAD])
    extractor.eval().to(hardware.device)
    parts: dict[str, list[Tensor]] = {PROBED: [], FEATURES: [], HEAD: []}
    indices = indices.sort().values
    for batch in indices.split(batch_size):
        with hardware.autocast():
            found = extractor(normalised(data.pixels(batch), hardware.device))
        pooled = F.adaptive_avg_pool2d(found[PROBED].float(), PROBED_CELLS)
        parts[PROBED].append(pooled.flatten(1))
        parts[FEATURES].append(found[FEATURES].float().flatten(1))
        parts[HEAD].append(found[HEAD].float())
    original.train(training)
    return Knowledge(
        indices, torch.cat(parts[HEAD]), torch.cat(parts[FEATURES]), torch.cat(parts[PROBED])
    )


def probed_images(data: Dataset, seed: int) -> Int[Tensor, " K"]:
    """Return up to 64 retain training images per class for the probe, drawn by the seed."""
    retain = data.select(role="retain", subset="train")
    generator = torch.Generator().manual_seed(seed)
    shuffled = retain[torch.randperm(len(retain), generator=generator)]
    labels = data.labels[shuffled]
    return torch.cat([shuffled[labels == label][:PROBED_PER_CLASS] for label in labels.unique()])


def targets(
    knowledge: Knowledge,
    forget: Int[Tensor, " N"],
    probed: Int[Tensor, " K"],
    data: Dataset,
) -> Float[Tensor, "N C"]:
    """Return the log-probabilities that forget images are to have, in the order of `forget`.

    Masked original to the power 0.5 x probe to the power 0.8, renormalised; a forget class has minus infinity.
    """
    places = knowledge.places(forget)
    forget_labels = torch.tensor(data.forget_labels, device=places.device)
    masked = masked_teacher(knowledge.logits[places], forget_labels)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=500))
    middle = knowledge.middle.cpu().double().numpy()
    probe.fit(middle[knowledge.places(probed).cpu()], data.labels[probed].numpy())
    chances = probe.predict_proba(middle[places.cpu()]).clip(min=np.finfo(float).tiny)
    opinion = torch.full(masked.shape, float("-inf"), dtype=torch.double)
    opinion[:, torch.from_numpy(probe.classes_)] = torch.from_numpy(np.log(chances))
    joined = MASKED_WEIGHT * masked + PROBE_WEIGHT * opinion.to(masked)
    return joined.log_softmax(dim=1)
