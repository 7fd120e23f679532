"""Which classes lose or gain by the forgetting, and is it those that resemble the forgotten one (A25, A26)?"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import spearmanr
from sklearn.preprocessing import normalize
from torchmetrics.functional.image import structural_similarity_index_measure

from unlearning.audit.observation import spread_evenly
from unlearning.data.dataset import Dataset
from unlearning.words import Unmeasured

SSIM_PAIRS = 64
# Red, green, blue: luma of ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)
LEAST_CLASSES = 4


def feature_similarity(
    features: Float[np.ndarray, "N D"],
    labels: Int[np.ndarray, " N"],
    forget_labels: Sequence[int],
) -> dict[int, float]:
    """Return each kept class's cosine to the forget images, between class means in a model's features.

    In [-1, 1]; the mean over the kept classes' means is the origin, without which all are alike.
    """
    kept = [int(label) for label in np.unique(labels) if label not in forget_labels]
    means = np.stack([features[labels == label].mean(axis=0) for label in kept])
    forgotten = features[np.isin(labels, forget_labels)].mean(axis=0)
    center = means.mean(axis=0)
    cosines = normalize(means - center) @ normalize((forgotten - center)[None])[0]
    return dict(zip(kept, cosines.tolist(), strict=True))


def structural_similarity(data: Dataset, label: int) -> float:
    """Return the mean SSIM between a class's and the forget classes' images, in [-1, 1]; 1: equal pixels.

    64 pairs of grey training images, spread over both classes. It compares brightness, contrast and
    structure place by place: it says whether pictures look alike as pictures (pose, framing,
    background), not whether they show related animals.
    Source: Wang et al. 2004, "Image Quality Assessment", IEEE Transactions on Image Processing 13(4).
    """
    retain = data.select(role="retain", subset="train")
    others = retain[data.labels[retain] == label]
    forget = data.select(role="forget", subset="train")
    pairs = min(SSIM_PAIRS, max(len(others), len(forget)))
    left = _grey(data, _spread(others, pairs))
    right = _grey(data, _spread(forget, pairs))
    values = structural_similarity_index_measure(left, right, data_range=1.0)
    assert isinstance(values, torch.Tensor)
    return values.item()


def _spread(indices: torch.Tensor, count: int) -> torch.Tensor:
    """Return `count` of the images, evenly spread; from the start again where there are fewer."""
    spread = indices[spread_evenly(len(indices), min(count, len(indices)))]
    return spread[np.arange(count) % len(spread)]


def _grey(data: Dataset, indices: torch.Tensor) -> torch.Tensor:
    colours = data.pixels(indices).float() / 255
    return (colours @ torch.tensor(LUMA))[:, None]


def rank_correlation(left: Mapping[str, float], right: Mapping[str, float]) -> float | str:
    """Return Spearman's rank correlation over the classes, in [-1, 1], or why there is none."""
    if len(left) < LEAST_CLASSES:
        return Unmeasured.NEEDS_4_CLASSES
    first = [left[name] for name in left]
    second = [right[name] for name in left]
    if len(set(first)) == 1 or len(set(second)) == 1:
        return Unmeasured.ALL_EQUAL
    return float(spearmanr(first, second).statistic)
