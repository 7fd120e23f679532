"""Both recipes against short loops written from the article, and how a game is watched."""

import copy
import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import play
from torch import nn

from unlearning import methods
from unlearning.base.errors import UserError
from unlearning.data.dataset import normalised
from unlearning.methods import adversarial, article
from unlearning.methods.shared import targets
from unlearning.methods.shared.best_response import advantage
from unlearning.methods.shared.game import (
    Monitor,
    Players,
    effective_classes,
    effective_rank,
    plan,
    swing,
    touched,
    warning,
)
from unlearning.methods.shared.targets import KeptFeatures, find_targets, freeze
from unlearning.models.discriminator import new_discriminator
from unlearning.models.forward import predict_logits
from unlearning.models.head import edit_head
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
    images, labels = normalised(data.pixels(train), CPU), data.labels[train]
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
    small = lambda class_count, seed: make_network(seed, class_count)  # noqa: E731
    monkeypatch.setattr(article, "new_classifier", small)
    original, init = make_network(9), methods.load(recipe).init_players
    first, again, other = init(original, 4, 0), init(original, 4, 0), init(original, 4, 1)
    for name in ("generator", "feature_extractor", "discriminator"):
        assert torch.equal(weights(getattr(first, name)), weights(getattr(again, name)))
    assert not torch.equal(weights(first.discriminator), weights(other.discriminator))
    if recipe == "article":
        assert not torch.equal(weights(first.generator), weights(other.generator))


def test_our_game_begins_with_the_original_and_the_articles_with_random_networks(trained):
    """Must fail if a recipe takes the other's start, or two players share their weights."""
    ours = methods.load("adversarial").init_players(trained, 4, 0)
    printed = methods.load("article").init_players(trained, 4, 0)
    assert torch.equal(weights(ours.generator), weights(trained))
    assert torch.equal(weights(ours.feature_extractor), weights(trained))
    for players in (ours, printed):
        networks = (trained, players.generator, players.feature_extractor)
        tensors = [p.data_ptr() for network in networks for p in network.parameters()]
        assert len(set(tensors)) == len(tensors)
    assert not torch.equal(weights(printed.generator), weights(trained))
    assert not torch.equal(weights(printed.generator), weights(printed.feature_extractor))


@pytest.mark.parametrize(
    ("recipe", "passes"),
    # 5 forget images per epoch, ours besides retain batches of 2 2 2 | 1 2 2.
    [("article", 10), ("adversarial", 10 + 6 + 5)],
)
def test_image_passes_match_a_hand_count(recipe, passes, players, make_data, make_game, cpu, rows):
    """Must fail if retain images are not counted, or counted where none goes through the generator."""
    data = make_data({"cat": 4, "dog": 1, "elephant": 5, "horse": 2})
    params = make_game(recipe=recipe, epochs=2, batch_size=2)
    outcome = play(recipe, players, data, params, cpu, rows)
    assert outcome.image_passes == passes
    assert outcome.extractor_passes == 5 + 7
    assert outcome.epochs == rows.rows
    whole = [row["epoch"] for row in rows.rows if row["epoch"] % 1 == 0]
    assert whole == [1, 2]
    # Ours has 6 steps, fewer than the curve may have rows.
    assert len(rows.rows) == {"article": 2, "adversarial": 6}[recipe]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_extractor_sees_only_images_that_the_game_touches(
    recipe, players, make_data, make_game, cpu, rows
):
    """Must fail if the cost grows with the data set, or an image is sent through twice.

    4 forget and 4 of 400 retain images are touched; our probe sees 64 of each retain class besides.
    """
    data = make_data({"cat": 200, "dog": 200, "elephant": 4, "horse": 0})
    sizes = []
    pool = players.feature_extractor.get_submodule("avgpool")
    pool.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    params = make_game(recipe=recipe, epochs=1, batch_size=4)
    outcome = play(recipe, players, data, params, cpu, rows)
    most = {"article": 8, "adversarial": 8 + 2 * 64}[recipe]
    assert sum(sizes) == outcome.extractor_passes
    assert most - 4 <= outcome.extractor_passes <= most


