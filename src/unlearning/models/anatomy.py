"""Where a classifier's layers are: the only place that knows the names of a ResNet's parts."""

from collections.abc import Iterable

from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from unlearning.models.layers import LAYERS, LOGITS

# Nodes of ResNet-18's graph, by layer.
NODES = dict(zip(LAYERS, ("maxpool", "layer1", "layer2", "layer3", "avgpool"), strict=True))
HEAD = "fc"
ABOVE_FIRST_STAGE = ("layer2", "layer3", "layer4", HEAD)


def head(model: nn.Module) -> nn.Linear:
    """Return the last layer, which makes logits of features."""
    found = model.get_submodule(HEAD)
    assert isinstance(found, nn.Linear)
    return found


def learned_parts(model: nn.Module) -> list[nn.Module]:
    """Return the parts of a network above its first residual stage, from the input on."""
    return [getattr(model, name) for name in ABOVE_FIRST_STAGE if hasattr(model, name)]


def extractor(model: nn.Module, layers: Iterable[str]) -> nn.Module:
    """Return a network that shares the model's weights and gives these layers and the logits, by name."""
    return create_feature_extractor(
        model, return_nodes={NODES[layer]: layer for layer in layers} | {HEAD: LOGITS}
    )
