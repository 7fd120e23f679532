"""The classifier's own training: seeded, able to learn, and stopped by a loss that is no number."""

import pytest
import torch
from conftest import resnet
from torch import nn

from unlearning.base.errors import UserError
from unlearning.data.dataset import crop_and_flip, scaled, shuffled_batches
from unlearning.models.forward import predict_logits
from unlearning.models.train import F, rate, train


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([tensor.double().flatten() for tensor in model.state_dict().values()])


def test_training_follows_from_its_seed(data, make_original, make_network, cpu, rows):
    """Must fail if batches or augmentation are drawn from anything but the seed."""
    images, params = data.select(subset="train"), make_original()
    first = weights(train(make_network(0), data, images, params, 0, cpu, rows))
    torch.rand(1)
    assert torch.equal(weights(train(make_network(0), data, images, params, 0, cpu, rows)), first)
    assert not torch.equal(
        weights(train(make_network(0), data, images, params, 1, cpu, rows)), first
    )


def test_training_is_its_described_loop(data, make_original, make_network, cpu, rows):
    """Must fail if optimiser, weight decay, schedule, augmentation or their order changes."""
    images = data.select(subset="train")[::2]
    params = make_original(epochs=3, batch_size=6, lr=0.01, weight_decay=0.3)
    trained = train(make_network(5), data, images, params, 5, cpu, rows)

    model = make_network(5).train()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.3)
    generator = torch.Generator().manual_seed(5)
    losses = []
    for _ in range(3):
        for batch in shuffled_batches(images, 6, generator):
            # 16 images in batches of 6: 3 steps an epoch, 9 in all.
            optimizer.param_groups[0]["lr"] = 0.01 * rate((len(losses) + 1) / 10)
            pixels = crop_and_flip(data.pixels(batch), generator)
            logits = model(scaled(pixels, cpu.device))
            chosen = logits.log_softmax(dim=1)[range(len(batch)), data.labels[batch]]
            losses.append(-chosen.mean())
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()

    torch.testing.assert_close(weights(trained), weights(model), atol=1e-5, rtol=1e-3)
    means = torch.stack(losses).detach().reshape(3, 3).mean(dim=1)
    assert [row["epoch"] for row in rows.rows] == [1, 2, 3]
    assert [row["loss"] for row in rows.rows] == pytest.approx(means.tolist(), rel=1e-4)


def test_training_learns_what_can_be_told_apart(data, trained, cpu):
    """Must fail if the gradient is not followed, or labels belong to other images."""
    for subset in ("train", "test"):
        indices = data.select(subset=subset)
        predicted = predict_logits(trained, data, indices, cpu).argmax(dim=1)
        assert (predicted == data.labels[indices]).float().mean() > 0.9
    assert not trained.training


def test_a_class_that_is_not_trained_on_still_has_an_output(data, make_original, cpu, rows):
    """Must fail if the network has an output per class it sees: logits would not compare."""
    retain = data.select(role="retain", subset="train")
    model = train(resnet(4, 0), data, retain[:8], make_original(), 0, cpu, rows)
    assert predict_logits(model, data, torch.arange(2), cpu).shape == (2, 4)


def test_a_loss_that_is_no_number_stops_the_training(data, make_original, cpu, rows):
    """Must fail if a NaN is trained on, or the message names another key."""
    with pytest.raises(UserError, match=r"params\.yaml: original\.lr is 1e\+30, .* epoch 1 is"):
        train(resnet(4, 0), data, data.select(subset="train"), make_original(lr=1e30), 0, cpu, rows)


def test_a_last_batch_of_one_small_image_is_trained_on(data, make_original, cpu, rows):
    """Must fail if 9 images in batches of 8 end in torch's "Expected more than 1 value per channel"."""
    train(resnet(4, 0), data, torch.arange(9), make_original(), 0, cpu, rows)


def test_three_small_images_in_batches_of_two_are_trained_on(data, make_original, cpu, rows):
    """Must fail if a batch is left with one image, of which batch normalisation takes no variance."""
    train(resnet(4, 0), data, torch.arange(3), make_original(batch_size=2), 0, cpu, rows)


def test_finite_weights_that_cannot_be_used_are_refused(
    data, make_original, make_network, cpu, rows, monkeypatch
):
    """Must fail if only weights are looked at: the next stage would find their answers not finite."""

    model = make_network(0)
    model.head.weight.data.fill_(3e38)
    model.head.bias.data.fill_(3e38)
    monkeypatch.setattr(F, "cross_entropy", lambda logits, _: logits.nan_to_num(0, 0, 0).sum() * 0)
    with pytest.raises(
        UserError, match=r"original\.lr is .*, and the training diverged: what it makes"
    ):
        train(model, data, torch.arange(8), make_original(), 0, cpu, rows)


@pytest.mark.parametrize(
    ("progress", "share"), [(0.0, 0), (0.05, 0.5), (0.1, 1), (0.4, 0.75), (0.55, 0.5), (1.0, 0)]
)
def test_the_rate_matches_hand_values(progress, share):
    """Must fail if the warm-up changes its length, or the way down is straight."""
    assert rate(progress) == pytest.approx(share)
