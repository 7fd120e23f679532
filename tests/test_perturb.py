"""Shrink and perturb: what is kept, what is noise, what is left alone."""

import pytest
import torch
from torch import nn

from unlearning.models.perturb import shrink_and_perturb


def parts(model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the weights of convolutions and the last layer, and all other tensors."""
    state = model.state_dict()
    weights = {name: value for name, value in state.items() if value.dim() > 1}
    return weights, {name: value for name, value in state.items() if name not in weights}


def test_a_share_of_each_weight_is_noise_as_wide_as_the_tensor(trained):
    """Must fail if keep and noise are swapped, the noise has another width, or stem or layer 1 get as much."""
    before, after = parts(trained)[0], parts(shrink_and_perturb(trained, 0.6, seed=0))[0]
    for name, weight in before.items():
        if name.startswith("network.conv1"):
            assert torch.equal(after[name], weight), name
            continue
        share = 0.3 if name.startswith("network.layer1") else 0.6
        noise = (after[name] - (1 - share) * weight) / share
        assert noise.std().item() == pytest.approx(weight.std().item(), rel=0.05), name
        if weight.numel() > 10_000:
            assert (
                abs(torch.corrcoef(torch.stack([noise.flatten(), weight.flatten()]))[0, 1]) < 0.05
            )


def test_biases_and_normalisation_stay(trained):
    """Must fail if a vector, or a statistic of batch normalisation, is perturbed."""
    before, after = parts(trained)[1], parts(shrink_and_perturb(trained, 0.6, seed=0))[1]
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_the_noise_follows_from_the_seed_and_no_noise_changes_nothing(trained):
    """Must fail if noise comes from the global generator, or the caller's model is changed."""
    state = {name: value.clone() for name, value in trained.state_dict().items()}
    first, again, other = (shrink_and_perturb(trained, 0.5, seed).head.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    unchanged = shrink_and_perturb(trained, 0.0, 0).state_dict()
    assert all(torch.equal(unchanged[name], value) for name, value in state.items())
    assert all(torch.equal(trained.state_dict()[name], value) for name, value in state.items())
