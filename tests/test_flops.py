"""Arithmetic is counted by PyTorch's own formulas; here against a count by hand and against its own counter."""

import copy

import pytest
import torch
from conftest import play
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from unlearning.methods import adversarial
from unlearning.methods.shared.flops import Work, forward_flops, training_flops
from unlearning.methods.shared.game import Players, Run
from unlearning.models.anatomy import Anatomy
from unlearning.models.build import new_classifier
from unlearning.models.classifier import Architecture, Classifier
from unlearning.models.discriminator import new_discriminator


def small() -> Classifier:
    """Return a classifier of a 3 x 3 convolution and a linear layer for images of 8 x 8."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 5),
    )  # fmt: skip
    anatomy = Anatomy(dict.fromkeys(("stem", "layer1", "layer2", "layer3"), "0"), "4", ("4",))
    return Classifier(network, Architecture(), 8, anatomy)


def test_an_image_forward_and_backward_is_the_count_by_hand():
    """Must fail if products or sums are left out, backward counts as forward, or per batch for per image."""
    convolution = 2 * 8 * 8 * 4 * 3 * 9
    linear = 2 * 4 * 5
    # Backward: gradients of the weights, and of the input but for the first layer's, which needs none.
    assert training_flops(small()) == 2 * convolution + 3 * linear


@pytest.mark.parametrize(
    "name", ["resnet18", "timm/test_vit", "timm/test_convnext", "timm/test_efficientnet"]
)
def test_the_count_is_that_of_pytorchs_own_counter(name, cpu):
    """Must fail if an operation that PyTorch counts is missed, as attention, or counted twice."""
    model = new_classifier(Architecture(name), 64, class_count=3, seed=0)
    images = torch.rand(2, 3, 64, 64)
    counts = []
    for counter in (Work(), FlopCounterMode(display=False)):
        with counter, cpu.autocast():
            model(images).sum().backward()
        counts.append(counter)
    assert counts[0].flops == counts[1].get_total_flops() > 1e6


def test_what_does_not_learn_costs_its_forward_pass_alone():
    """Must fail if layers below the first that learns count as trained, or forward counts as backward."""
    convolution, linear = 2 * 8 * 8 * 4 * 3 * 9, 2 * 4 * 5
    network = small()
    network.network[0].requires_grad_(False)
    network.network[1].requires_grad_(False)
    assert training_flops(network) == convolution + 2 * linear
    assert forward_flops(small()) == convolution + linear


def test_counting_leaves_the_network_as_it_was():
    """Must fail if gradients, mode or batch statistics of the caller's network change."""
    network = small().eval()
    before = copy.deepcopy(network.state_dict())
    training_flops(network)
    assert not network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_only_what_is_done_inside_is_counted_and_a_resumed_count_goes_on():
    """Must fail if work outside counts, or what was done before and after a kill counts once or twice."""
    left, right = torch.ones(3, 4), torch.ones(4, 5)
    once = 2 * 3 * 4 * 5
    whole, first, second = Work(), Work(), Work()
    left @ right
    with whole:
        for _ in range(5):  # two to prepare, three steps
            left @ right
    left @ right
    assert whole.flops == 5 * once
    with first:
        for _ in range(3):  # killed after the first step
            left @ right
    with second:
        for _ in range(2):
            left @ right
        second.load_state_dict(first.state_dict())
        for _ in range(2):
            left @ right
    assert second.flops == whole.flops


def test_a_game_ends_with_the_same_bytes_whether_it_is_counted_or_not(
    data, make_network, make_game, cpu
):
    """Must fail if the counter changes which kernels run."""
    players = Players(make_network(1), make_network(2), new_discriminator(4, seed=0))
    params = make_game(epochs=1, batch_size=4)
    counted = play("adversarial", players, data, params, cpu)
    run = Run(players, params.seed, cpu)
    plain = adversarial.unlearn(players.feature_extractor, data, params, run)
    assert run.work.flops == 0 < counted.flops
    for name, value in plain.state_dict().items():
        assert torch.equal(value, counted.generator.state_dict()[name]), name


def test_more_of_the_game_is_more_arithmetic(data, make_network, make_game, cpu):
    """Must fail if what the game does is not counted, or what it asks of the frozen network is not."""
    players = Players(make_network(1), make_network(2), new_discriminator(4, seed=0))
    short, long = (
        play(
            "article", players, data, make_game(recipe="article", epochs=epochs, batch_size=4), cpu
        ).flops
        for epochs in (1, 3)
    )
    per_image = training_flops(players.generator)
    assert long > short > per_image * 8
    ours = play("adversarial", players, data, make_game(batch_size=4), cpu)
    assert ours.flops > ours.image_passes * per_image + 24 * 4 * forward_flops(players.generator)
