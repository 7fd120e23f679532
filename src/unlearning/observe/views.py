"""Every model over the audited images, once: logits, layers, training accuracy."""

from collections.abc import Sequence

import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from unlearning.base.sampling import spread_evenly
from unlearning.data.dataset import Dataset
from unlearning.models.classifier import LUMA, Classifier
from unlearning.models.forward import forward, predict_logits
from unlearning.models.layers import FEATURES, LAYERS, LOGITS
from unlearning.observe.record import Observation, Sample
from unlearning.running.hardware import Hardware

# Training images per class that are looked at, whatever the data's size. Membership attacks are measured on
# those of the forget classes.
FORGET_TRAINING_IMAGES, RETAIN_TRAINING_IMAGES = 200, 50
# Of a role, by which accuracy is measured: half a point of standard error at most.
MOST_IMAGES = 10_000
SSIM_PAIRS = 64


def sample(data: Dataset) -> Sample:
    """Return the audited images: test images, up to 200 training images to forget per class, 50 to retain.

    All test images, each picture once, however often it is listed. Of very many, test or training, 10,000 of a
    role, evenly spread, with one training image at least of each class that has any; in the data set's order;
    none that was withdrawn. Of earlier requests test images of their classes, and up to 200 training images of
    a request for single ones.
    """
    audited = ("forget", "retain")
    unseen = _some(data.distinct(data.unseen("test")), MOST_IMAGES)
    tests = (data.distinct(data.select(role=role, subset="test")) for role in audited)
    chosen = [unseen, *(_some(each, MOST_IMAGES) for each in tests)]
    for role, most in (("forget", FORGET_TRAINING_IMAGES), ("retain", RETAIN_TRAINING_IMAGES)):
        train = data.distinct(data.select(role=role, subset="train"))
        by_class = [train[data.labels[train] == label] for label in range(len(data.classes))]
        chosen.append(_of_each(by_class, most))
    earlier = np.zeros(len(data.labels), dtype=int) if data.earlier is None else data.earlier
    for number, request in enumerate(data.request.earlier, start=1):
        is_tested = (earlier == number) & (data.subsets == ("test" if request.classes else "train"))
        if request.classes:  # not what was withdrawn with them from other classes
            is_tested &= np.isin(data.labels.numpy(), request.labels(data.classes))
        tested = data.distinct(torch.from_numpy(np.flatnonzero(is_tested)))
        chosen.append(_some(tested, FORGET_TRAINING_IMAGES))
    indices = torch.cat(chosen).unique().numpy()  # in order
    # An image that is here only for being unseen counts as no retain image: where single images are to be
    # forgotten these come from some classes alone, which would weigh more than their even share.
    evenly = torch.cat(chosen[1:]).numpy()
    roles = np.where(np.isin(indices, evenly), data.roles[indices], "unseen")
    met = [each.labels(data.classes) for each in data.request.earlier]
    return Sample(
        indices=indices,
        labels=data.labels[indices].numpy(),
        roles=roles,
        subsets=data.subsets[indices],
        forget_labels=tuple(data.forget_labels),
        classes=data.classes,
        is_unseen=np.isin(indices, unseen.numpy()),
        earlier=earlier[indices],
        before=data.request.earlier[0].accuracy_before if data.request.earlier else {},
        earlier_labels=tuple(sorted(label for labels in met for label in labels)),
    )


def observe(model: Classifier, data: Dataset, sample: Sample, hardware: Hardware) -> Observation:
    """Return what the model makes of the sample, and its accuracy on training images, as many at most."""
    indices = torch.from_numpy(sample.indices)
    found = forward(model, data, indices, hardware, LAYERS)
    logits = found.pop(LOGITS)
    hits = np.zeros(len(data.labels), dtype=bool)
    train = {
        role: _some(data.select(role=role, subset="train"), MOST_IMAGES)
        for role in ("forget", "retain")
    }
    asked = torch.cat(list(train.values()))
    others = asked[~torch.isin(asked, indices)].sort().values
    for known, rows in (
        (logits, indices),
        (predict_logits(model, data, others, hardware), others),
    ):
        hits[rows.numpy()] = (known.argmax(dim=1) == data.labels[rows]).numpy()
    return Observation(
        logits.numpy(),
        {name: values.numpy() for name, values in found.items()},
        {role: float(hits[images.numpy()].mean()) for role, images in train.items()},
    )


@torch.no_grad()
def with_head(observation: Observation, model: Classifier, hardware: Hardware) -> Observation:
    """Return what a model makes of the sample that differs from the observed one in its last layer alone."""
    features = torch.from_numpy(observation.layers[FEATURES]).to(hardware.device)
    with (
        hardware.autocast()
    ):  # else its logits are rounded otherwise than those of all other models
        logits = model.head.to(hardware.device)(features)
    return Observation(logits.float().cpu().numpy(), {})


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


def _of_each(by_class: Sequence[torch.Tensor], most: int) -> torch.Tensor:
    """Return up to `most` images of each class, fewer if there were more than 10,000, but one at least."""
    while most > 1 and sum(min(len(each), most) for each in by_class) > MOST_IMAGES:
        most -= 1
    return torch.cat([_some(each, most) for each in by_class])


def _some(indices: torch.Tensor, most: int) -> torch.Tensor:
    """Return the images, of more than `most` so many, evenly spread."""
    return indices[spread_evenly(len(indices), most)]


def _spread(indices: torch.Tensor, count: int) -> torch.Tensor:
    """Return `count` of the images, evenly spread; from the start again where there are fewer."""
    spread = indices[spread_evenly(len(indices), count)]
    return spread[np.arange(count) % len(spread)]


def _grey(data: Dataset, indices: torch.Tensor) -> torch.Tensor:
    colours = data.pixels(indices).float() / 255
    return (colours @ torch.tensor(LUMA))[:, None]
