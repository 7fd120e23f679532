"""Classifiers by name: torchvision's, timm's as timm/<name>; by default the article's ResNet-18 (A4, A5)."""

import hashlib
import warnings
from collections.abc import Callable
from functools import cache

import torch
import torchvision.models
from torch import Tensor, nn

from unlearning.base.errors import UserError, nearest
from unlearning.models.anatomy import PROBES, Anatomy, NoClassifierError, explore
from unlearning.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Architecture, Classifier
from unlearning.settings.model import ModelParams

TIMM = "timm/"


def new_classifier(
    architecture: Architecture, image_size: int, class_count: int, seed: int
) -> Classifier:
    """Return a classifier with fresh weights, the same for the same seed. Raises: as `network`, `around`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = network(architecture, image_size, class_count)
    return around(built, architecture, image_size).to(memory_format=torch.channels_last)


def around(network: nn.Module, architecture: Architecture, image_size: int) -> Classifier:
    """Return the classifier that a network of this architecture is.

    Raises: NoClassifierError if the network does not suit: see `anatomy.explore`.
    """
    return Classifier(network, architecture, image_size, _anatomy(architecture, image_size))


def anew(model: Classifier, role: str, seed: int) -> Classifier:
    """Return one of the same architecture and outputs with fresh weights, the same for the same role and seed.

    Drawn by a hash of both: with `seed` itself, or the next, an original or a reference may have begun.
    """
    drawn = int.from_bytes(hashlib.sha256(f"{role} {seed}".encode()).digest()[:4])
    return new_classifier(model.architecture, model.image_size, model.head.out_features, drawn)


def network(architecture: Architecture, image_size: int, class_count: int) -> nn.Module:
    """Return the library's network alone, with weights of no seed. Raises: as `require_name`."""
    require_name(architecture.name)
    if architecture.name.startswith(TIMM):
        built = _of_timm(architecture, image_size, class_count)
    else:
        built = _sized(
            lambda **size: torchvision.models.get_model(
                architecture.name, weights=None, num_classes=class_count, **size
            ),
            "image_size",
            image_size,
        )
    if architecture.stem == "small":
        _shrink_stem(built)
    if len(architecture.mean) == 1:
        _make_grey(built)
    return built


def of_params(params: ModelParams, image_size: int) -> Architecture:
    """Return the architecture that params.yaml asks for. Raises: UserError if it does not suit."""
    try:
        require_name(params.name)
        mean, std = params.mean, params.std
        if mean is None or std is None:
            mean, std = _own_normalisation(params.name)
        architecture = Architecture(params.name, params.stem, mean, std)
        _anatomy(architecture, image_size)
    except NoClassifierError as error:
        raise UserError(f"params.yaml: model.name is {params.name!r}, but {error}") from None
    return architecture


def require_name(name: str) -> None:
    """Check that a library has such a classifier. Raises: NoClassifierError with the nearest name."""
    known = torchvision.models.list_models(module=torchvision.models)
    if name.startswith(TIMM):
        try:
            import timm
        except ImportError:
            raise NoClassifierError("timm is not installed: pip install timm") from None
        # A tag after the dot names weights, not an architecture.
        if name.removeprefix(TIMM).split(".")[0] in timm.list_models():
            return
        known = [TIMM + each for each in timm.list_models()]
    elif name in known:
        return
    raise NoClassifierError(
        f"neither torchvision nor timm (as timm/<name>) has such a classifier{nearest(name, known)}"
    )


@cache
def _anatomy(architecture: Architecture, image_size: int) -> Anatomy:
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        images = torch.zeros(PROBES, len(architecture.mean), image_size, image_size)
        try:
            built = network(architecture, image_size, class_count=2)
            _require_storable(built)
            return explore(built, images)
        except NoClassifierError:
            raise
        # Networks check what they are given as they please: AssertionError, RuntimeError, ...
        except Exception as error:
            why = (str(error) or type(error).__name__).splitlines()[0]
            raise NoClassifierError(
                f"it cannot take images of {image_size} pixels: {why}"
            ) from None


def _require_storable(built: nn.Module) -> None:
    """Check that weights can be laid out as they are trained, and written. Raises: NoClassifierError."""
    try:
        built.to(memory_format=torch.channels_last)
    except RuntimeError as error:
        raise NoClassifierError(f"its weights cannot be laid out channels last: {error}") from None
    written = [tensor.contiguous() for tensor in built.state_dict().values() if tensor.numel()]
    if len({tensor.data_ptr() for tensor in written}) < len(written):
        raise NoClassifierError("parts of it share weights, which a file of weights cannot hold")


def _sized(build: Callable[..., nn.Module], argument: str, size: int) -> nn.Module:
    """Return what is built for images of this size; whoever does not ask for a size takes any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of initial weights that a later version draws otherwise
        try:
            return build(**{argument: size})
        except TypeError as error:
            if argument not in str(error):
                raise
            return build()


def _shrink_stem(built: nn.Module) -> None:
    """Make a ResNet's stem one for small images: 3 x 3 without stride, no pooling.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2, on CIFAR-10.
    """
    first = getattr(built, "conv1", None)
    if not isinstance(first, nn.Conv2d) or not hasattr(built, "maxpool"):
        raise NoClassifierError(
            "with model.stem 'small' it must be a ResNet whose stem is one convolution"
        )
    built.conv1 = nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(built.conv1.weight, mode="fan_out", nonlinearity="relu")
    built.maxpool = nn.Identity()


def _make_grey(built: nn.Module) -> None:
    """Let the first convolution take one channel, where the library has not done so."""
    for name, part in built.named_modules():
        if isinstance(part, nn.Conv2d):
            if part.in_channels == 3:
                grey = nn.Conv2d(
                    1,
                    part.out_channels,
                    part.kernel_size,  # type: ignore[arg-type]
                    part.stride,  # type: ignore[arg-type]
                    part.padding,  # type: ignore[arg-type]
                    part.dilation,  # type: ignore[arg-type]
                    bias=part.bias is not None,
                )
                holder, _, last = name.rpartition(".")
                setattr(built.get_submodule(holder), last, grey)
            return


def _own_normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel as timm says of its pretrained weights, or ImageNet's."""
    if name.startswith(TIMM):
        import timm

        own = timm.get_pretrained_cfg(name.removeprefix(TIMM))
        if own is not None and len(own.mean) == 3:
            return tuple(own.mean), tuple(own.std)
    return IMAGENET_MEAN, IMAGENET_STD


def pretrained(architecture: Architecture, image_size: int, class_count: int) -> dict[str, Tensor]:
    """Return the library's own weights of this network, fetched where they are not there yet.

    Raises: whatever the library raises where there are none or the machine may not fetch them.
    """
    if architecture.name.startswith(TIMM):
        built = _of_timm(architecture, image_size, class_count, pretrained=True)
    else:
        built = torchvision.models.get_model(architecture.name, weights="DEFAULT")
    return built.state_dict()


def _of_timm(
    architecture: Architecture, image_size: int, class_count: int, pretrained: bool = False
) -> nn.Module:
    import timm  # an extra, which takes seconds to load

    return _sized(
        lambda **size: timm.create_model(
            architecture.name.removeprefix(TIMM),
            pretrained=pretrained,
            num_classes=class_count,
            in_chans=len(architecture.mean),
            **size,
        ),
        "img_size",
        image_size,
    )
