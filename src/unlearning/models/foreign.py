"""Weights that a person brings: read without running code, unwrapped, and fitted to the network by name."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as of_bytes
from torch import Tensor, nn

from unlearning.base.errors import UserError, choices
from unlearning.base.progress import say
from unlearning.base.reading import read_bytes
from unlearning.base.tensors import MOST_BYTES, versioned
from unlearning.data.dataset import Dataset, Labelling
from unlearning.models import build
from unlearning.models.classifier import Classifier
from unlearning.settings.model import ModelParams

# Under what training loops keep a model's tensors, the likeliest first; the averaged ones come last.
WRAPPINGS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights",
    "state_dict_ema", "model_ema", "ema",
)  # fmt: skip
DEEPEST = 4  # mappings within mappings that are looked into
PRETRAINED = "pretrained"  # in `model.start`: the library's own
# Of batch normalisation; files of PyTorch before 0.4 lack it, and nothing depends on it.
COUNTER = "num_batches_tracked"

State = Mapping[str, Tensor]


def load_classifier(path: str, where: str, params: ModelParams, data: Labelling) -> Classifier:
    """Return the classifier whose weights stand in a file, in eval mode, its outputs in the data's order.

    `where`: the key of params.yaml that names the file. Raises: UserError in one line.
    """
    order = _order(data.classes, params.classes)
    architecture = build.of_params(params, data.image_size)
    network = build.network(architecture, data.image_size, len(data.classes))
    model = build.around(network, architecture, data.image_size)
    about = f"params.yaml: {where} is {path!r}, but"
    fill(network, read(Path(path), where), about, head=head_of(model))
    with torch.no_grad():
        for tensor in (model.head.weight, model.head.bias):
            tensor.copy_(tensor[torch.tensor(order)])
    return model.to(memory_format=torch.channels_last).eval()


def new_model(params: ModelParams, data: Dataset, seed: int) -> Classifier:
    """Return the classifier that training begins with: of random weights, but for those of `model.start`.

    Raises: UserError if the architecture does not suit, or its weights do not fit.
    """
    architecture = build.of_params(params, data.image_size)
    model = build.new_classifier(architecture, data.image_size, len(data.classes), seed)
    if params.start:
        _begin_with(model, params)
    return model


def _begin_with(model: Classifier, params: ModelParams) -> None:
    """Give a new classifier the weights that `model.start` names; its last layer stays as it is.

    Raises: UserError if the file does not fit, or the library's weights cannot be fetched.
    """
    assert params.start is not None
    if params.start == PRETRAINED:
        found, name = _pretrained(model), f"{PRETRAINED!r} ({params.name})"
    else:
        found, name = read(Path(params.start), "model.start"), repr(params.start)
    kept = {key: value.clone() for key, value in head_of(model).items()}
    fill(
        model.network, found, f"params.yaml: model.start is {name}, but", head=kept, keep_head=True
    )


def read(path: Path, where: str) -> dict[str, Tensor]:
    """Return the tensors of a file by their name, out of whatever they are wrapped in.

    A safetensors file, or one of `torch.save`, of which nothing but tensors and plain containers is loaded.
    Raises: UserError, which names `where` in params.yaml, if it is missing, broken, or holds code.
    """
    about = f"params.yaml: {where} is {str(path)!r}, but"
    if not path.is_file():
        raise UserError(f"{about} there is no such file")
    content: Any
    try:
        given = read_bytes(path, MOST_BYTES)
        if _is_safetensors(given):
            content = of_bytes(given)
        else:
            content = torch.load(io.BytesIO(given), map_location="cpu", weights_only=True)
    except (UserError, MemoryError):
        raise
    # Broken files make both readers raise all sorts.
    except Exception as error:
        held = re.search(r"(?:GLOBAL|global|class) ([\w.]+\.[\w.]+)", str(error))
        if "eights" in str(error) and held:
            raise UserError(
                f"{about} it is a pickle that holds {held[1]}, which is not loaded, since a pickle can run "
                "code: save the model's state_dict() alone, or take safetensors"
            ) from None
        why = (str(error) or type(error).__name__).splitlines()[0]
        if "eights" in why:  # PyTorch's words advise to load it all the same
            why = "neither a file of torch.save nor safetensors"
        raise UserError(f"{about} it holds no weights that can be read: {why[:200]}") from None
    found = _unwrapped(content)
    if not found:
        raise UserError(f"{about} it holds no tensors by name: give a state_dict")
    return found


def _is_safetensors(content: bytes) -> bool:
    return content[8:9] == b"{" and not content.startswith(b"PK")


def _unwrapped(content: Any, deeper: int = DEEPEST) -> dict[str, Tensor]:
    """Return the mapping of names to tensors that a checkpoint holds, the innermost one, or nothing."""
    if not isinstance(content, Mapping):
        return {}
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and torch.is_tensor(value)
    }
    inner = [content[key] for key in WRAPPINGS if isinstance(content.get(key), Mapping)]
    # A hostile file's mapping may hold itself, or another one many times.
    for each in inner if deeper else []:
        if found := _unwrapped(each, deeper - 1):
            return found
    return tensors


def fill(
    network: nn.Module, state: State, about: str, head: State, keep_head: bool = False
) -> None:
    """Load a state into a network, by names that may have a prefix in common. Raises: UserError.

    `head`: names and tensors of the last layer; with `keep_head` these, whatever the state holds.
    """
    wanted = network.state_dict()
    start = prefix(state, wanted)
    own = {
        name.removeprefix(start): value for name, value in state.items() if name.startswith(start)
    }
    if not own.keys() & wanted.keys() and (renamed := _in_order(state, wanted, head, keep_head)):
        say(
            f"{about.removesuffix(', but')}: other names than the network's, taken in order, since all "
            "shapes agree"
        )
        own = renamed
    for name in wanted:
        if name.endswith(COUNTER):
            own.setdefault(name, wanted[name])
    if keep_head:
        own |= head
    # What an averaged or Lightning model keeps beside the network stands outside its prefix.
    elif not start:
        own = {name: value for name, value in own.items() if name != "n_averaged"}
    for name in [*wanted, *(name for name in own if name not in wanted)]:
        expected, found = (
            str(tuple(of[name].shape)) if name in of else "nothing" for of in (wanted, own)
        )
        if expected != found and not (keep_head and name not in wanted):
            raise UserError(
                f"{about} of its tensor {name!r} the network expects {expected}, and the file has {found}: "
                f"{_cause(name, wanted, own, head)}"
            )
    fitting = {name: own[name].to(wanted[name].dtype) for name in wanted}
    broken = next((name for name, value in fitting.items() if not value.isfinite().all()), None)
    if broken:
        raise UserError(f"{about} its tensor {broken!r} is not finite")
    network.load_state_dict(versioned(fitting, wanted))


def prefix(state: State, wanted: State) -> str:
    """Return what stands before most of the network's names: `module.`, `_orig_mod.`, `model.`, ..."""
    first, *_ = wanted
    candidates = {
        name[: -len(first)] for name in state if name == first or name.endswith(f".{first}")
    }
    # Where the first name is missing, any.
    candidates |= {""}
    return max(
        sorted(candidates, key=len),
        key=lambda prefix: sum(prefix + name in state for name in wanted),
    )


