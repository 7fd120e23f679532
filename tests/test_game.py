"""Both recipes against short loops written from the article, and how a game is watched."""

import copy
import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import play, resnet
from torch import nn

from unlearning import methods
from unlearning.base.errors import UserError
from unlearning.data.dataset import crop_and_flip, scaled
from unlearning.data.request import Request
from unlearning.methods import adversarial, article
from unlearning.methods.article import plan, touched
from unlearning.methods.shared.confidence import as_sure
from unlearning.methods.shared.game import (
    Monitor,
    Players,
    effective_classes,
    swing,
    warning,
)
from unlearning.methods.shared.members import Auditor, Known
from unlearning.models.build import new_classifier
from unlearning.models.classifier import Architecture
from unlearning.models.discriminator import new_discriminator
from unlearning.models.forward import predict_logits
from unlearning.models.head import edit_head
from unlearning.models.layers import DEEP, FEATURES, LOGITS
from unlearning.models.perturb import shrink_and_perturb
from unlearning.models.train import rate
from unlearning.settings.game import GameParams

CPU = torch.device("cpu")

RECIPES = ("adversarial", "article")  # the games


@pytest.fixture
def players(make_network) -> Players:
    return Players(make_network(1), make_network(2), new_discriminator(4, seed=0))


@pytest.fixture(scope="module")
def knowing(data, make_network) -> nn.Module:
    """Return a small network that knows all four colours."""
    model = make_network(0)
    train = data.select(subset="train")
    images, labels = scaled(data.pixels(train), CPU), data.labels[train]
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(60):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([tensor.double().flatten() for tensor in model.state_dict().values()])


def accuracy(model: nn.Module, data, indices: torch.Tensor, cpu) -> float:
    predicted = predict_logits(model, data, indices, cpu).argmax(dim=1)
    return (predicted == data.labels[indices]).float().mean().item()


def cosine(done: int, total: int) -> float:
    return (1 + math.cos(math.pi * done / total)) / 2


def adam(model: nn.Module, params: GameParams) -> torch.optim.Adam:
    """Return A11's optimiser."""
    return torch.optim.Adam(
        model.parameters(), lr=params.lr, betas=(params.beta1, params.beta2),
        weight_decay=params.weight_decay,
    )  # fmt: skip


# --- what both recipes promise ---------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_players_follow_from_their_seed(recipe, make_network, monkeypatch):
    """Must fail if the discriminator's weights come from the global generator, or one seed serves all."""
    monkeypatch.setattr(article, "anew", lambda _, role, seed: make_network(seed + len(role)))
    original, init = make_network(9), methods.load(recipe).init_players
    first, again, other = (init(original, seed, 0.5) for seed in (0, 0, 1))
    for name in ("generator", "feature_extractor", "discriminator"):
        assert torch.equal(weights(getattr(first, name)), weights(getattr(again, name)))
    assert not torch.equal(weights(first.discriminator), weights(other.discriminator))
    assert not torch.equal(weights(first.generator), weights(other.generator))


def test_our_game_begins_with_the_original_and_noise_the_articles_with_random_networks(
    trained,
):
    """Must fail if a recipe takes the other's start, or two players share their weights."""
    ours = methods.load("adversarial").init_players(trained, 5, 0.3)
    printed = methods.load("article").init_players(trained, 0, 0.3)
    noisy = shrink_and_perturb(trained, 0.3, seed=5)
    assert torch.equal(weights(ours.generator), weights(noisy))
    assert torch.equal(weights(ours.feature_extractor), weights(trained))
    for players in (ours, printed):
        networks = (trained, players.generator, players.feature_extractor)
        tensors = [p.data_ptr() for network in networks for p in network.parameters()]
        assert len(set(tensors)) == len(tensors)
    assert not torch.equal(weights(printed.generator), weights(trained))
    assert not torch.equal(weights(printed.generator), weights(printed.feature_extractor))


