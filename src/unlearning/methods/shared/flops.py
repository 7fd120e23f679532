"""Arithmetic as PyTorch's own counter counts it: products and sums of convolutions and matrix products.

Of a layer's other work (normalisation, activations, optimiser) and of scikit-learn's probes nothing is counted.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from unlearning.models.classifier import Classifier

COUNTED_IMAGES = 2  # batch normalisation takes a variance over a batch


class Work(TorchDispatchMode):
    """Floating-point operations done while it is entered; a resumed game counts those of earlier runs too.

    By PyTorch's own formulas, but without what its `FlopCounterMode` does besides for every operation, which
    made a game last 1.4 times as long (docs/experiments.md).
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Let the operation be done, and count it."""
        found = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=found)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the operations so far."""
        return {"flops": self.flops}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there; what this process has done up to now was done, and counted, by the earlier one."""
        self.flops = state_dict["flops"]


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
