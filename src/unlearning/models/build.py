"""The architecture of generator, feature extractor and classifier (A4, A5): torchvision's ResNet-18."""

import torch
from torch import nn
from torchvision.models import resnet18


def new_classifier(class_count: int, seed: int) -> nn.Module:
    """Return a ResNet-18 with fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = classifier(class_count)
    return model.to(memory_format=torch.channels_last)


def classifier(class_count: int) -> nn.Module:
    """Return a ResNet-18 with one output per class and weights of no seed."""
    return resnet18(weights=None, num_classes=class_count)
