"""What images are to have after the game: outputs and features of a model that never saw the class, as far as
the frozen original lets us know.

The outputs of forget images join two opinions, of the kept classes alone:
- what the original's last layer makes of the features that the images are to have, which are their own without
  what sets the class apart. Its probabilities of their own features, with the forget classes masked (DELETE,
  Zhou et al. 2025, arXiv:2503.23751), rest on what it learned of the class;
- a probe's: logistic regression on features of a middle layer, fitted to retain images alone. Such layers
  know shapes and colours, not classes, so the probe comes closer to a model that never saw the class.

To take out what sets a class apart one must know which kept classes it resembles. That is guessed from the
masked probabilities and the probe together: of several guesses the one that served best (docs/experiments.md).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from unlearning.base.hardware import Hardware
from unlearning.data.dataset import Dataset
from unlearning.methods.shared.losses import masked_log_probs
from unlearning.models import anatomy
from unlearning.models.forward import forward
from unlearning.models.layers import FEATURES, LOGITS, MIDDLE

REGULARISATION = 0.001  # scikit-learn's C, of standardised features
# Exponents of the original's opinion and the probe's, chosen by how far the product is from retrained models.
GUESS_EXPONENTS, TARGET_EXPONENTS = (0.5, 0.8), (0.7, 0.7)
RIDGE = 0.1  # of the mean variance: there are about as many images as dimensions
TINY = 1e-12  # of features that are all alike, and of a class that already is a mixture
MIDDLE_CELLS = 2  # the probed layer is averaged over 2 x 2 parts of the image
PROBED_PER_CLASS = 64  # retain images that the probe and the features' targets learn from


@dataclass(frozen=True)
class Frozen:
    """What the frozen original makes of some images, in ascending order of `indices`.

    `logits`: N x C. `features`: N x D, of the penultimate layer. `middle`: N x E, of the probed layer.
    `head`: its last layer, to be asked about other features.
    """

    indices: Int[Tensor, " N"]
    logits: Float[Tensor, "N C"]
    features: Float[Tensor, "N D"]
    middle: Float[Tensor, "N E"]
    head: nn.Module

    def places(self, wanted: Int[Tensor, " K"]) -> Int[Tensor, " K"]:
        """Return the rows of these images, in this order."""
        return torch.searchsorted(self.indices, wanted).to(self.logits.device)


def freeze(
    original: nn.Module, data: Dataset, indices: Int[Tensor, " N"], hardware: Hardware
) -> Frozen:
    """Return what the original makes of these images, one forward pass each. It is moved to the hardware."""
    indices = indices.sort().values
    cells = {MIDDLE: MIDDLE_CELLS, FEATURES: 1}
    found = forward(original, data, indices, hardware, cells)
    on_device = {name: values.to(hardware.device) for name, values in found.items()}
    return Frozen(
        indices, on_device[LOGITS], on_device[FEATURES], on_device[MIDDLE], anatomy.head(original)
    )


def probed_images(data: Dataset, seed: int) -> Int[Tensor, " K"]:
    """Return up to 64 retain training images per class, drawn by the seed."""
    retain = data.select(role="retain", subset="train")
    generator = torch.Generator().manual_seed(seed)
    shuffled = retain[torch.randperm(len(retain), generator=generator)]
    labels = data.labels[shuffled]
    return torch.cat([shuffled[labels == label][:PROBED_PER_CLASS] for label in labels.unique()])


class KeptFeatures:
    """The kept classes' penultimate features, of the retain images `probed`."""

    def __init__(
        self,
        original: Frozen,
        probed: Int[Tensor, " K"],
        data: Dataset,
        generator: torch.Generator,
    ):
        features = original.features[original.places(probed)]
        labels = data.labels[probed].to(features.device)
        self._by_class = {int(label): features[labels == label] for label in labels.unique()}
        self._means = features.new_zeros(len(data.classes), features.shape[1])
        for label, rows in self._by_class.items():
            self._means[label] = rows.mean(dim=0)
        self._center = features.mean(dim=0)
        # One unit for all dimensions: some hardly vary and would be blown up by their own.
        self._unit = features.std(dim=0).mean().clamp(min=torch.finfo(features.dtype).tiny)
        self._generator = generator

    def without_class(
        self,
        features: Float[Tensor, "N D"],
        log_probs: Float[Tensor, "N C"],
        labels: Int[Tensor, " N"],
    ) -> Float[Tensor, "N D"]:
        """Return forget images' features without what sets their class apart.

        A class's shift leads from the kept classes' mean features, in the shares that its images are taken
        for, to its own mean. Each image goes back along it by its own score on Fisher's linear discriminant,
        which is 1 on average. Before the result is clipped at 0, the class's mean is that mixture and each
        image scores 0; what differs between images otherwise stays. `labels` may lie on another device.

        Source: Fisher 1936, "The Use of Multiple Measurements in Taxonomic Problems"; we take the scatter
        of the kept classes alone, since the forget class's is what is to go, and a ridge.
        """
        within = torch.cat([rows - rows.mean(dim=0) for rows in self._by_class.values()]).double()
        spread = within.T @ within / len(within)
        spread.diagonal().add_(RIDGE * spread.diagonal().mean().clamp(min=TINY))
        moved = features.clone()
        for label in labels.unique():
            rows = (labels == label).to(features.device)
            mixture = log_probs[rows].exp().mean(dim=0) @ self._means
            apart = (features[rows] - mixture).double()
            shift = apart.mean(dim=0)
            discriminant = torch.linalg.solve(spread, shift)
            scores = apart @ discriminant / (shift @ discriminant).clamp(min=TINY)
            moved[rows] -= (scores[:, None] * shift).to(moved)
        return moved.clamp(min=0)  # means of what a ReLU lets through

    def mixtures(self, log_probs: Float[Tensor, "N C"], count: int) -> Float[Tensor, "M D"]:
        """Return `count` mixtures of one random image per class, in the shares of random rows."""
        rows = torch.randint(len(log_probs), (count,), generator=self._generator)
        shares = log_probs[rows.to(log_probs.device)].exp()
        mixed = shares.new_zeros(count, self._means.shape[1])
        for label, features in self._by_class.items():
            picked = torch.randint(len(features), (count,), generator=self._generator)
            mixed += shares[:, label, None] * features[picked.to(features.device)]
        return mixed

    def directions(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Return directions of length 1 from the kept classes' centre: how an image differs, not how far."""
        return nn.functional.normalize(features - self._center, dim=1)

    def gap(
        self, features: Float[Tensor, "N D"], targets: Float[Tensor, "N D"]
    ) -> Float[Tensor, ""]:
        """Return the mean squared difference, in units of the retain images' variance."""
        return ((features - targets) / self._unit).square().mean()


@dataclass(frozen=True)
class Targets:
    """What forget images are to have: `log_probs`, N x C, and `features`, N x D.

    A class that is forgotten, or of which no image was probed, has minus infinity.
    """

    log_probs: Float[Tensor, "N C"]
    features: Float[Tensor, "N D"]


def find_targets(
    known: Frozen,
    kept: KeptFeatures,
    forget: Int[Tensor, " N"],
    probed: Int[Tensor, " K"],
    data: Dataset,
) -> Targets:
    """Return what these forget images are to have, in their order."""
    places = known.places(forget)
    forget_labels = torch.tensor(data.forget_labels, device=places.device)
    probe = _probe_opinion(known, places, probed, data)
    masked = masked_log_probs(known.logits[places], forget_labels)
    guess = _joined(masked, probe, GUESS_EXPONENTS)
    features = kept.without_class(known.features[places], guess, data.labels[forget])
    answers = masked_log_probs(known.head(features), forget_labels)
    return Targets(_joined(answers, probe, TARGET_EXPONENTS), features)


def _probe_opinion(
    known: Frozen, places: Int[Tensor, " N"], probed: Int[Tensor, " K"], data: Dataset
) -> Float[Tensor, "N C"]:
    """Return the probe's log-probabilities of the images at these places; minus infinity of other classes."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=500))
    middle = known.middle.cpu().double().numpy()
    # NumPy's indices, not torch's: one of those with a single element picks a row, not a list of one.
    probe.fit(middle[known.places(probed).cpu().numpy()], data.labels[probed].numpy())
    chances = probe.predict_proba(middle[places.cpu().numpy()]).clip(min=np.finfo(float).tiny)
    opinion = torch.full((len(places), len(data.classes)), float("-inf"), dtype=torch.double)
    opinion[:, torch.from_numpy(probe.classes_)] = torch.from_numpy(np.log(chances))
    return opinion.to(known.logits)


def _joined(
    original: Float[Tensor, "N C"], probe: Float[Tensor, "N C"], exponents: tuple[float, float]
) -> Float[Tensor, "N C"]:
    """Return the log-probabilities of both opinions, each to its power, multiplied and renormalised."""
    return (exponents[0] * original + exponents[1] * probe).log_softmax(dim=1)