def test_the_articles_image_passes_match_a_hand_count(players, make_data, make_game, cpu, rows):
    """Must fail if retain images are counted: none goes through the article's generator."""
    data = make_data({"cat": 4, "dog": 1, "elephant": 5, "horse": 2})
    params = make_game(recipe="article", epochs=2, batch_size=2)
    outcome = play("article", players, data, params, cpu, rows)
    assert outcome.image_passes == 10
    assert [row["epoch"] for row in rows.rows] == [1, 2]


def test_our_image_passes_match_a_hand_count(players, make_data, make_game, cpu, rows):
    """Must fail if members and unseen images are not counted, or enter before the second half.

    24 steps: batches of 4 out of 12 retain images; in the second half one member and one unseen image each.
    """
    data = make_data({"cat": 4, "dog": 4, "elephant": 5, "horse": 4})
    outcome = play("adversarial", players, data, make_game(batch_size=4), cpu, rows)
    assert outcome.image_passes == 24 * 4 + 12 * 2
    assert len(rows.rows) == 10
    assert rows.rows[-1]["epoch"] == 24 * 4 / 12
    assert ["discriminator_loss" in row for row in rows.rows] == [False] * 5 + [True] * 5


def test_the_length_of_our_game_follows_from_the_budget(make_data, make_game, cpu, rows):
    """Must fail if the budget is overdrawn or not used up, or what the original is asked is not paid for.

    Four of a kind: with fewer the auditor is silent, and forget images pass forward alone.
    """
    data = make_data({"cat": 4, "dog": 4, "elephant": 5, "horse": 4}, held_out=4)
    params = make_game(batch_size=4)
    small = new_classifier(Architecture("timm/test_resnet"), 32, 4, seed=0)
    players = methods.load("adversarial").init_players(small, 0, 0.4)
    least = play("adversarial", players, data, params, cpu, rows)
    budget = 2 * least.flops
    longer = play("adversarial", players, data, params, cpu, rows, budget=budget)
    assert 0.9 * budget < longer.flops < 1.02 * budget


@pytest.mark.parametrize("recipe", RECIPES)
def test_collapse_is_watched_on_retain_images(
    recipe, knowing, data, make_network, make_game, cpu, rows
):
    """Must fail if the classes of forget images are counted: there is one, and it should scatter."""
    players = Players(knowing, make_network(2), new_discriminator(4, seed=0))
    params = make_game(recipe=recipe, epochs=1, batch_size=8, lr=1e-9)
    play(recipe, players, data, params, cpu, rows)
    # At least 8 images of three classes; of forget images the knowing network predicts one class alone.
    assert 2 < rows.rows[0]["effective_classes"] <= 3


# --- the article's recipe ---------------------------------------------------------------------------


def test_the_article_recipe_is_its_printed_loop(players, data, make_game, cpu, rows):
    """Must fail if a loss, the order of updates, Adam's values (A11) or the schedule (A12) changes.

    Two epochs of two batches, so that momentum and cosine have something to act on.
    """
    params = make_game(
        recipe="article", epochs=2, batch_size=4, lr=0.001, beta1=0.5, beta2=0.999, weight_decay=5e-4
    )  # fmt: skip
    outcome = play("article", players, data, params, cpu, rows)

    generator = copy.deepcopy(players.generator).train()
    extractor = copy.deepcopy(players.feature_extractor).eval()
    layers = copy.deepcopy(players.discriminator).layers
    discriminator = nn.Sequential(layers, nn.Sigmoid())
    criterion = nn.BCEWithLogitsLoss()
    g_optimizer, d_optimizer = (
        torch.optim.Adam(player.parameters(), lr=0.001, betas=(0.5, 0.999), weight_decay=5e-4)
        for player in (generator, discriminator)
    )
    for epoch, pairs in enumerate(plan(data, params, params.seed)):
        for optimizer in (g_optimizer, d_optimizer):
            optimizer.param_groups[0]["lr"] = 0.001 * cosine(epoch, 2)
        for forget, retain in pairs:
            forget_images = scaled(data.pixels(forget), CPU)
            with torch.no_grad():
                real = extractor(scaled(data.pixels(retain), CPU))
            fake = generator(forget_images)
            d_optimizer.zero_grad()
            d_loss = criterion(discriminator(real), torch.ones(len(retain), 1)) + criterion(
                discriminator(fake.detach()), torch.zeros(len(forget), 1)
            )
            d_loss.backward()
            d_optimizer.step()
            g_optimizer.zero_grad()
            g_loss = criterion(discriminator(fake), torch.ones(len(forget), 1))
            g_loss.backward()
            g_optimizer.step()

    close = partial(torch.testing.assert_close, atol=2e-6, rtol=1e-4)
    close(weights(outcome.generator), weights(generator))
    close(weights(outcome.discriminator), weights(layers))


