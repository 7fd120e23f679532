"""What features forget images are to have: their own, without what sets their class apart; and mixtures of
kept classes' features, from which an adversary must not tell them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unlearning.data.dataset import Dataset
from unlearning.game.knowledge import Knowledge

RIDGE = 0.1  # of the mean variance: there are about as many images as dimensions
TINY = 1e-12  # of features that are all alike, and of a class that already is a mixture


class KeptFeatures:
    """The kept classes' penultimate features, of the retain images `probed`."""

    def __init__(
        self,
        original: Knowledge,
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

    def turned(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Return directions of length 1 from the kept classes' centre: how an image differs, not how far."""
        return nn.functional.normalize(features - self._center, dim=1)

    def gap(
        self, features: Float[Tensor, "N D"], targets: Float[Tensor, "N D"]
    ) -> Float[Tensor, ""]:
        """Return the mean squared difference, in units of the retain images' variance."""
        return ((features - targets) / self._unit).square().mean()
