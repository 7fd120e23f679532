"""Networks are seeded, their files come back to the bit, and a file that is none is refused unread."""

import json
import os
import pickle

import pytest
import torch
import torch.nn.functional as F
from conftest import resnet
from safetensors.torch import load as of_bytes
from safetensors.torch import save_file

from unlearning.base.errors import UserError
from unlearning.base.tensors import read_tensors
from unlearning.data.dataset import Dataset, Labelling
from unlearning.models import forward
from unlearning.models.discriminator import (
    Discriminator,
    load_discriminator,
    new_discriminator,
    scores,
)
from unlearning.models.forward import predict_logits
from unlearning.models.train import require_finite
from unlearning.models.weights import load_classifier, retrained, save

LABELLING = Labelling(("cat", 'é "dog"', "elephant"), 48)


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("new", [resnet, new_discriminator])
def test_a_networks_weights_follow_from_its_seed_alone(new):
    """Must fail if the seed is ignored, or the global generator is seeded or drawn from."""
    state = torch.get_rng_state()
    first, other = new(3, seed=1), new(3, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert same(first, new(3, seed=1))
    assert not same(first, other)


def test_the_discriminator_is_the_articles_without_its_last_sigmoid():
    """Must fail if a width, a ReLU or the logit changes."""
    network = new_discriminator(10, seed=0)
    weights = network.state_dict()
    shapes = [tuple(w.shape) for name, w in weights.items() if name.endswith("weight")]
    assert shapes == [(512, 10), (256, 512), (1, 256)]
    (w1, b1, w2, b2, w3, b3) = weights.values()
    outputs = 50 * torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    by_hand = F.relu(F.relu(outputs @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    torch.testing.assert_close(network(outputs), by_hand[:, 0])
    assert network(outputs).min() < 0, "a sigmoid cannot be negative"
    torch.testing.assert_close(scores(network, outputs), 1 / (1 + (-by_hand[:, 0]).exp()))


def test_a_saved_classifier_comes_back_to_the_bit(tmp_path):
    """Must fail if a buffer is left out, the labelling is lost, or the mode is not eval."""
    model = resnet(3, seed=0)
    model(torch.rand(4, 3, 32, 32))  # moves the batch normalisation's statistics
    save(model, LABELLING, tmp_path / "m.safetensors")
    loaded, labelling = load_classifier(tmp_path / "m.safetensors")
    assert labelling == LABELLING
    assert same(model, loaded)
    assert not loaded.training
    assert model.training


def test_the_same_weights_are_the_same_bytes(tmp_path):
    """Must fail if a date, a random order or the memory layout reaches the file."""
    model = new_discriminator(3, seed=0)
    save(model, LABELLING, tmp_path / "1.safetensors")
    again = load_discriminator(tmp_path / "1.safetensors")
    save(again, LABELLING, tmp_path / "2.safetensors")
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_a_pickle_is_refused_and_never_loaded(tmp_path):
    """Must fail if a reader falls back to torch.load."""
    mark = tmp_path / "mark"
    path = tmp_path / "m.safetensors"
    path.write_bytes(pickle.dumps({"weights": Bomb(str(mark))}))
    with pytest.raises(UserError, match="not a weights file"):
        load_classifier(path)
    torch.save({"weights": Bomb(str(mark))}, path)
    with pytest.raises(UserError, match="not a weights file"):
        load_classifier(path)
    assert not mark.exists()


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path):
    """Must fail if FileNotFoundError escapes."""
    with pytest.raises(UserError, match=r"m\.safetensors does not exist: run `dvc repro`"):
        load_classifier(tmp_path / "m.safetensors")


@pytest.mark.parametrize("content", [b"", b"x", b"\x00" * 100, b"text\n" * 50])
def test_a_file_that_is_no_weights_file_is_refused(tmp_path, content):
    """Must fail if the format's own exception escapes."""
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a weights file of this project"):
        load_discriminator(path)


def test_a_truncated_file_is_refused(tmp_path):
    """Must fail if the header alone is trusted."""
    path = tmp_path / "m.safetensors"
    save(new_discriminator(3, seed=0), LABELLING, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is not a weights file of this project"):
        load_discriminator(path)


@pytest.mark.parametrize(
    "metadata",
    [None, {"other": "1"}, {"labelling": "no json"}, {"labelling": "[1]"}, {"labelling": "{}"}],
)
def test_weights_without_our_labelling_are_refused(tmp_path, metadata):
    """Must fail if a file without class names is taken."""
    path = tmp_path / "m.safetensors"
    save_file(new_discriminator(3, seed=0).state_dict(), path, metadata=metadata)
    with pytest.raises(UserError, match="is not a weights file of this project"):
        load_discriminator(path)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [0.5]}, {"mean": [], "std": []}, {"mean": [0.5] * 2, "std": [1.0] * 2},
        {"std": [0.0] * 3}, {"mean": [1e999] * 3}, {"stem": "large"}, {"name": 3}, {"more": 1},
    ],
)  # fmt: skip
def test_an_impossible_architecture_in_a_file_is_refused(change, tmp_path):
    """Must fail if a stranger's normalisation ends in a traceback, or in answers that are no numbers."""
    path = tmp_path / "m.safetensors"
    save(resnet(3, seed=0), LABELLING, path)
    header = json.loads(read_tensors(path, "labelling", of_bytes)[0])
    header["architecture"] |= change
    state = resnet(3, seed=0).network.state_dict()
    contiguous = {name: value.contiguous() for name, value in state.items()}
    save_file(contiguous, path, metadata={"labelling": json.dumps(header)})
    with pytest.raises(UserError, match="is not a weights file of this project") as caught:
        load_classifier(path)
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused_in_one_line(tmp_path):
    """Must fail if keys that do not fit are passed over, or every one of them is listed."""
    path = tmp_path / "m.safetensors"
    save(new_discriminator(3, seed=0), LABELLING, path)
    with pytest.raises(UserError, match="holds weights of another architecture") as caught:
        load_classifier(path)
    assert "\n" not in str(caught.value)
    save(Discriminator(5), LABELLING, path)
    with pytest.raises(UserError, match="holds weights of another architecture"):
        load_discriminator(path)