@pytest.mark.parametrize("recipe", RECIPES)
def test_collapse_is_watched_on_retain_images(
    recipe, knowing, data, make_network, make_game, cpu, rows
):
    """Must fail if the classes of forget images are counted: there is one, and it should scatter."""
    players = Players(knowing, make_network(2), new_discriminator(4, seed=0))
    params = make_game(recipe=recipe, epochs=1, batch_size=8, lr=1e-9)
    play(recipe, players, data, params, cpu, rows)
    # 8 images of three classes; of forget images the knowing network predicts one class alone.
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
            forget_images = normalised(data.pixels(forget), CPU)
            with torch.no_grad():
                real = extractor(normalised(data.pixels(retain), CPU))
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


def test_the_article_recipe_ignores_our_weights(players, data, make_game, cpu, rows):
    """Must fail if a retention term slips into the printed game."""
    first, second = (
        play(
            "article",
            players,
            data,
            make_game(recipe="article", epochs=1, retain_weight=weight),
            cpu,
            rows,
        )
        for weight in (0.0, 5.0)
    )
    assert torch.equal(weights(first.generator), weights(second.generator))


# --- our recipe -------------------------------------------------------------------------------------


@pytest.mark.parametrize("adversary", ["best_response", "discriminator"])
def test_our_recipe_is_its_described_loop(
    adversary, players, data, make_game, cpu, rows, monkeypatch
):
    """Must fail if a term, its weight, the order of updates, the schedule or the last edit changes, or an
    image is given another's target.
    """
    # The images of a class are much alike here: brightness, and a mark on each target, tell them apart.
    random = np.random.default_rng(0)
    bright = random.uniform(0.1, 1, (len(data.images), 1, 1, 1))
    data = dataclasses.replace(data, images=(bright * data.images).astype(np.uint8))
    marks = torch.from_numpy(random.uniform(0, 5, (8, 8))).float()
    without_class, asked = KeptFeatures.without_class, []

    def marked(kept, features, log_probs, labels):
        asked.extend([features, log_probs.exp(), labels])
        return without_class(kept, features, log_probs, labels) + marks

    monkeypatch.setattr(KeptFeatures, "without_class", marked)
    params = make_game(
        recipe="adversarial", epochs=2, batch_size=4, lr=0.001, adversary=adversary,
        adversary_weight=9.0, retain_weight=0.7, teacher_weight=0.4, feature_weight=0.2,
    )  # fmt: skip
    outcome = play("adversarial", players, data, params, cpu, rows)

    generator = copy.deepcopy(players.generator).eval()
    original = copy.deepcopy(players.feature_extractor).eval()
    discriminator = copy.deepcopy(players.discriminator)
    optimizers = adam(generator, params), adam(discriminator, params)
    # 8 retain images per class: the probe sees them all.
    retained = data.select(role="retain", subset="train")
    forgotten = data.select(role="forget", subset="train")
    features, shares, labels = asked
    consulted = freeze(original, data, torch.cat([retained, forgotten]), cpu)
    drawn = torch.Generator().manual_seed(params.seed)
    kept_features = KeptFeatures(consulted, retained, data, drawn)
    log_probs = find_targets(consulted, kept_features, forgotten, retained, data).log_probs
    wanted = log_probs.exp()
    with torch.no_grad():
        kept = original[:3](normalised(data.pixels(retained), CPU))
    unit = kept.std(dim=0).mean()
    means = torch.stack(
        [
            kept[data.labels[retained] == label].mean(dim=0)
            if name != "elephant"
            else torch.zeros(8)
            for label, name in enumerate(data.classes)
        ]
    )
    with torch.no_grad():
        known = original[:3](normalised(data.pixels(forgotten), CPU))
    torch.testing.assert_close(features, known)
    assert torch.equal(labels, data.labels[forgotten])
    mixture = shares.mean(dim=0) @ means
    within = torch.cat([
        kept[data.labels[retained] == label] - means[label]
        for label in data.labels[retained].unique()
    ]).double()  # fmt: skip
    spread = within.T @ within / len(within)
    spread += 0.1 * spread.trace() / 8 * torch.eye(8)
    shift = (known.mean(dim=0) - mixture).double()
    along = spread.inverse() @ shift
    scores = (known - mixture).double() @ along / (shift @ along)
    moved = (known - scores[:, None] * shift).clamp(min=0).float() + marks
    for epoch, pairs in enumerate(plan(data, params, params.seed)):
        for step, (forget, retain) in enumerate(pairs):
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = params.lr * cosine(epoch * 2 + step, 4)
            retain_images = normalised(data.pixels(retain), CPU)
            with torch.no_grad():
                real_features = original[:3](retain_images)
                real = original.fc(real_features)
            fake_features = generator[:3](normalised(data.pixels(forget), CPU))
            fake = generator.fc(fake_features)
            told_real = F.logsigmoid(discriminator(real)).mean()
            told_fake = F.logsigmoid(-discriminator(fake.detach())).mean()
            d_loss = -told_real - told_fake
            optimizers[1].zero_grad()
            d_loss.backward()
            optimizers[1].step()

            place = torch.searchsorted(forgotten, forget)
            target = wanted[place]
            # Cross-entropy and KL differ by the teacher's entropy, which has no gradient.
            if adversary == "best_response":
                mixtures = kept_features.mixtures(log_probs, 64)
                found_out = advantage(*map(kept_features.directions, (fake_features, mixtures)))
            else:
                found_out = -F.logsigmoid(discriminator(fake)).mean()
            loss = (
                9.0 * found_out
                + 0.7 * F.cross_entropy(generator(retain_images), real.softmax(dim=1))
                + 0.4 * F.cross_entropy(fake, target)
                + 0.2 * F.mse_loss(generator[:3](retain_images) / unit, real_features / unit)
                + 0.2 * F.mse_loss(fake_features / unit, moved[place] / unit)
            )
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()

    close = partial(torch.testing.assert_close, atol=2e-5, rtol=1e-3)
    close(weights(outcome.generator), weights(edit_head(generator, data.forget_labels)))
    close(weights(outcome.discriminator), weights(discriminator))


