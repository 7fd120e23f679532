"""After the game: about as sure of the kept classes as the original, by one factor and no other change."""

import dataclasses
import math

import pytest
import torch

from unlearning.base.sampling import spread_evenly
from unlearning.data.request import Request, SingleImages
from unlearning.methods.shared import confidence
from unlearning.methods.shared.confidence import as_sure, asked, factor_for
from unlearning.models.forward import predict_logits


@pytest.fixture
def data(make_data):
    return make_data({"cat": 6, "dog": 6, "elephant": 6, "horse": 6}, held_out=5)


def test_confidence_and_factor_match_the_formula_by_hand():
    """Must fail if another class's probability is taken, or the factor's square or inverse comes back.

    Of logits (x, 0) the larger probability is 1 / (1 + exp(-x)): ln 3 gives 3/4, twice as much 9/10.
    """
    logits = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])
    assert confidence.confidence(logits) == pytest.approx(0.75)
    assert factor_for(logits, 0.9) == pytest.approx(2, rel=1e-6)
    assert factor_for(2 * logits, 0.75) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(("wanted", "found"), [(1.0, 8.0), (0.1, 1 / 8)])
def test_a_factor_has_bounds(wanted, found):
    """Must fail if a confidence that no factor gives ends in zero, infinity or an endless search."""
    assert factor_for(torch.zeros(3, 4), wanted) == pytest.approx(found, rel=1e-6)


def test_images_asked_are_held_out_ones_of_kept_classes(data, monkeypatch):
    """Must fail if a test, training or forget image is asked, too many are, or any for single images."""
    held_out = data.select(role="retain", subset="validation")
    assert len(held_out) and torch.equal(asked(data), held_out)
    monkeypatch.setattr(confidence, "MOST_IMAGES", 4)
    assert torch.equal(asked(data), held_out[spread_evenly(len(held_out), 4)])
    single = Request(images=SingleImages(names=("x",)))
    assert not len(asked(dataclasses.replace(data, request=single)))


def test_the_way_to_the_original_s_confidence_is_half_gone_and_no_prediction_changes(
    data, make_network, cpu
):
    """Must fail if features, a prediction or the caller's model change, or the factor is not the root.

    Or if outputs of the forgotten class count, or do not end 6 nats below the mean of the others.
    """
    unlearned, original = make_network(1).eval(), make_network(2).eval()
    with torch.no_grad():
        for weight in (original.head.weight, original.head.bias):
            weight.mul_(3)
        original.head.bias[2] = 50.0  # the elephant's own
    images = asked(data)
    before = {name: value.clone() for name, value in unlearned.state_dict().items()}
    kept = [0, 1, 3]
    plain, wanted = (
        predict_logits(model, data, images, cpu)[:, kept] for model in (unlearned, original)
    )
    found = predict_logits(as_sure(unlearned, original, data, images, cpu), data, images, cpu)
    factor = factor_for(plain, confidence.confidence(wanted))
    assert 1.5 < factor < 7
    torch.testing.assert_close(found[:, kept], math.sqrt(factor) * plain)
    torch.testing.assert_close(found[:, 2], found[:, kept].mean(dim=1) - 6)
    assert all(torch.equal(unlearned.state_dict()[name], value) for name, value in before.items())
    assert as_sure(unlearned, original, data, images[:0], cpu) is unlearned
