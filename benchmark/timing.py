"""Seconds by kind of work, by clocks around the project's own functions; each second counts once."""

import copy
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from unlearning.data.dataset import Dataset, crop_and_flip, scaled
from unlearning.methods.shared.flops import forward_flops, training_flops
from unlearning.models.classifier import Classifier
from unlearning.running.hardware import Hardware

PEAK_SIDE, PEAK_SECONDS = 2048, 1.0


class Clock:
    """Seconds by kind of work, "rest" for what is none of the named, and the networks' arithmetic."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._under_way = ["rest"]
        self._since = now()
        self._models: dict[tuple[int, int], Classifier] = {}
        self._images: defaultdict[tuple[int, int], int] = defaultdict(int)

    def enter(self, kind: str) -> None:
        """Let the seconds from now on count for this kind."""
        self._turn()
        self._under_way.append(kind)

    def leave(self) -> None:
        """Let them count again for what was under way before."""
        self._turn()
        self._under_way.pop()

    def around(self, kind: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same work, timed."""

        def timed(*given: Any, **named: Any) -> Any:
            self.enter(kind)
            try:
                return work(*given, **named)
            finally:
                self.leave()

        return timed

    def count(self, model: Classifier, images: torch.Tensor) -> None:
        """Count these images: as those sent forward, and backward where weights learn."""
        learning = torch.is_grad_enabled() * sum(w.requires_grad for w in model.parameters())
        key = model.head.out_features, learning
        if key not in self._models:
            self._models[key] = copy.deepcopy(model)
        self._images[key] += len(images)

    @property
    def flops(self) -> float:
        """Return the arithmetic of the images counted up to now."""
        return sum(
            images * (training_flops if key[1] else forward_flops)(self._models[key])
            for key, images in list(self._images.items())
        )

    def _turn(self) -> None:
        turned = now()
        self.seconds[self._under_way[-1]] += turned - self._since
        self._since = turned


def now() -> float:
    """Return the seconds on the clock, once a GPU in use has done what it was given: it waits for that."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def clocked() -> Clock:
    """Return a clock around what is imported by now: data, forward, backward, optimiser."""
    clock = Clock()
    for name, plain in (("crop_and_flip", crop_and_flip), ("scaled", scaled)):
        timed = clock.around("data", plain)
        for module in list(sys.modules.values()):
            if getattr(module, name, None) is plain:
                setattr(module, name, timed)
    forward = clock.around("forward", Classifier.forward)

    def counted(model: Classifier, images: torch.Tensor) -> Any:
        clock.count(model, images)
        return forward(model, images)

    for holder, name, work in (
        (Dataset, "pixels", clock.around("data", Dataset.pixels)),
        (Classifier, "forward", counted),
        (torch.Tensor, "backward", clock.around("backward", torch.Tensor.backward)),
    ):
        setattr(holder, name, work)
    register_optimizer_step_pre_hook(lambda *_: clock.enter("optimiser"))
    register_optimizer_step_post_hook(lambda *_: clock.leave())
    return clock


def peak(hardware: Hardware) -> float:
    """Return the most operations a second of a product of 2048 x 2048 matrices in the run's precision."""
    kind = torch.bfloat16 if hardware.bf16 else torch.float32
    left, right = torch.randn(2, PEAK_SIDE, PEAK_SIDE, device=hardware.device).to(kind)
    best, ends = 0.0, time.perf_counter() + PEAK_SECONDS
    while (began := time.perf_counter()) < ends:
        (left @ right)[0, 0].item()
        best = max(best, 2 * PEAK_SIDE**3 / (time.perf_counter() - began))
    return best