@pytest.mark.parametrize("adversary", ["best_response", "discriminator"])
def test_each_adversary_reaches_the_generator(adversary, players, data, make_game, cpu, rows):
    """Must fail if an adversary is named but sends no gradient, or `none` sends one."""

    def generator(adversary: str, weight: float) -> torch.Tensor:
        params = make_game(adversary=adversary, adversary_weight=weight, epochs=2, batch_size=4)
        return weights(play("adversarial", players, data, params, cpu, rows).generator)

    alone = generator("none", 9.0)
    assert torch.equal(generator(adversary, 0.0), alone)
    assert not torch.equal(generator(adversary, 9.0), alone)


def test_our_recipe_forgets_the_class_and_keeps_the_others(knowing, data, make_game, cpu, rows):
    """Must fail if the generator learns nothing, or damages what it must keep."""
    forget = data.select(role="forget", subset="train")
    retain = data.select(role="retain", subset="train")
    assert accuracy(knowing, data, forget, cpu) == 1
    assert accuracy(knowing, data, retain, cpu) == 1
    players = methods.load("adversarial").init_players(knowing, 4, 0)
    params = make_game(recipe="adversarial", epochs=20, batch_size=4, lr=0.005)
    outcome = play("adversarial", players, data, params, cpu, rows)
    assert accuracy(outcome.generator, data, forget, cpu) == 0
    assert accuracy(outcome.generator, data, retain, cpu) == 1


def test_several_classes_are_forgotten_each_by_its_own_targets(
    knowing, data, make_game, cpu, rows, monkeypatch
):
    """Must fail if a class is left in the outputs or in another's target, or images get each other's label."""
    two = dataclasses.replace(
        data, roles=np.where(np.isin(data.labels, [1, 2]), "forget", "retain")
    )
    found, find, without_class = [], targets.find_targets, KeptFeatures.without_class

    def recorded(*args):
        given = find(*args)
        found.append(given.log_probs)
        return given

    def labelled(kept, features, log_probs, labels):
        found.extend([log_probs, labels])
        return without_class(kept, features, log_probs, labels)

    monkeypatch.setattr(adversarial, "find_targets", recorded)
    monkeypatch.setattr(KeptFeatures, "without_class", labelled)
    players = methods.load("adversarial").init_players(knowing, 4, 0)
    params = make_game(recipe="adversarial", epochs=20, batch_size=4, lr=0.005)
    outcome = play("adversarial", players, two, params, cpu, rows)

    guess, labels, log_probs = found
    assert torch.equal(labels, two.labels[two.select(role="forget", subset="train")])
    for shares in (guess, log_probs):
        assert (shares[:, [1, 2]] == float("-inf")).all()
        assert shares[:, [0, 3]].isfinite().all()
    assert accuracy(outcome.generator, two, two.select(role="forget"), cpu) == 0
    assert accuracy(outcome.generator, two, two.select(role="retain", subset="train"), cpu) == 1