def test_the_article_recipe_ignores_our_weight(players, data, make_game, cpu, rows):
    """Must fail if the printed game weighs its one loss."""
    first, second = (
        play(
            "article",
            players,
            data,
            make_game(recipe="article", epochs=1, adversary_weight=weight),
            cpu,
            rows,
        )
        for weight in (0.0, 5.0)
    )
    assert torch.equal(weights(first.generator), weights(second.generator))


# --- our recipe -------------------------------------------------------------------------------------


@pytest.mark.parametrize("adversary", ["members", "discriminator"])
def test_our_recipe_is_its_described_loop(
    adversary, players, make_data, make_game, cpu, rows, monkeypatch
):
    """Must fail if a term, its weight, the order of updates, the schedule or one of both last edits changes.

    Or if the discriminator is said to be right where it is wrong.
    """
    data = make_data({"cat": 6, "dog": 6, "elephant": 6, "horse": 6}, held_out=5)
    params = make_game(
        recipe="adversarial", batch_size=8, lr=0.003, adversary=adversary, adversary_weight=9.0,
    )  # fmt: skip
    monkeypatch.setattr(adversarial, "length", lambda *_: 25)
    outcome = play("adversarial", players, data, params, cpu, rows)

    generator = copy.deepcopy(players.generator).train()
    original = copy.deepcopy(players.feature_extractor).eval()
    discriminator = copy.deepcopy(players.discriminator)
    optimizers = adam(generator, params), adam(discriminator, params)
    members = data.select(role="forget", subset="train")
    known = torch.cat([members, data.select(role="forget", subset="validation")])
    auditor = Auditor(DEEP, 6, 5, CPU)
    draws = torch.Generator().manual_seed(params.seed)
    steps = adversarial.play(data, params, params.seed, 25, 6, 5)
    hits = []
    for number, step in enumerate(steps):
        optimizers[0].param_groups[0]["lr"] = params.lr * rate((number + 1) / 26)
        optimizers[1].param_groups[0]["lr"] = params.lr * rate((number - 12) / 13)
        images = scaled(crop_and_flip(data.pixels(step.retain), draws), CPU)
        retain_logits = generator.train()(images)
        found_out = torch.zeros(())
        if number >= 13:
            generator.eval()
            if number == 13:
                auditor.look(generator, data, Known(known, data.labels[known], 6), cpu)
            found = generator.look(scaled(data.pixels(known[step.besides]), CPU), DEEP)
            advantage = auditor.advantage({layer: found[layer] for layer in DEEP}, step.besides)
            fake = found[LOGITS][step.besides < 6]
            with torch.no_grad():
                real = original(images[:2])
            if number >= 22:  # in the last of ten rounds
                hits += [discriminator(real) > 0, discriminator(fake) <= 0]
            told_real = F.logsigmoid(discriminator(real)).mean()
            told_fake = F.logsigmoid(-discriminator(fake.detach())).mean()
            optimizers[1].zero_grad()
            (-told_real - told_fake).backward()
            optimizers[1].step()
            found_out = advantage
            if adversary == "discriminator":
                found_out = -F.logsigmoid(discriminator(fake)).mean()
        labels = data.labels[step.retain]
        loss = 9.0 * found_out + F.cross_entropy(retain_logits, labels)
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()

    assert FEATURES in DEEP
    close = partial(torch.testing.assert_close, atol=2e-5, rtol=1e-3)
    retired = edit_head(generator.eval(), data.forget_labels)
    held_out = data.select(role="retain", subset="validation")
    close(weights(outcome.generator), weights(as_sure(retired, original, data, held_out, cpu)))
    close(weights(outcome.discriminator), weights(discriminator))
    assert rows.rows[-1]["discriminator_accuracy"] == torch.cat(hits).double().mean().item()


