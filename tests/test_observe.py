"""What needs a network: observing it, relearning with it, and classes that resemble one another."""

import copy
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import resnet
from torch import nn

from unlearning.audit import neighbours
from unlearning.audit.relearning import best, passes_until_back
from unlearning.base.errors import UserError
from unlearning.base.files import write_table
from unlearning.data.dataset import scaled
from unlearning.data.request import Request, SingleImages
from unlearning.models import weights
from unlearning.models.build import anew
from unlearning.models.discriminator import load_discriminator, scores
from unlearning.models.forward import predict_logits
from unlearning.models.head import edit_head
from unlearning.models.layers import FEATURES, LAYERS
from unlearning.observe import record, relearn, views, whole
from unlearning.observe.record import RelearningCurve
from unlearning.observe.schedule import BUDGET, STEPS
from unlearning.observe.views import observe, sample, with_head
from unlearning.running.hardware import Hardware


def test_a_sample_holds_all_test_images_and_as_many_training_images_per_class(
    data, make_data, monkeypatch
):
    """Must fail if the cap takes test images too, or the first training images instead of spread ones."""
    whole = sample(data)
    assert set(whole.subsets) == {"train", "test"}
    assert len(whole.indices) == 4 * 9
    monkeypatch.setattr(views, "RETAIN_TRAINING_IMAGES", 4)
    monkeypatch.setattr(views, "FORGET_TRAINING_IMAGES", 5)
    capped = sample(make_data({"cat": 8, "dog": 3, "elephant": 9}))
    counts = {
        name: (capped.labels == label).sum()
        for label, name in enumerate(("cat", "dog", "elephant"))
    }
    assert counts == {"cat": 5, "dog": 4, "elephant": 6}
    # cat's 8 training images are 0 to 7; every second one is taken.
    assert capped.indices[:5].tolist() == [0, 2, 4, 6, 9]
    assert capped.forget_labels == (2,)


def test_of_very_many_classes_no_more_training_images_are_audited(make_data, monkeypatch):
    """Must fail if images of a role are capped by class alone, or those left are of the first classes."""
    data = make_data({"cat": 8, "dog": 8, "elephant": 8, "horse": 8})
    monkeypatch.setattr(views, "MOST_IMAGES", 6)
    monkeypatch.setattr(views, "RETAIN_TRAINING_IMAGES", 4)
    found = sample(data)
    counts = {
        role: found.labels[found.rows(role, "train")].tolist() for role in ("forget", "retain")
    }
    assert counts == {"forget": [2] * 6, "retain": [0, 0, 1, 1, 3, 3]}


def test_of_very_many_classes_the_smallest_is_audited(make_data, monkeypatch):
    """Must fail if a class loses its last image: its likeness to the forgotten ones is asked for."""
    data = make_data({"cat": 8, "dog": 8, "elephant": 8, "horse": 1})
    monkeypatch.setattr(views, "MOST_IMAGES", 6)
    found = sample(data)
    assert found.labels[found.rows("retain", "train")].tolist() == [0, 0, 1, 1, 3]