def test_batch_normalisation_keeps_the_originals_statistics(knowing, data, make_game, cpu, rows):
    """Must fail if our generator runs in training mode: forget batches would spoil them."""
    players = methods.load("adversarial").init_players(knowing, 4, 0)
    outcome = play("adversarial", players, data, make_game(epochs=1), cpu, rows)
    for name, buffer in outcome.generator.named_buffers():
        assert torch.equal(buffer, knowing.get_buffer(name)), name


# --- the plan and the frozen outputs ------------------------------------------------------------------


def test_each_epoch_of_the_plan_passes_once_over_the_forget_images(make_data, make_game):
    """Must fail if a held-out image is trained on, a forget image is lost, or a batch changes size."""
    data = make_data({"cat": 4, "dog": 3, "elephant": 5, "horse": 4})
    epochs = plan(data, make_game(epochs=4, batch_size=2), 0)
    forget = data.select(role="forget", subset="train").tolist()
    assert len(epochs) == 4
    for pairs in epochs:
        assert [len(batch) for batch, _ in pairs] == [2, 2, 1]
        assert sorted(torch.cat([batch for batch, _ in pairs]).tolist()) == forget
    orders = [torch.cat([batch for batch, _ in pairs]).tolist() for pairs in epochs]
    assert len({tuple(order) for order in orders}) > 1, "every epoch has the same order"


def test_retain_images_start_again_only_when_all_have_had_their_turn(make_data, make_game):
    """Must fail if each epoch starts a new pass, or draws with replacement."""
    data = make_data({"cat": 4, "dog": 3, "elephant": 5, "horse": 4})
    retain = data.select(role="retain", subset="train").tolist()
    epochs = plan(data, make_game(epochs=4, batch_size=2), 0)
    batches = [batch for pairs in epochs for _, batch in pairs]
    # 11 retain images: five batches of 2 and one of 1 make a pass; 12 steps make two passes.
    assert [len(batch) for batch in batches] == [2, 2, 2, 2, 2, 1] * 2
    first, second = torch.cat(batches[:6]).tolist(), torch.cat(batches[6:]).tolist()
    assert sorted(first) == sorted(second) == retain
    assert first != second


def test_the_plan_follows_from_its_seed(data, make_game):
    """Must fail if the seed is ignored, or the global generator is drawn from."""

    def flat(seed: int) -> list[int]:
        epochs = plan(data, make_game(epochs=2, batch_size=3), seed)
        return torch.cat([torch.cat(pair) for pairs in epochs for pair in pairs]).tolist()

    state = torch.get_rng_state()
    assert flat(0) == flat(0)
    assert flat(0) != flat(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_plan_takes_no_more_forget_images_than_it_may(make_data, make_game):
    """Must fail if the limit is ignored, or each epoch takes the same images."""
    data = make_data({"cat": 4, "dog": 3, "elephant": 9, "horse": 4})
    epochs = plan(data, make_game(epochs=6, batch_size=2), 0, most=4)
    chosen = [torch.cat([batch for batch, _ in pairs]).tolist() for pairs in epochs]
    assert all(len(set(images)) == 4 for images in chosen)
    assert len({tuple(sorted(images)) for images in chosen}) > 1
    assert plan(data, make_game(), 0, most=9)[0][0][0].equal(plan(data, make_game(), 0)[0][0][0])


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


def test_effective_rank_matches_hand_values():
    """Must fail if the rows are not centred, singular values are squared, or equal rows divide by zero."""
    square = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert effective_rank(square + 7) == pytest.approx(2)
    # Singular values 3 sqrt 2 and sqrt 2: shares 3/4 and 1/4.
    stretched = square * torch.tensor([3.0, 1, 1])
    assert effective_rank(stretched) == pytest.approx((4 / 3) ** 0.75 * 4**0.25)
    assert effective_rank(torch.full((5, 3), 0.1)) == 1


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
def test_troubles_are_told_in_a_word(told_apart, classes, found):
    """Must fail if a bound moves, or a game without trouble is warned of."""
    assert warning({"discriminator_accuracy": told_apart, "effective_classes": classes}) == found
