"""What the frozen original is asked, and about which images."""

import pytest
import torch

from unlearning.data.dataset import normalised
from unlearning.game.knowledge import consult, probed_images

CPU = torch.device("cpu")


@pytest.fixture
def original(make_network):
    return make_network(3).eval()


def test_the_original_is_asked_for_logits_features_and_a_middle_layer(original, data, cpu):
    """Must fail if the order is not that of the sorted indices, a batch is lost, or layers are mixed up."""
    asked = torch.tensor([30, 2, 17, 9])
    known = consult(original, data, asked, cpu, batch_size=3)
    assert known.indices.tolist() == [2, 9, 17, 30]
    images = normalised(data.pixels(known.indices), CPU)
    with torch.no_grad():
        middle = original.layer2(images)
        torch.testing.assert_close(known.logits, original(images))
    torch.testing.assert_close(known.features, middle.mean(dim=(2, 3)))
    corner = known.middle.reshape(4, 8, 2, 2)[:, :, 0, 1]
    torch.testing.assert_close(corner, middle[:, :, :4, 4:].mean(dim=(2, 3)))
    assert known.places(asked).tolist() == [3, 0, 2, 1]
    assert known.head is original.fc


def test_asking_leaves_the_original_as_it_was(original, data, cpu):
    """Must fail if its mode or batch statistics change."""
    original.train()
    before = {name: value.clone() for name, value in original.state_dict().items()}
    consult(original, data, torch.arange(6), cpu)
    assert original.training
    assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())


def test_64_retain_images_of_each_class_are_probed(make_data):
    """Must fail if forget or held-out images are shown, classes share a quota, or the seed is ignored."""
    data = make_data({"cat": 70, "dog": 5, "elephant": 80, "horse": 66})
    chosen = probed_images(data, seed=0)
    assert torch.bincount(data.labels[chosen], minlength=4).tolist() == [64, 5, 0, 64]
    assert set(data.subsets[chosen.numpy()]) == {"train"}
    assert len(set(chosen.tolist())) == len(chosen)
    assert torch.equal(chosen, probed_images(data, seed=0))
    assert set(chosen.tolist()) != set(probed_images(data, seed=1).tolist())
