"""The auditor of members: an adversary that plays its best response in every step, and is not trained along.

It tells forget images that the original was trained on (members) from images of the same classes that it never
saw, by the generator's features; of a request for single images by the log odds of their own class, where their
memory shows most (docs/experiments.md). All of both kinds stand in a bank, a row each, refreshed as batches
pass. In every step a ridge logistic auditor is fitted to the bank without the batch's own rows, and asked about
these: what it has learned then holds for images that it was not fitted on, which is what an attacker's must do.

Source: the best response is that of stochastic Stackelberg unlearning, SG-Unlearn, arXiv:2406.07687, whose
auditor is a support vector machine fitted to outputs; bank, features and held-out rows are ours.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unlearning.data.dataset import Dataset
from unlearning.models.classifier import Classifier
from unlearning.models.forward import forward
from unlearning.models.layers import DEEP, LOGITS
from unlearning.running.hardware import Hardware

ODDS = "odds"
RIDGE = 0.01  # of rows of length 1
NEWTON_STEPS = 20
SOLVED = 1e-6  # length of the last Newton step, relative to the solution
MOST_ROWS = 256  # of a kind in the bank
LEAST_ROWS = 4  # of a kind, for an auditor to be fitted
SMALLEST_SPREAD = 1e-6  # of log odds that are all alike


@dataclass(frozen=True)
class Known:
    """What an auditor knows: images, the label that each is asked about, how many, the first, are members."""

    images: Int[Tensor, " N"]
    labels: Int[Tensor, " N"]
    members: int

    @classmethod
    def of(cls, data: Dataset, seed: int) -> "Known":
        """Return training images to forget and validation images like them, at most as many as the bank holds.

        Each picture once: a row fitted to would tell of its copy in the batch, and not of memory.
        Of wrong labels few are held out, and how well known these few happen to be would decide what members
        become like. So other validation images stand beside them, under labels of the request, wrong for them.
        """
        members = _some(data.distinct(data.select(role="forget", subset="train")), seed)
        unseen = _some(data.distinct(data.unseen("validation")), seed)
        labels = data.labels[unseen]
        if data.request.images and data.request.images.wrong_labels:
            draws = torch.Generator().manual_seed(seed)
            others = data.distinct(data.select(role="retain", subset="validation"))
            others = others[torch.randperm(len(others), generator=draws)[: MOST_ROWS - len(unseen)]]
            asked = data.labels[members]
            asked = asked[torch.randint(len(asked), others.shape, generator=draws)]
            is_wrong = asked != data.labels[others]
            unseen = torch.cat([unseen, others[is_wrong]])
            labels = torch.cat([labels, asked[is_wrong]])
        images = torch.cat([members, unseen])
        return cls(images, torch.cat([data.labels[members], labels]), len(members))

    @property
    def unseen(self) -> int:
        """Return how many are not members."""
        return len(self.images) - self.members


class Auditor:
    """It knows so many members and unseen images by the named layers' features or `ODDS`, members first."""

    def __init__(self, layers: Iterable[str], members: int, unseen: int, device: torch.device):
        self._rows: dict[str, Tensor] = {}
        self._layers = tuple(layers)
        self._is_member = torch.arange(members + unseen, device=device) < members
        self._is_fit = min(members, unseen) >= LEAST_ROWS

    @property
    def has_looked(self) -> bool:
        """Return whether the bank is filled."""
        return bool(self._rows)

    def look(self, generator: Classifier, data: Dataset, known: Known, hardware: Hardware) -> None:
        """Fill the bank with what the generator makes of these images in evaluation mode."""
        found = forward(generator, data, known.images, hardware, DEEP)
        seen = self.seen(found, known.labels)
        self._rows = {layer: rows.to(hardware.device) for layer, rows in seen.items()}

    def seen(
        self, found: Mapping[str, Float[Tensor, "N _"]], labels: Int[Tensor, " N"]
    ) -> dict[str, Float[Tensor, "N _"]]:
        """Return what the auditor looks at of what a network makes of images (logits and deep layers)."""
        views = {**found, ODDS: log_odds(found[LOGITS], labels)}
        return {layer: views[layer] for layer in self._layers}

    def advantage(
        self, features: Mapping[str, Float[Tensor, "N _"]], places: Int[Tensor, " N"]
    ) -> Float[Tensor, ""]:
        """Return by how many nats an auditor beats a coin toss on the bank's images at `places`, in all layers.

        Per layer in [0, ln 2]: 0 if it cannot tell members from unseen images, ln 2 if it is always right and
        certain. It is fitted to all other rows; both kinds weigh alike. The gradient reaches `features` alone,
        which then replace the rows. 0 where `places` hold one kind only, or fewer than 4 images of a kind are
        known.
        """
        asked = self._is_member[places]
        total = next(iter(features.values())).new_zeros(())
        for layer, rows in self._rows.items():
            rows[places] = features[layer].detach()
        if not self._is_fit or asked.all() or not asked.any():
            return total
        others = torch.ones_like(self._is_member)
        others[places] = False
        for layer, rows in self._rows.items():
            auditor = best_response(_seen(rows[others], rows), self._is_member[others], RIDGE)
            loss = F.binary_cross_entropy_with_logits(
                _seen(features[layer], rows) @ auditor,
                asked.double(),
                weight=_balanced(asked),
                reduction="sum",
            )
            total = total + (math.log(2) - loss).clamp(min=0).to(total.dtype)
        return total

    def state_dict(self) -> dict[str, Any]:
        """Return the bank."""
        return dict(self._rows)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up this bank."""
        device = self._is_member.device
        self._rows = {layer: rows.to(device) for layer, rows in state_dict.items()}


def log_odds(logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"]) -> Float[Tensor, "N 1"]:
    """Return the logarithm of p / (1 - p) of each image's own class."""
    logits, own = logits.float(), labels[:, None].to(logits.device)
    others = logits.scatter(1, own, -torch.inf)
    return logits.gather(1, own) - others.logsumexp(dim=1, keepdim=True)


