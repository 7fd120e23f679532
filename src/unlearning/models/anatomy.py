"""Where a classifier's layers are: found by running it once, never by the names of its parts.

A network is cut into units that run one after the other, none doing more than a third of its arithmetic where
it can be cut further: residual stages, or single blocks of a transformer. Layers 1 to 3 are the outputs of the
units with which a quarter, a half and three quarters of the arithmetic are done: of a ResNet-18 its first three
residual stages. The stem is what the second unit with a matrix of weights is given, the features are what the
last layer is given.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from unlearning.models.layers import FEATURES, LAYERS

LARGEST_UNIT = 1 / 3  # of the arithmetic
MOST_UNKNOWN = 0.05  # of the weights that learn: a table of positions is no matrix either
PROBES = 2  # images: batch normalisation takes a variance over a batch
QUARTERS = LAYERS[1:4]
MATRICES = (
    nn.Linear,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.modules.conv._ConvNd,
)  # parts whose weights are matrices


class NoClassifierError(ValueError):
    """A network that the pipeline cannot work with; its text says why."""


@dataclass(frozen=True)
class Anatomy:
    """Names of parts: each layer's, the last layer's, and those above the stem, from the input on."""

    layers: Mapping[str, str]
    head: str
    learned: tuple[str, ...]


@dataclass
class _Call:
    """One module in one run: when it began and ended, and the operations done before and after it."""

    began: int
    flops_before: int
    ended: int = 0
    flops_after: int = 0
    output: Any = None


def explore(network: nn.Module, images: Float[Tensor, "2 C H W"]) -> Anatomy:
    """Return where the layers are; a copy of the network is run on the images, in training mode.

    Raises: NoClassifierError if it does not end in a linear layer with a bias, cannot be cut so that all of its
    matrices above the stem are learned, or has many weights there that are none; whatever the network raises
    where it cannot take such images.
    """
    network = deepcopy(network).train()
    calls, found = _run(network, images)
    if not isinstance(found, Tensor):
        raise NoClassifierError(
            f"it gives a {type(found).__name__} while it trains, not logits alone"
        )
    last = [
        name
        for name, called in calls.items()
        if called[-1].output is found and isinstance(network.get_submodule(name), nn.Linear)
    ]
    if not last:
        raise NoClassifierError("its last layer is not a linear one")
    head = network.get_submodule(last[0])
    if head.bias is None:
        raise NoClassifierError("its last layer has no bias")

    before_last = calls[last[0]][0]
    total = before_last.flops_before
    units = sorted(
        _units(network, "", calls, total, last[0]), key=lambda unit: calls[unit][0].ended
    )
    below_last = [name for name in units if calls[name][0].ended < before_last.began]
    if not below_last or not total:
        raise NoClassifierError("nothing but its last layer has weights")
    cut = {
        layer: next(
            (name for name in below_last if calls[name][0].flops_after >= total * quarter / 4),
            below_last[-1],
        )
        for quarter, layer in enumerate(QUARTERS, start=1)
    }
    weighted = [name for name in units if _has_matrix(network.get_submodule(name))]
    second = weighted[min(1, len(weighted) - 1)]
    below = [name for name in units if calls[name][0].ended <= calls[second][0].began]
    stem = below[-1] if below else units[0]
    # A small network's layer 1 may lie below its stem.
    lowest = min(stem, cut[LAYERS[1]], key=units.index)
    learned = tuple(units[units.index(lowest) + 1 :])
    if cut[LAYERS[1]] == cut[LAYERS[3]]:
        raise NoClassifierError(f"its layers cannot be told apart: all would be {cut[LAYERS[1]]!r}")
    if left := _left_out(network, calls, calls[lowest][0].ended, learned):
        raise NoClassifierError(
            f"its part {left!r} gives no tensor of a row for each image, so it would not be learned"
        )
    if (share := _unknown(network, learned)) > MOST_UNKNOWN:
        raise NoClassifierError(
            f"{share:.0%} of its weights above the stem are of no convolution, linear layer or attention, so "
            "no noise would reach them"
        )
    return Anatomy({LAYERS[0]: stem, **cut}, last[0], learned)


def _unknown(network: nn.Module, learned: Iterable[str]) -> float:
    """Return which share of the numbers in tensors of two dimensions and more `matrices` does not yield."""
    parts = [network.get_submodule(name) for name in learned]
    total = sum(
        weight.numel() for part in parts for weight in part.parameters() if weight.dim() > 1
    )
    return 1 - sum(weight.numel() for part in parts for weight in matrices(part)) / total


def _left_out(
    network: nn.Module, calls: Mapping[str, list[_Call]], since: int, learned: Iterable[str]
) -> str:
    """Return the name of a part with a matrix that is called after that moment and not learned, or nothing."""
    inside = tuple(f"{name}." for name in learned)
    return next(
        (
            name
            for name, called in calls.items()
            if called[-1].began > since
            and not f"{name}.".startswith(inside)
            and isinstance(network.get_submodule(name), MATRICES)
        ),
        "",
    )


def _run(
    network: nn.Module, images: Float[Tensor, "2 C H W"]
) -> tuple[dict[str, list[_Call]], Any]:
    """Return each module's calls by its name, in order, and what the network makes of the images."""
    calls: dict[str, list[_Call]] = {}
    clock = iter(range(10**9))
    with FlopCounterMode(display=False) as counter, torch.random.fork_rng(devices=[]):

        def begin(name: str, _module: nn.Module, _inputs: Any) -> None:
            calls.setdefault(name, []).append(_Call(next(clock), counter.get_total_flops()))

        def end(name: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
            call = calls[name][-1]
            call.ended, call.flops_after, call.output = (
                next(clock),
                counter.get_total_flops(),
                output,
            )

        for name, module in network.named_modules():
            module.register_forward_pre_hook(partial(begin, name))
            module.register_forward_hook(partial(end, name))
        # With gradients: without them the counter fails on networks whose first input is one of their weights.
        with torch.enable_grad():
            found = network(images)
    return calls, found


def _units(
    module: nn.Module, name: str, calls: Mapping[str, list[_Call]], total: int, last: str
) -> Iterator[str]:
    """Yield the names of the units below a module that is cut, or its own; the last layer is one."""
    called = calls.get(name, [])
    if len(called) > 1:  # no place
        return
    small = called and called[0].flops_after - called[0].flops_before <= total * LARGEST_UNIT
    parts = list(module.named_children())
    if name and called and not last.startswith(f"{name}.") and (small or not parts):
        output = called[0].output
        # What gives no tensor, or rows of windows or patches, is no layer: parts of it may be.
        if isinstance(output, Tensor) and output.shape[:1] == (PROBES,):
            yield name
            return
    for part_name, part in parts:
        yield from _units(part, f"{name}.{part_name}".lstrip("."), calls, total, last)


def _has_matrix(module: nn.Module) -> bool:
    return any(True for _ in matrices(module))


def matrices(module: nn.Module) -> Iterator[Tensor]:
    """Yield the weights of a module's convolutions, linear layers and attention, in order."""
    for part in module.modules():
        if isinstance(part, nn.MultiheadAttention):
            yield part.in_proj_weight
        if isinstance(part, nn.Linear | nn.modules.conv._ConvNd):
            yield part.weight


@contextmanager
def watched(
    network: nn.Module, anatomy: Anatomy, layers: Iterable[str]
) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that is filled with the outputs of these layers, as they are, when the network runs."""
    found: dict[str, Tensor] = {}
    places = {**anatomy.layers, FEATURES: anatomy.head}

    def note(layer: str, _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found[layer] = inputs[0] if layer == FEATURES else output

    hooks = [
        network.get_submodule(places[layer]).register_forward_hook(partial(note, layer))
        for layer in layers
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def per_image(values: Tensor) -> Float[Tensor, "N D"]:
    """Return a layer's mean over the image, N x channels, in single precision.

    Images are square: of four dimensions the two equal ones are space (N C H W, or N H W C as in a Swin), of
    three the middle one counts the tokens.
    """
    values = values.float()
    if values.dim() == 3:
        return values.mean(dim=1)
    if values.dim() != 4:
        return values.flatten(1)
    if values.shape[1] == values.shape[2] != values.shape[3]:
        values = values.permute(0, 3, 1, 2)
    return values.flatten(2).mean(dim=2)