def test_batches_of_two_and_an_odd_number_of_retain_images_are_played(make_data, make_game):
    """Must fail if a batch of one is shown: batch normalisation of a single pixel has no variance."""
    data = make_data({"cat": 2, "dog": 1, "elephant": 2, "horse": 2})
    plan = adversarial.play(data, make_game(batch_size=2), 0, 24, 2, 1)
    assert {len(step.retain) for step in plan} == {2, 3}


@pytest.mark.parametrize("adversary", ["members", "discriminator", "none"])
def test_an_auditor_looks_only_if_it_is_to_be_deceived(
    adversary, players, make_data, make_game, cpu, monkeypatch
):
    """Must fail if other games ask it in every step and throw it away, pay for its look, or lose a column."""
    data = make_data({"cat": 6, "dog": 6, "elephant": 6, "horse": 6}, held_out=5)
    asked, paid_for = [], []
    look, length = Auditor.look, adversarial.length
    monkeypatch.setattr(Auditor, "look", lambda *given: asked.append(1) or look(*given))
    monkeypatch.setattr(
        adversarial, "length", lambda *given: paid_for.append(given[-1]) or length(*given)
    )
    params = make_game(adversary=adversary, batch_size=8)
    last = play("adversarial", players, data, params, cpu).epochs[-1]
    of_confidence = 2 * 3 * 5  # validation images of kept classes, by generator and original
    expected = (1, of_confidence + 6 + 5) if adversary == "members" else (0, of_confidence)
    assert (len(asked), *paid_for) == expected
    assert set(last) == {
        "epoch", "retain_loss", "discriminator_loss", "generator_loss", "effective_classes",
        "discriminator_accuracy", "generator_loss_swing",
    }  # fmt: skip


@pytest.mark.parametrize("adversary", ["members", "discriminator"])
def test_each_adversary_reaches_the_generator(adversary, players, make_data, make_game, cpu, rows):
    """Must fail if an adversary is named but sends no gradient, or `none` sends one."""
    data = make_data({"cat": 6, "dog": 6, "elephant": 6, "horse": 6}, held_out=5)

    def generator(adversary: str, weight: float) -> torch.Tensor:
        params = make_game(adversary=adversary, adversary_weight=weight, batch_size=8)
        return weights(play("adversarial", players, data, params, cpu, rows).generator)

    alone = generator("none", 9.0)
    assert torch.equal(generator(adversary, 0.0), alone)
    assert not torch.equal(generator(adversary, 9.0), alone)


@pytest.mark.parametrize(("adversary", "same"), [("none", True), ("members", False)])
def test_forget_images_reach_the_generator_through_its_adversary_alone(
    adversary, same, knowing, make_data, make_game, cpu
):
    """Must fail if batch normalisation takes them into its statistics, or a loss sees them."""
    data = make_data({"cat": 6, "dog": 6, "elephant": 6, "horse": 6}, held_out=5)
    forget = data.select(role="forget")
    images = data.images.copy()
    images[forget] = 255 - images[forget]
    params = make_game(adversary=adversary, batch_size=8)
    players = methods.load("adversarial").init_players(knowing, params.seed, params.noise)
    first, second = (
        weights(play("adversarial", players, shown, params, cpu).generator)
        for shown in (data, dataclasses.replace(data, images=images))
    )
    assert torch.equal(first, second) == same


