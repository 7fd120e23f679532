"""What needs a network: observing it, relearning with it, and classes that resemble one another."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from unlearning.audit import evidence, neighbours, observation, relearning
from unlearning.audit.observation import FEATURES, LAYERS, observe, sample
from unlearning.data.dataset import normalised
from unlearning.models import new_classifier, predict_logits
from unlearning.versions import Versions


def test_a_sample_holds_all_test_images_and_as_many_training_images_per_class(
    data, make_data, monkeypatch
):
    """Must fail if the cap takes test images too, or the first training images instead of spread ones."""
    whole = sample(data)
    assert set(whole.subsets) == {"train", "test"}
    assert len(whole.indices) == 4 * 9
    monkeypatch.setattr(observation, "RETAIN_TRAINING_IMAGES", 4)
    monkeypatch.setattr(observation, "FORGET_TRAINING_IMAGES", 5)
    capped = sample(make_data({"cat": 8, "dog": 3, "elephant": 9}))
    counts = {
        name: (capped.labels == label).sum()
        for label, name in enumerate(("cat", "dog", "elephant"))
    }
    assert counts == {"cat": 5, "dog": 4, "elephant": 6}
    # cat's 8 training images are 0 to 7; every second one is taken.
    assert capped.indices[:5].tolist() == [0, 2, 4, 6, 9]
    assert capped.forget_labels == (2,)


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
    unchanged = neighbours.structural_similarity(data, 0)
    assert neighbours.structural_similarity(left, 0) == pytest.approx(unchanged, abs=0.02)


def test_a_probe_is_given_as_many_images_of_every_class(make_data, monkeypatch):
    """Must fail if the forget class, of which more images are looked at, is favoured."""
    monkeypatch.setattr(observation, "RETAIN_TRAINING_IMAGES", 4)
    found = sample(make_data({"cat": 8, "dog": 3, "elephant": 9}))
    labels = found.labels[found.probed_rows]
    assert np.bincount(labels).tolist() == [4, 3, 4]
    assert set(found.subsets[found.probed_rows]) == {"train"}


def test_rows_pick_by_role_and_subset(data):
    """Must fail if a role of None picks nothing, or positions are those of the data set."""
    found = sample(data)
    both = np.sort(np.append(found.rows("forget", "train"), found.rows("retain", "train")))
    np.testing.assert_array_equal(found.rows(None, "train"), both)
    assert set(found.labels[found.rows("forget", "test")]) == {2}


def test_observed_logits_are_the_models_own_whatever_the_batch(data, trained, cpu):
    """Must fail if a batch is dropped, an image's row moves, or a layer is not averaged over its places."""
    before, mode = copy.deepcopy(trained.state_dict()), trained.training
    chosen = sample(data)
    one, other = (observe(trained, data, chosen, cpu, batch_size=size) for size in (5, 36))
    torch.testing.assert_close(one.logits, predict_logits(trained, data, chosen.indices, cpu))
    torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-4)
    assert {name: values.shape[1] for name, values in one.layers.items()} == {
        "stem": 64, "layer1": 64, "layer2": 128, "layer3": 256, "features": 512
    }  # fmt: skip
    for name in LAYERS.values():
        np.testing.assert_allclose(one.layers[name], other.layers[name], rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        pixels = normalised(data.pixels(chosen.indices), torch.device("cpu"))
        stem = trained.maxpool(trained.relu(trained.bn1(trained.conv1(pixels))))
    np.testing.assert_allclose(one.layers["stem"], stem.mean(dim=(2, 3)), rtol=1e-3, atol=1e-4)
    head = trained.get_submodule("fc")
    torch.testing.assert_close(head(torch.from_numpy(one.layers[FEATURES])), one.logits)
    assert trained.training == mode
    assert all(torch.equal(before[key], value) for key, value in trained.state_dict().items())


def test_a_control_is_observed_through_the_originals_layers(data, trained, cpu):
    """Must fail if the control's logits are not those of its own head."""
    panel = evidence.panel_of(Versions(trained, trained, {"1": trained}), data.forget_labels)
    views = evidence.observe_all(panel, data, sample(data), cpu)
    control = predict_logits(panel.subjects["head_edited"], data, views.sample.indices, cpu)
    torch.testing.assert_close(views.models.subjects["head_edited"].logits, control)
    assert views.models.subjects["head_edited"].layers is views.models.subjects["original"].layers
    assert views.random_logits.shape == (1, 4)


@pytest.fixture(scope="module")
def ignorant(data):
    return new_classifier(len(data.classes), seed=11)


def test_who_knows_the_class_is_back_before_the_first_step(data, trained, cpu):
    """Must fail if the accuracy before any step is not looked at."""
    few = relearning.few_forget_images(data)
    curve = relearning.relearn(trained, data, few, back_at=0.8, hardware=cpu)
    assert curve.passes == (0,)
    assert curve.passes_until_back(0.8).value == 0


def test_fine_tuning_spends_its_budget_and_leaves_the_caller_s_model_untouched(data, ignorant, cpu):
    """Must fail if the model itself is trained, or passes are not those of forget and retain images."""
    before = copy.deepcopy(ignorant.state_dict())
    few = relearning.few_forget_images(data)
    assert few.tolist() == data.select(role="forget", subset="train").tolist()
    curve = relearning.relearn(ignorant, data, few, 2.0, cpu)
    assert curve.passes == tuple(range(0, 257, 32))
    assert curve.hits.shape == (9, 1)
    assert all(torch.equal(before[key], value) for key, value in ignorant.state_dict().items())


def test_fine_tuning_without_forget_images_takes_retain_images_alone(
    data, ignorant, cpu, monkeypatch
):
    """Must fail if a forget image slips into the batches, or a batch is smaller than with them."""
    seen = []
    real = type(data).pixels
    monkeypatch.setattr(
        type(data), "pixels", lambda self, rows: seen.append(rows) or real(self, rows)
    )
    relearning.relearn(ignorant, data, torch.empty(0, dtype=torch.int64), 2.0, cpu)
    steps = [rows for rows in seen if len(rows) > 1]
    assert len(steps) == relearning.STEPS
    assert all((data.roles[rows.numpy()] == "retain").all() for rows in steps)
    assert {len(rows) for rows in steps} <= {12, 16}


def test_a_curve_is_read_at_its_first_check_above_and_at_its_best():
    """Must fail if the last check counts, or the best is the mean of the curve."""
    hits = np.zeros((4, 20))
    hits[1, :10] = hits[2, :18] = hits[3, :4] = 1
    curve = relearning.Curve((0, 32, 64, 96), hits)
    assert curve.passes_until_back(0.5).value == 32
    assert curve.passes_until_back(0.51).value == 64
    assert curve.passes_until_back(0.95).value == relearning.BUDGET
    assert curve.best().value == pytest.approx(0.9)


def test_a_class_is_similar_to_the_forgotten_one_where_its_mean_points_the_same_way():
    """Must fail if the kept classes' centre is not the origin, or the forget class enters the centre."""
    features = np.array([[3.0, 1], [1, 3], [2, 2], [4, 2]])
    found = neighbours.feature_similarity(features, np.array([0, 1, 2, 3]), [3])
    # Kept means' centre (2, 2); the forgotten class points to (2, 0).
    assert found == pytest.approx({0: np.sqrt(0.5), 1: -np.sqrt(0.5), 2: 0.0})


def test_structural_similarity_is_one_between_equal_pictures_and_low_between_noise(make_data):
    """Must fail if colours are not in [0, 1], or pairs are taken within one class."""
    data = make_data({"cat": 8, "dog": 8, "elephant": 8})
    forget = data.select(role="forget", subset="train").numpy()
    images = data.images.copy()
    images[data.select(subset="train").numpy()[:8]] = images[forget]
    same = type(data)(**{**vars(data), "images": images})
    assert neighbours.structural_similarity(same, 0) == pytest.approx(1, abs=1e-4)
    assert neighbours.structural_similarity(same, 1) < 0.9


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