def test_of_very_many_images_a_spread_share_is_audited(data, trained, cpu, monkeypatch):
    """Must fail if the audit's work grows with the data, or the share is the first images."""
    monkeypatch.setattr(views, "MOST_IMAGES", 3)
    for name in ("FORGET_TRAINING_IMAGES", "RETAIN_TRAINING_IMAGES"):
        monkeypatch.setattr(views, name, 1)
    is_train = data.subsets == "train"
    halved = np.where(is_train & (np.cumsum(is_train) % 2 == 0), "test", data.subsets)
    data = dataclasses.replace(data, subsets=halved)
    roles = ("forget", "retain")
    of = {
        (role, subset): data.select(role=role, subset=subset)
        for role in roles
        for subset in ("train", "test")
    }
    spread = {key: rows[torch.arange(3) * len(rows) // 3] for key, rows in of.items()}
    found = sample(data)
    for role in roles:
        expected = spread[role, "test"]
        assert len(of[role, "test"]) > 3
        assert found.indices[found.rows(role, "test")].tolist() == expected.tolist()
    assert found.indices[found.unseen].tolist() == spread["forget", "test"].tolist()
    asked: list[int] = []

    def noting(model, data, rows, hardware):
        asked.extend(rows.tolist())
        return predict_logits(model, data, rows, hardware)

    monkeypatch.setattr(views, "predict_logits", noting)
    accuracies = observe(trained, data, found, cpu).train_accuracy
    assert asked and set(asked) <= {row for role in roles for row in spread[role, "train"].tolist()}
    for role in roles:
        some = spread[role, "train"]
        hits = predict_logits(trained, data, some, cpu).argmax(dim=1) == data.labels[some]
        assert accuracies[role] == pytest.approx(hits.double().mean().item())


def test_images_like_those_asked_for_do_not_weigh_more_among_the_kept(make_data, monkeypatch):
    """Must fail if all test images of a request's class stand beside an even share of the others'."""
    data = make_data({"cat": 9, "dog": 9, "elephant": 9, "horse": 9})
    halved = np.where(np.arange(len(data.labels)) % 2 == 0, "test", "train")
    roles = np.full(len(data.labels), "retain", dtype="<U9")
    asked = np.flatnonzero((data.labels.numpy() == 2) & (halved == "train"))
    roles[asked] = "forget"
    one = Request(images=SingleImages(names=("x",)))
    data = dataclasses.replace(data, subsets=halved, roles=roles, request=one)
    monkeypatch.setattr(views, "MOST_IMAGES", 8)
    found = sample(data)
    kept = data.select(role="retain", subset="test")
    spread = kept[torch.arange(8) * len(kept) // 8].tolist()
    assert found.indices[found.rows("retain", "test")].tolist() == spread
    assert set(found.indices[found.unseen]) > {row for row in spread if data.labels[row] == 2}
    assert set(found.labels[found.unseen]) == {2}


def test_classes_of_earlier_requests_are_retired_too(make_data, tmp_path):
    """Must fail if the auditor on outputs sees one that no model was trained to give."""
    data = make_data({"cat": 3, "dog": 3, "elephant": 3, "horse": 3})
    request = Request(("elephant",), earlier=(Request(("cat",)),))
    found = sample(
        dataclasses.replace(data, request=request, earlier=np.zeros(len(data.labels), int))
    )
    assert found.retired_labels == (2, 0)
    record.save_sample(found, tmp_path)
    assert record._load_sample(tmp_path).retired_labels == (2, 0)


def test_a_withdrawn_image_is_not_audited(data):
    """Must fail if it enters the sample, makes its class one to forget, or stands for its class in SSIM."""
    cat = data.select(subset="train")[data.labels[data.select(subset="train")] == 0]
    held_out = data.select(subset="test")[:1]
    gone = torch.cat([cat[:3], held_out]).numpy()
    roles = data.roles.astype("<U9")
    roles[gone] = "withdrawn"
    images = data.images.copy()
    images[gone] = np.random.default_rng(0).integers(0, 256, images[gone].shape)
    left = dataclasses.replace(data, roles=roles, images=images)
    found = sample(left)
    assert not set(gone) & set(found.indices.tolist())
    assert len(found.indices) == 4 * 9 - 4
    assert found.forget_labels == (2,)
    assert len(data.select(role=("forget", "retain"))) == len(data.labels)
    unchanged = views.structural_similarity(data, 0)
    assert views.structural_similarity(left, 0) == pytest.approx(unchanged, abs=0.02)


def with_copies(data, twins):
    """Return the data with the second of each two the same picture as the first."""
    pictures = np.arange(len(data.labels))
    for first, second in twins:
        pictures[second] = first
    return dataclasses.replace(data, pictures=pictures)


def test_a_probe_is_given_as_many_images_of_every_class(make_data, monkeypatch):
    """Must fail if the forget class, of which more images are looked at, is favoured."""
    monkeypatch.setattr(record, "PROBED_IMAGES", 4)
    found = sample(make_data({"cat": 8, "dog": 3, "elephant": 9}))
    labels = found.labels[found.probed_rows]
    assert np.bincount(labels).tolist() == [4, 3, 4]
    assert set(found.subsets[found.probed_rows]) == {"train"}
    uneven = sample(make_data({"cat": 3, "dog": 2, "elephant": 9, "horse": 9}))
    assert np.bincount(uneven.labels[uneven.probed_rows]).tolist() == [3, 2, 4, 4]
    monkeypatch.setattr(record, "LEAST_PROBED", 2)
    assert np.bincount(uneven.labels[uneven.probed_rows]).tolist() == [3, 2, 3, 4]


def test_a_picture_that_is_listed_several_times_is_audited_once(make_data):
    """Must fail if an attacker is fitted to one copy and asked about another."""
    data = make_data({"cat": 3, "elephant": 3}, held_out=2)
    assert sample(data).indices.tolist() == sample(with_copies(data, [])).indices.tolist()
    twins = [
        data.select(role=role, subset=subset)[:2].tolist()
        for role, subset in (("forget", "train"), ("forget", "test"), ("retain", "train"))
    ]
    left_out = set(sample(data).indices) - set(sample(with_copies(data, twins)).indices)
    assert left_out == {second for _, second in twins}
    # Of two classes that hold the same picture each is asked about it.
    both = data.select(subset="test")[[0, 2]].tolist()
    assert data.labels[both[0]] != data.labels[both[1]]
    assert set(both) <= set(sample(with_copies(data, [both])).indices)


def test_rows_pick_by_role_and_subset(data):
    """Must fail if a role of None picks nothing, or positions are those of the data set."""
    found = sample(data)
    both = np.sort(np.append(found.rows("forget", "train"), found.rows("retain", "train")))
    np.testing.assert_array_equal(found.rows(None, "train"), both)
    assert set(found.labels[found.rows("forget", "test")]) == {2}


def test_observed_logits_and_layers_are_the_models_own(data, trained, cpu):
    """Must fail if a batch is dropped, an image's row moves, or a layer is not averaged over its places."""
    before, mode = copy.deepcopy(trained.state_dict()), trained.training
    chosen = sample(data)
    found = observe(trained, data, chosen, cpu)
    indices = torch.from_numpy(chosen.indices)
    logits = predict_logits(trained, data, indices, cpu)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-4)
    assert list(found.layers) == list(LAYERS)
    assert {name: values.shape[1] for name, values in found.layers.items()} == {
        "stem": 64, "layer1": 64, "layer2": 128, "layer3": 256, "features": 512
    }  # fmt: skip
    network = trained.network
    with torch.no_grad():
        pixels = scaled(data.pixels(indices), torch.device("cpu"))
        stem = network.maxpool(
            network.relu(network.bn1(network.conv1((pixels - trained.mean) / trained.std)))
        )
    np.testing.assert_allclose(found.layers["stem"], stem.mean(dim=(2, 3)), rtol=1e-3, atol=1e-4)
    features = torch.from_numpy(found.layers[FEATURES])
    np.testing.assert_allclose(network.fc(features).detach(), found.logits, rtol=1e-4, atol=1e-4)
    assert trained.training == mode
    assert all(torch.equal(before[key], value) for key, value in trained.state_dict().items())


def test_training_accuracy_is_that_of_all_training_images(data, trained, cpu, monkeypatch):
    """Must fail if it is read from the sample alone, or test images count."""
    monkeypatch.setattr(views, "RETAIN_TRAINING_IMAGES", 2)
    monkeypatch.setattr(views, "FORGET_TRAINING_IMAGES", 3)
    ignorant = resnet(len(data.classes), seed=11)
    for model in (trained, ignorant):
        found = observe(model, data, sample(data), cpu).train_accuracy
        for role in ("forget", "retain"):
            train = data.select(role=role, subset="train")
            hits = predict_logits(model, data, train, cpu).argmax(dim=1) == data.labels[train]
            assert found[role] == pytest.approx(hits.double().mean().item())


@pytest.fixture(scope="module")
def observed_once(data, cpu, model_folder, tmp_path_factory) -> Path:
    """Return a folder with `observed`, what was seen of the models in `model_folder`, and `scratch`."""
    folder = tmp_path_factory.mktemp("observed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "of_stage", lambda *_, **__: "code and data")
        whole.observe_all(data, model_folder, folder / "observed", folder / "scratch", cpu)
    return folder


@pytest.fixture
def observed(observed_once, tmp_path, monkeypatch) -> Path:
    """Return tmp_path/observed, a copy beside its scratch, made by the code that observes next."""
    monkeypatch.setattr(whole, "of_stage", lambda *_, **__: "code and data")
    shutil.copytree(observed_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "observed"


def test_what_is_read_back_is_what_the_models_make_of_the_images(
    observed, data, trained, cpu, model_folder
):
    """Must fail if two models are mixed up, the control is not the edited head, or an array is lost."""
    found = record.load(observed)
    chosen = sample(data)
    np.testing.assert_array_equal(found.sample.indices, chosen.indices)
    np.testing.assert_array_equal(found.sample.labels, chosen.labels)
    assert found.sample.forget_labels == (2,) and found.sample.classes == data.classes
    subjects = found.models.subjects
    direct = observe(trained, data, chosen, cpu)
    np.testing.assert_array_equal(subjects["original"].logits, direct.logits)
    assert subjects["original"].train_accuracy == direct.train_accuracy
    np.testing.assert_array_equal(found.models.references["10"].logits, direct.logits)
    assert list(found.models.references) == ["2", "10"]
    edited = edit_head(trained, data.forget_labels)
    control = predict_logits(edited, data, torch.from_numpy(chosen.indices), cpu)
    np.testing.assert_allclose(subjects["head_edited"].logits, control, rtol=1e-4, atol=1e-4)
    assert subjects["head_edited"].layers is subjects["original"].layers
    forget = torch.from_numpy(chosen.indices[chosen.rows("forget", "test")])
    random = predict_logits(anew(trained, "random network", 0), data, forget, cpu)
    np.testing.assert_array_equal(found.shared.random_logits, random)
    discriminator = load_discriminator(model_folder / "discriminator.safetensors")
    extracted = scores(discriminator, predict_logits(trained, data, forget, cpu))
    np.testing.assert_allclose(found.shared.scores["extractor"], extracted, rtol=1e-5)
    assert np.isnan(found.shared.structural_similarity).tolist() == [False, False, True, False]
    few = relearn.curves(trained, data, 0.8, cpu)
    for kind, curve in subjects["original"].curves.items():
        assert curve.passes == few[kind].passes
        np.testing.assert_array_equal(curve.hits, few[kind].hits)


def test_only_a_model_that_changed_is_observed_again(
    observed, data, cpu, model_folder, tmp_path, monkeypatch
):
    """Must fail if all are run again, a changed one is not, or a model that is gone stays.

    Or if two experiments write one copy under the same temporary name.
    """
    folder = tmp_path / "models"
    for file in model_folder.rglob("*.safetensors"):
        target = folder / file.relative_to(model_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    weights.save(resnet(4, 5), data.labelling, folder / "unlearned.safetensors")
    (folder / "retrained/2.safetensors").unlink()
    run = []
    real = views.observe
    monkeypatch.setattr(views, "observe", lambda *given: run.append(given[0]) or real(*given))
    whole.observe_all(data, folder, observed, tmp_path / "scratch", cpu)
    assert len(run) == 1
    assert list(record.load(observed).models.references) == ["10"]
    logits = record.load(observed).models.subjects["unlearned"].logits
    direct = real(resnet(4, 5), data, sample(data), cpu).logits
    np.testing.assert_allclose(logits, direct, rtol=1e-4, atol=1e-4)
    shutil.rmtree(observed)
    whole.observe_all(data, folder, observed, tmp_path / "scratch", cpu)
    assert len(run) == 1
    # What another experiment is just writing stays its own.
    copies = list(tmp_path.glob("scratch/observe-*/unlearned.safetensors"))
    theirs = [kept.with_name(".unlearned.part.safetensors") for kept in copies]
    for kept, their in zip(copies, theirs, strict=True):
        kept.rename(their)
    whole.observe_all(data, folder, observed, tmp_path / "scratch", cpu)
    assert len(run) == 2
    assert any(kept.exists() for kept in copies) and all(their.exists() for their in theirs)
    # All of them follow from the original: its accuracy says when a class is back.
    weights.save(resnet(4, 6), data.labelling, folder / "original.safetensors")
    whole.observe_all(data, folder, observed, tmp_path / "scratch", cpu)
    assert len(run) == 2 + 3


@pytest.mark.parametrize("damage", ["missing", "not a table", "no tensor", "an odd name"])
def test_a_broken_observation_is_refused_in_one_line(observed, damage):
    """Must fail if a stranger's folder ends in a traceback."""
    if damage == "missing":
        (observed / "unlearned.safetensors").unlink()
    elif damage == "not a table":
        (observed / "images.csv").write_text("id\n1\n")
    elif damage == "no tensor":
        (observed / "unlearned.safetensors").write_bytes(b"x" * 100)
    else:
        (observed / "retrained/x.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="run `dvc repro`"):
        record.load(observed)


def test_class_names_come_back_as_they_were(tmp_path, data):
    """Must fail if a class called NA or 007 becomes a gap or a number."""
    named = dataclasses.replace(data, classes=("007", "NA", "a,b", "true"))
    record.save_sample(sample(named), tmp_path)
    write_table(tmp_path / "images.csv", record.read_table(tmp_path / "images.csv"))
    found = record._load_sample(tmp_path)
    assert found.classes == ("007", "NA", "a,b", "true") and found.before == {}


def test_what_the_first_request_found_comes_back(tmp_path, data):
    """Must fail if the last request's figures are taken, or a class without one gets one."""
    met = (Request(accuracy_before={"cat": 0.75}), Request(accuracy_before={"cat": 0.5, "dog": 1}))
    asked = dataclasses.replace(data, request=dataclasses.replace(data.request, earlier=met))
    record.save_sample(sample(asked), tmp_path)
    write_table(tmp_path / "images.csv", record.read_table(tmp_path / "images.csv"))
    assert record._load_sample(tmp_path).before == {"cat": 0.75}


@pytest.fixture(scope="module")
def ignorant(data):
    return resnet(len(data.classes), seed=11)


def test_who_knows_the_class_is_back_before_the_first_step(data, trained, cpu):
    """Must fail if the accuracy before any step is not looked at."""
    few = relearn.few_forget_images(data)
    curve = relearn.relearn(trained, data, few, back_at=0.8, hardware=cpu)
    assert curve.passes == (0,)
    assert passes_until_back(curve, 0.8).value == 0


def test_of_several_classes_a_few_images_of_each_are_found(make_data, monkeypatch):
    """Must fail if the last class has none, or one each of many classes is too many."""
    data = make_data({"cat": 8, "dog": 8, "elephant": 8, "horse": 8})
    names = np.array(data.classes)[data.labels]
    gone = ("cat", "dog", "horse")
    several = dataclasses.replace(
        data,
        roles=np.where(np.isin(names, gone), "forget", "retain"),
        request=Request(gone),
    )
    for most, counts in ((16, [6, 5, 5]), (4, [2, 1, 1]), (2, [1, 1, 1])):
        monkeypatch.setattr(relearn, "FEW_IMAGES", most)
        few = relearn.few_forget_images(several)
        assert several.labels[few].bincount()[[0, 1, 3]].tolist() == counts


def test_fine_tuning_spends_its_budget_and_leaves_the_caller_s_model_untouched(data, ignorant, cpu):
    """Must fail if the model itself is trained, or passes are not those of forget and retain images."""
    before = copy.deepcopy(ignorant.state_dict())
    few = relearn.few_forget_images(data)
    assert few.tolist() == data.select(role="forget", subset="train").tolist()
    curve = relearn.relearn(ignorant, data, few, 2.0, cpu)
    assert curve.passes == tuple(range(0, 257, 32))
    assert curve.hits.shape == (9, 1)
    assert all(torch.equal(before[key], value) for key, value in ignorant.state_dict().items())


class Cached(nn.Module):
    """What scales by a weight, which it keeps with its graph until its mode is set, as a TinyViT its biases."""

    def __init__(self):
        super().__init__()
        self.weight, self.cache = nn.Parameter(torch.ones(1)), []

    def train(self, mode=True):
        self.cache = []
        return super().train(mode)

    def forward(self, values):
        self.cache = self.cache or [2 * self.weight]
        return values * self.cache[0]


def test_a_network_that_keeps_what_it_made_of_its_weights_is_fine_tuned(
    data, make_network, cpu, monkeypatch
):
    """Must fail if a second step goes back through the graph of the first, or such a weight does not learn."""
    monkeypatch.setattr(relearn, "STEPS", 3)
    model = make_network(0)
    model.network.layer3.append(Cached())
    weights_at_steps = []
    model.register_forward_pre_hook(
        lambda each, _: weights_at_steps.append(each.network.layer3[-1].weight.item())
    )
    relearn.relearn(model, data, relearn.few_forget_images(data), 2.0, cpu)
    assert len(set(weights_at_steps)) == 3


def test_fine_tuning_without_forget_images_takes_retain_images_alone(
    data, ignorant, cpu, monkeypatch
):
    """Must fail if a forget image slips into the batches, or a batch is smaller than with them."""
    seen = []
    real = type(data).pixels
    monkeypatch.setattr(
        type(data), "pixels", lambda self, rows: seen.append(rows) or real(self, rows)
    )
    relearn.relearn(ignorant, data, torch.empty(0, dtype=torch.int64), 2.0, cpu)
    steps = [rows for rows in seen if len(rows) > 1]
    assert len(steps) == STEPS
    assert all((data.roles[rows.numpy()] == "retain").all() for rows in steps)
    assert {len(rows) for rows in steps} <= {12, 16}


def test_a_curve_is_read_where_it_first_crosses_and_at_its_best():
    """Must fail if the last crossing counts, a check alone is read, or the best is the mean of the curve."""
    hits = np.zeros((4, 20))
    hits[1, :10] = hits[2, :18] = hits[3, :4] = 1
    curve = RelearningCurve((0, 32, 64, 96), hits)
    assert passes_until_back(curve, 0.5).value == 32
    # A fortieth of the way from one half, after 32 passes, to nine tenths after 64.
    assert passes_until_back(curve, 0.51).value == pytest.approx(32.8)
    # It ends before the budget because the class was back: of images of which it was not, at the next check.
    assert passes_until_back(curve, 0.95).value == 128
    assert passes_until_back(RelearningCurve((0, 32, 64, BUDGET), hits), 0.95).value == BUDGET
    assert best(curve).value == pytest.approx(0.9)


def test_a_class_is_similar_to_the_forgotten_one_where_its_mean_points_the_same_way():
    """Must fail if the kept classes' centre is not the origin, or the forget class enters the centre."""
    features = np.array([[3.0, 1], [1, 3], [2, 2], [4, 2]])
    found = neighbours.feature_similarity(features, np.array([0, 1, 2, 3]), np.arange(4) == 3)
    # Kept means' centre (2, 2); the forgotten class points to (2, 0).
    assert found == pytest.approx({0: np.sqrt(0.5), 1: -np.sqrt(0.5), 2: 0.0})


def test_structural_similarity_is_one_between_equal_pictures_and_low_between_noise(make_data):
    """Must fail if colours are not in [0, 1], or pairs are taken within one class."""
    data = make_data({"cat": 8, "dog": 8, "elephant": 8})
    forget = data.select(role="forget", subset="train").numpy()
    images = data.images.copy()
    images[data.select(subset="train").numpy()[:8]] = images[forget]
    same = type(data)(**{**vars(data), "images": images})
    assert views.structural_similarity(same, 0) == pytest.approx(1, abs=1e-4)
    assert views.structural_similarity(same, 1) < 0.9


def test_rank_correlation_follows_ranks_and_names():
    """Must fail if values are matched by position, or ties and few classes give NaN."""
    left = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 10.0}
    assert neighbours.rank_correlation(
        left, {"d": 9.0, "c": 4.0, "b": 2.0, "a": 0.0}
    ) == pytest.approx(1)
    assert neighbours.rank_correlation(left, dict.fromkeys(left, 0.0)) == (
        "not measured: all are equal"
    )
    assert "needs 4 classes" in neighbours.rank_correlation({"a": 1.0}, {"a": 1.0})


@pytest.mark.parametrize("bf16", [False, True])
def test_an_edited_head_is_observed_with_the_precision_of_all_others(bf16, data, trained):
    """Must fail if its logits are rounded otherwise: a control with the same head would differ."""
    machine = Hardware(torch.device("cpu"), bf16)
    seen = observe(trained, data, sample(data), machine)
    found = with_head(seen, trained, machine).logits
    np.testing.assert_allclose(found, seen.logits, atol=0.02 if bf16 else 1e-4)
    if bf16:
        rounded = torch.from_numpy(found).bfloat16().float().numpy()
        np.testing.assert_array_equal(found, rounded)