def _in_order(state: State, wanted: State, head: State, keep_head: bool) -> dict[str, Tensor]:
    """Return the state under the network's names where nothing but names differs, else nothing.

    As many tensors, each of the shape that the network has at its place; with `keep_head` but for the last
    layer's. Another library's names of one architecture: efficientnet-pytorch's of what timm calls
    tf_efficientnet_lite0.
    """
    theirs = [value for name, value in state.items() if not name.endswith(COUNTER)]
    ours = [name for name in wanted if not name.endswith(COUNTER)]
    fits = len(theirs) == len(ours) and all(
        value.shape == wanted[name].shape or (keep_head and name in head)
        for name, value in zip(ours, theirs, strict=True)
    )
    return dict(zip(ours, theirs, strict=True)) if fits else {}


def _cause(name: str, wanted: State, own: State, head: State) -> str:
    """Return the likeliest reason why a tensor does not fit."""
    if name in head and name in own:
        return f"it has {len(own[name])} outputs, and the data {len(wanted[name])} classes (data.classes)"
    if name in own and name in wanted:
        ours, theirs = wanted[name].shape, own[name].shape
        if len(ours) == len(theirs) == 4 and ours[1] != theirs[1] and 3 in (ours[1], theirs[1]):
            return f"it takes {theirs[1]} channels (model.mean and std have one number for each)"
        if len(ours) == len(theirs) == 4 and ours[2:] != theirs[2:]:
            return "the stem may be the other one (model.stem)"
        if "pos" in name:
            return "it was made for another image size (data.image_size)"
    return "it is of another architecture (model.name)"


def head_of(model: Classifier) -> dict[str, Tensor]:
    """Return the last layer's tensors by their names in the network."""
    head = model.anatomy.head
    return {f"{head}.weight": model.head.weight.detach(), f"{head}.bias": model.head.bias.detach()}


def _order(classes: Sequence[str], given: Sequence[str]) -> list[int]:
    """Return for each class its place among the given ones. Raises: UserError if they are not the same."""
    given = given or classes
    if missing := sorted(set(classes) - set(given)):
        raise UserError(
            f"params.yaml: model.classes does not name {choices(missing)}, but the data have it: name every "
            "class, in the order of the outputs"
        )
    if unknown := sorted(set(given) - set(classes)):
        raise UserError(
            f"params.yaml: model.classes names {choices(unknown)}, but the classes are {choices(classes)}"
        )
    return [list(given).index(name) for name in classes]


def _pretrained(model: Classifier) -> dict[str, Tensor]:
    """Return the library's weights. Raises: UserError if there are none, or they cannot be fetched."""
    name = model.architecture.name
    try:
        return build.pretrained(model.architecture, model.image_size, model.head.out_features)
    # Of the network: URLError, HTTPError, LocalEntryNotFoundError, ...; RuntimeError where there are none.
    except Exception as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"params.yaml: model.start is {PRETRAINED!r}, but the weights of {name} cannot be had: {why[:200]}"
        ) from None