@pytest.mark.parametrize("forgotten", [["elephant"], ["dog", "elephant"]])
def test_our_recipe_forgets_the_classes_and_keeps_the_others(
    forgotten, knowing, data, make_game, cpu, rows
):
    """Must fail if the generator learns nothing, damages what it must keep, or one of two classes stays."""
    data = dataclasses.replace(
        data,
        roles=np.where(np.isin(np.array(data.classes)[data.labels], forgotten), "forget", "retain"),
        request=Request(tuple(forgotten)),
    )
    forget = data.select(role="forget", subset="train")
    retain = data.select(role="retain", subset="train")
    assert accuracy(knowing, data, forget, cpu) == 1
    assert accuracy(knowing, data, retain, cpu) == 1
    params = make_game(recipe="adversarial", batch_size=8, lr=0.02, noise=0.5)
    players = methods.load("adversarial").init_players(knowing, params.seed, params.noise)
    outcome = play("adversarial", players, data, params, cpu, rows)
    assert accuracy(outcome.generator, data, forget, cpu) == 0
    assert accuracy(outcome.generator, data, retain, cpu) == 1


def test_the_stem_is_left_as_it_is(make_data, make_game, cpu, monkeypatch):
    """Must fail if a weight or a statistic of the stem changes, or those above stand still."""
    data = make_data({"cat": 4, "dog": 4, "elephant": 4, "horse": 4})
    params = make_game(batch_size=4)
    original = resnet(4, seed=0)
    players = methods.load("adversarial").init_players(original, params.seed, params.noise)
    monkeypatch.setattr(adversarial, "length", lambda *_: 10)  # one a round
    outcome = play("adversarial", players, data, params, cpu)
    before, after = original.state_dict(), outcome.generator.state_dict()
    below = [name for name in before if name.startswith(("network.conv1", "network.bn1"))]
    assert len(below) == 6
    assert all(torch.equal(before[name], after[name]) for name in below)
    for above in ("network.layer1.0.conv1.weight", "network.layer1.0.bn1.running_mean"):
        assert not torch.equal(before[above], after[above])
    assert all(weight.requires_grad for weight in outcome.generator.parameters())


def test_of_many_forget_images_the_auditor_knows_some_of_every_class(make_data, monkeypatch):
    """Must fail if the first images are taken: they are those of one class."""
    data = make_data({"cat": 9, "dog": 9, "elephant": 9, "horse": 9})
    both = np.where(np.isin(data.labels, [1, 2]), "forget", "retain")
    data = dataclasses.replace(data, roles=both)
    monkeypatch.setattr("unlearning.methods.shared.members.MOST_ROWS", 10)
    known = Known.of(data, seed=0)
    some, few = known.images[:10], known.images[10:]
    assert known.members == len(some.unique()) == 10
    assert set(data.labels[some].tolist()) == {1, 2}
    assert few.equal(data.select(role="forget", subset="validation"))
    assert known.labels.equal(data.labels[known.images])


def test_the_auditor_knows_a_picture_once(make_data):
    """Must fail if one copy of a picture stands in the batch and another in what the auditor is fitted to."""
    data = make_data(dict.fromkeys(("cat", "elephant"), 6), held_out=3)
    pictures = np.arange(len(data.labels))
    for subset, copies in (("train", 3), ("validation", 2)):
        images = data.select(role="forget", subset=subset)
        pictures[images[:copies]] = images[0]
    before, known = Known.of(data, 0), Known.of(dataclasses.replace(data, pictures=pictures), 0)
    assert (known.members, known.unseen) == (before.members - 2, before.unseen - 1)
    assert len(np.unique(pictures[known.images])) == len(known.images)


