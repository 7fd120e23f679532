"""The baselines DELETE and EU-k against short loops written from their sources."""

import copy
from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from conftest import play
from torch import nn

from unlearning import methods
from unlearning.data.dataset import crop_and_flip, scaled
from unlearning.methods import delete
from unlearning.methods.shared.game import Players
from unlearning.methods.shared.steps import retain_batches
from unlearning.models.build import new_classifier
from unlearning.models.classifier import Architecture, Classifier
from unlearning.models.discriminator import new_discriminator
from unlearning.models.head import edit_head
from unlearning.models.train import rate

CPU = torch.device("cpu")
BASELINES = ("delete", "euk")
STEPS = 24  # of the shortest game


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([tensor.double().flatten() for tensor in model.state_dict().values()])


def optimizer_of(learned, params) -> torch.optim.Adam:
    return torch.optim.Adam(
        [weight for part in learned for weight in part.parameters()],
        lr=params.lr, betas=(params.beta1, params.beta2), weight_decay=params.weight_decay,
    )  # fmt: skip


@pytest.fixture(scope="module")
def small() -> Classifier:
    """Return a small ResNet, whose layer 3 is its second stage."""
    return new_classifier(Architecture("timm/test_resnet"), 32, 4, seed=0)


@pytest.fixture
def start(small):
    """Return what gives the players of a recipe that begins with the small ResNet."""
    return lambda recipe: methods.load(recipe).init_players(small, 0, 0.4)


def test_delete_is_distilled_on_answers_without_the_class(make_network, data, make_game, cpu):
    """Must fail if forget images are answered as before, retain images not shown, or a part does not learn."""
    params = make_game(recipe="delete", batch_size=8, lr=0.003)
    players = Players(make_network(1), make_network(2), new_discriminator(4, seed=0))
    outcome = play("delete", players, data, params, cpu)

    student = copy.deepcopy(players.generator).train()
    teacher = copy.deepcopy(players.feature_extractor).eval()
    optimizer = optimizer_of([student], params)
    draws = torch.Generator().manual_seed(params.seed)
    gone = data.forget_labels
    for number, step in enumerate(delete.plan(data, params, params.seed, STEPS)):
        assert set(data.labels[step.besides].tolist()) == set(gone)
        retain = scaled(crop_and_flip(data.pixels(step.retain), draws), CPU)
        images = torch.cat([retain, scaled(data.pixels(step.besides), CPU)])
        with torch.no_grad():
            answers = teacher(images).softmax(dim=1)
        answers[:, gone] = 0
        answers /= answers.sum(dim=1, keepdim=True)
        optimizer.param_groups[0]["lr"] = params.lr * rate((number + 1) / (STEPS + 1))
        loss = -(answers * student(images).log_softmax(dim=1)).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    expected = weights(edit_head(student, gone))
    torch.testing.assert_close(weights(outcome.generator), expected, atol=2e-5, rtol=1e-3)


def test_of_single_images_delete_hides_each_ones_own_class():
    """Must fail if a retain image's class is hidden with it, or a forget image keeps its own."""
    logits = torch.tensor([[1.0, 2.0, 3.0]] * 3)
    found = delete.without_classes(
        logits, torch.tensor([0, 1, 1]), torch.tensor([False, False, True]), []
    )
    assert found.isinf().tolist() == [[False] * 3, [False] * 3, [False, True, False]]
    assert delete.without_classes(logits[:1], torch.tensor([0]), torch.tensor([False]), [2])[
        0
    ].tolist() == [1.0, 2.0, -torch.inf]


def test_euk_trains_fresh_last_stages_alone(small, start, data, make_game, cpu):
    """Must fail if layer 3 or what is below moves, batch statistics included, or a later stage is not fresh."""
    params, players = make_game(recipe="euk", batch_size=8, lr=0.0003), start("euk")
    outcome = play("euk", players, data, params, cpu)

    model = copy.deepcopy(players.generator).eval()
    before = dict(small.network.named_parameters())
    fresh = {
        name.partition(".")[0]
        for name, weight in model.network.named_parameters()
        if not torch.equal(weight, before[name])
    }
    assert fresh == {"layer3", "layer4", "fc"}
    learned = [model.network.layer3, model.network.layer4, model.network.fc]
    optimizer = optimizer_of(learned, params)
    draws = torch.Generator().manual_seed(params.seed)
    batches = retain_batches(data, params, torch.Generator().manual_seed(params.seed))
    for number, batch in enumerate(islice(batches, STEPS)):
        for part in learned:
            part.train()
        optimizer.param_groups[0]["lr"] = params.lr * rate((number + 1) / (STEPS + 1))
        images = scaled(crop_and_flip(data.pixels(batch), draws), CPU)
        optimizer.zero_grad()
        F.cross_entropy(model(images), data.labels[batch]).backward()
        optimizer.step()
    begin = weights(edit_head(players.generator, data.forget_labels))
    expected = weights(edit_head(model, data.forget_labels))
    # Adam's first steps are as long where a gradient is nothing but rounding.
    assert (weights(outcome.generator) - expected).norm() < 0.01 * (expected - begin).norm()


@pytest.mark.parametrize("recipe", BASELINES)
def test_a_baseline_takes_the_budget_and_no_adversary(recipe, start, data, make_game, cpu, rows):
    """Must fail if it is longer or shorter than what it is compared with, or the discriminator learns."""
    params, players = make_game(recipe=recipe, batch_size=4), start(recipe)
    least = play(recipe, players, data, params, cpu)
    longer = play(recipe, players, data, params, cpu, rows, budget=2 * least.flops)
    assert 1.9 * least.flops < longer.flops < 2.05 * least.flops
    assert torch.equal(weights(longer.discriminator), weights(players.discriminator))
    assert "discriminator_accuracy" not in rows.rows[-1]


def test_players_of_a_baseline_share_no_weights(start):
    """Must fail if the generator is trained in the feature extractor's place."""
    for recipe in BASELINES:
        players: Players = start(recipe)
        pointers = [
            weight.data_ptr()
            for network in (players.generator, players.feature_extractor)
            for weight in network.parameters()
        ]
        assert len(set(pointers)) == len(pointers)