def test_logits_do_not_depend_on_the_batch_and_follow_the_indices(data, trained, cpu, monkeypatch):
    """Must fail if the network runs in training mode, or rows are sorted."""
    indices = torch.tensor([7, 0, 39, 7, 20])
    together = predict_logits(trained, data, indices, cpu)
    for size in (1, 2):
        monkeypatch.setattr(forward, "BATCH_SIZE", size)
        found = predict_logits(trained, data, indices, cpu)
        torch.testing.assert_close(found, together, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together[0], together[3], atol=1e-4, rtol=1e-4)
    alone = predict_logits(trained, data, torch.tensor([39]), cpu)
    torch.testing.assert_close(together[2], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("side", "size"), [(32, 128), (224, 128), (256, 98), (1024, 6), (4096, 1)])
def test_of_large_images_fewer_are_looked_at_at_once(
    side, size, data, make_network, cpu, monkeypatch
):
    """Must fail if memory grows with their pixels, batches of others change, or one holds no image."""
    seen, pixels = [], Dataset.pixels
    monkeypatch.setattr(Dataset, "image_size", side)
    monkeypatch.setattr(
        Dataset, "pixels", lambda self, rows: seen.append(len(rows)) or pixels(self, rows)
    )
    predict_logits(make_network(0), data, torch.zeros(130, dtype=torch.long), cpu)
    assert max(seen) == size and sum(seen) == 130


@pytest.mark.parametrize("training", [True, False])
def test_asking_a_network_leaves_it_as_it_was(data, make_network, cpu, training):
    """Must fail if the mode stays eval, the statistics move, or a gradient is kept."""
    model, before = make_network(0).train(training), make_network(0)
    logits = predict_logits(model, data, torch.arange(6), cpu)
    assert model.training == training
    assert all(module.training == training for module in model.modules())
    assert same(model, before)
    assert not logits.requires_grad


def test_no_images_give_no_logits(data, make_network, cpu):
    """Must fail if an empty list is concatenated."""
    assert predict_logits(make_network(0), data, torch.arange(0), cpu).shape == (0, 4)


def test_retrained_models_are_named_in_order_of_their_seeds(model_folder):
    """Must fail if seed 10 stands before seed 2."""
    assert retrained(model_folder) == ["retrained/2", "retrained/10"]
    assert retrained(model_folder / "nowhere") == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["network.fc.weight", "network.bn1.running_var"])
def test_weights_that_diverged_are_refused_where_they_are_made(name, value):
    """Must fail if infinity passes, or batch normalisation's statistics are not looked at."""
    model = resnet(3, seed=0)
    require_finite(model, "lr", 0.1)
    model.state_dict()[name].view(-1)[0] = value
    with pytest.raises(
        UserError, match=rf"^params\.yaml: lr is 0\.1, .* {name} is no longer finite"
    ):
        require_finite(model, "lr", 0.1)