def best_response(
    rows: Float[Tensor, "N D"], is_member: Bool[Tensor, " N"], ridge: float
) -> Float[Tensor, " D"]:
    """Return the weights w that minimise the class-balanced logistic loss + ridge / 2 |w|², by Newton's method.

    Rows are far fewer than their dimensions, so the Hessian, ridge I + RᵀR with R the scaled rows, is inverted
    by Woodbury's identity: a solve of size N, not D.
    """
    targets, weights = is_member.to(rows.dtype), _balanced(is_member).to(rows.dtype)
    solution = rows.new_zeros(rows.shape[1])
    for _ in range(NEWTON_STEPS):
        chance = (rows @ solution).sigmoid()
        gradient = rows.T @ (weights * (chance - targets)) + ridge * solution
        scaled = rows * (weights * chance * (1 - chance)).sqrt()[:, None]
        inner = scaled @ scaled.T
        inner.diagonal().add_(ridge)
        step = (gradient - scaled.T @ torch.linalg.solve(inner, scaled @ gradient)) / ridge
        solution = solution - step
        if step.norm() <= SOLVED * (1 + solution.norm()):
            break
    return solution


def _some(images: Int[Tensor, " N"], seed: int) -> Int[Tensor, " K"]:
    """Return the images, of very many as many as the bank holds, drawn at random."""
    if len(images) <= MOST_ROWS:
        return images
    drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:MOST_ROWS]
    return images[drawn].sort().values


def _balanced(is_member: Bool[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return weights by which each kind counts one half."""
    share = is_member.double()
    return torch.where(is_member, 0.5 / share.sum(), 0.5 / (1 - share).sum())


def _seen(features: Float[Tensor, "N D"], bank: Float[Tensor, "M D"]) -> Float[Tensor, "N _"]:
    """Return in which direction images differ from the bank's mean, in double precision, and a constant.

    Of a single number how far, in the bank's standard deviations: of direction it has two.
    """
    apart = (features - bank.mean(dim=0)).double()
    if apart.shape[1] == 1:
        rows = apart / bank.double().std().clamp(min=SMALLEST_SPREAD)
    else:
        rows = F.normalize(apart, dim=1)
    return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