def test_retain_images_members_and_unseen_images_take_turns(data, make_game):
    """Must fail if an image comes again before all others had their turn, or places of the kinds mix."""
    steps = adversarial.play(data, make_game(batch_size=8), 0, 48, 5, 3)
    assert len(steps) == 48
    retain = torch.cat([step.retain for step in steps])
    counts = torch.bincount(retain)[data.select(role="retain", subset="train")]
    assert counts.max() - counts.min() <= 1
    assert all(len(step.besides) == 0 for step in steps[:24])
    known = torch.bincount(torch.cat([step.besides for step in steps[24:]]), minlength=8)
    assert known[:5].max() - known[:5].min() <= 1
    assert known[5:].max() - known[5:].min() <= 1
    assert all((step.besides < 5).any() and (step.besides >= 5).any() for step in steps[24:])


@pytest.mark.parametrize(("members", "unseen"), [(4, 4), (6, 20), (40, 5)])
def test_a_step_leaves_half_of_few_for_the_auditor_to_be_fitted_to(
    members, unseen, data, make_game
):
    """Must fail if a step shows all members there are: of six in a batch of 24 the auditor was never fitted."""
    for step in adversarial.play(data, make_game(batch_size=24), 0, 24, members, unseen)[12:]:
        assert 1 <= (step.besides < members).sum() <= min(6, members // 2)
        assert 1 <= (step.besides >= members).sum() <= min(3, unseen // 2)


def test_each_epoch_of_the_plan_passes_once_over_the_forget_images(make_data, make_game):
    """Must fail if a held-out image is trained on, a forget image is lost, or a batch has no variance."""
    data = make_data({"cat": 4, "dog": 3, "elephant": 5, "horse": 4})
    epochs = plan(data, make_game(epochs=4, batch_size=2), 0)
    forget = data.select(role="forget", subset="train").tolist()
    assert len(epochs) == 4
    for pairs in epochs:
        assert [len(batch) for batch, _ in pairs] == [3, 2]
        assert sorted(torch.cat([batch for batch, _ in pairs]).tolist()) == forget
    orders = [torch.cat([batch for batch, _ in pairs]).tolist() for pairs in epochs]
    assert len({tuple(order) for order in orders}) > 1, "every epoch has the same order"


def test_retain_images_start_again_only_when_all_have_had_their_turn(make_data, make_game):
    """Must fail if each epoch starts a new pass, or draws with replacement."""
    data = make_data({"cat": 4, "dog": 3, "elephant": 5, "horse": 4})
    retain = data.select(role="retain", subset="train").tolist()
    epochs = plan(data, make_game(epochs=6, batch_size=2), 0)
    batches = [batch for pairs in epochs for _, batch in pairs]
    # 11 retain images: five batches of 2 and one of 1 make a pass; 12 steps make two passes.
    assert [len(batch) for batch in batches] == [2, 2, 2, 2, 2, 1] * 2
    first, second = torch.cat(batches[:6]).tolist(), torch.cat(batches[6:]).tolist()
    assert sorted(first) == sorted(second) == retain
    assert first != second


def test_the_article_is_refused_a_single_image_to_forget(make_data, make_game):
    """Must fail if the game begins and torch ends it: "Expected more than 1 value per channel"."""
    data = make_data({"cat": 4, "dog": 3, "elephant": 1, "horse": 4})
    with pytest.raises(UserError, match="needs 2 or more images to forget"):
        plan(data, make_game(epochs=1, batch_size=2), 0)


def test_the_plan_follows_from_its_seed(data, make_game):
    """Must fail if the seed is ignored, or the global generator is drawn from."""

    def flat(seed: int) -> list[int]:
        epochs = plan(data, make_game(epochs=2, batch_size=3), seed)
        return torch.cat([torch.cat(pair) for pairs in epochs for pair in pairs]).tolist()

    state = torch.get_rng_state()
    assert flat(0) == flat(0)
    assert flat(0) != flat(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_touched_images_are_those_of_the_plan(data, make_game):
    """Must fail if an image is counted twice or left out."""
    epochs = plan(data, make_game(epochs=2, batch_size=3), 0)
    images = {image for pairs in epochs for pair in pairs for image in torch.cat(pair).tolist()}
    assert touched(epochs).tolist() == sorted(images)


# --- how a game is watched ----------------------------------------------------------------------------


def test_effective_classes_match_hand_values():
    """Must fail if it is the entropy itself, in bits, or the number of classes that occur."""
    assert effective_classes(torch.zeros(8, dtype=torch.long), 10) == pytest.approx(1)
    assert effective_classes(torch.arange(10).repeat(3), 10) == pytest.approx(10)
    skewed = effective_classes(torch.tensor([0, 0, 0, 1]), 10)
    assert skewed == pytest.approx((4 / 3) ** 0.75 * 4**0.25)


def test_an_epochs_row_matches_hand_values():
    """Must fail if hits are not counted over all outputs, or steps are summed instead of averaged."""
    monitor = Monitor(4)
    monitor.losses(a_loss=torch.tensor(1.0), generator_loss=torch.tensor(5.0))
    monitor.losses(a_loss=torch.tensor(2.0), generator_loss=torch.tensor(7.0))
    monitor.discrimination(real=torch.tensor([1.0, -1.0]), fake=torch.tensor([-1.0, 1.0, 0.0]))
    monitor.discrimination(real=torch.tensor([3.0]), fake=torch.tensor([2.0, 2.0]))
    monitor.predictions(torch.eye(4)[[0, 1]])
    monitor.predictions(torch.eye(4)[[2, 3]])
    assert monitor.row(3) == pytest.approx(
        {
            "epoch": 3,
            "a_loss": 1.5,
            "generator_loss": 6.0,
            "generator_loss_swing": 2.0,
            "discriminator_accuracy": 4 / 8,
            "effective_classes": 4,
        }
    )


def test_the_swing_is_the_mean_step_whatever_its_direction():
    """Must fail if steps up and down cancel out, or one value alone is an error."""
    assert swing(torch.tensor([1.0, 3.0, 0.0])) == pytest.approx(2.5)
    assert swing(torch.tensor([7.0])) == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_bad_step_is_enough_to_stop(value):
    """Must fail if only the last step's loss is looked at."""
    monitor = Monitor(4)
    monitor.losses(generator_loss=torch.tensor(value))
    monitor.losses(generator_loss=torch.tensor(0.5))
    monitor.discrimination(torch.zeros(1), torch.zeros(1))
    monitor.predictions(torch.eye(4))
    with pytest.raises(UserError, match="generator_loss of epoch 7 is"):
        monitor.row(7)


@pytest.mark.parametrize(
    ("told_apart", "classes", "found"),
    [
        (0.5, 4.0, "none"),
        (0.979, 1.5, "none"),
        (0.98, 4.0, "discriminator won outright"),
        (0.5, 1.49, "generator collapsed"),
        (1.0, 1.0, "won outright and collapsed"),
    ],
)
def test_troubles_are_told_in_a_word(told_apart, classes, found, make_game):
    """Must fail if a bound moves, or a game without trouble is warned of."""
    last = {"discriminator_accuracy": told_apart, "effective_classes": classes}
    assert warning(last, make_game(recipe="article")) == found
    assert warning(last, make_game(adversary="discriminator")) == found


@pytest.mark.parametrize("adversary", ["members", "none"])
def test_a_discriminator_that_nobody_had_to_deceive_has_not_won(adversary, make_game):
    """Must fail if the default game is warned of a player who only keeps the score."""
    params = make_game(adversary=adversary)
    last = {"discriminator_accuracy": 1.0, "effective_classes": 4.0}
    assert warning(last, params) == "none"
    collapsed = last | {"effective_classes": 1.0}
    assert warning(collapsed, params) == "generator collapsed"
