"""Arithmetic as PyTorch's own counter counts it: products and sums of convolutions and matrix products.

Of a layer's other work (normalisation, activations, optimiser) and of scikit-learn's probes nothing is counted.
"""

import copy
from types import TracebackType
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from unlearning.models.classifier import Classifier

COUNTED_IMAGES = 2  # batch normalisation takes a variance over a batch


class Work:
    """Floating-point operations done while it is entered; a resumed game counts those of earlier runs too."""

    def __init__(self) -> None:
        self._counter = FlopCounterMode(display=False)
        self._before = 0

    @property
    def flops(self) -> int:
        """Return the operations so far."""
        return self._before + self._counter.get_total_flops()

    def __enter__(self) -> "Work":
        """Begin to count."""
        self._counter.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop counting."""
        self._counter.__exit__(kind, error, trace)

    def state_dict(self) -> dict[str, Any]:
        """Return the operations so far."""
        return {"flops": self.flops}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there; what this process has done up to now was done, and counted, by the earlier one."""
        self._before = state_dict["flops"] - self._counter.get_total_flops()


def training_flops(model: Classifier) -> float:
    """Return the operations of one image forward and, as far as weights learn, backward; as `forward_flops`."""
    return _flops(model, backward=True)


def forward_flops(model: Classifier) -> float:
    """Return the operations of one image forward; the model is left untouched."""
    return _flops(model, backward=False)


def _flops(model: Classifier, *, backward: bool) -> float:
    model = copy.deepcopy(model).cpu().train()
    images = torch.zeros(COUNTED_IMAGES, 3, model.image_size, model.image_size)
    with Work() as work, torch.set_grad_enabled(backward):
        found = model(images.to(memory_format=torch.channels_last)).sum()
        if backward:
            found.backward()
    return work.flops / COUNTED_IMAGES
