"""The auditor of members: its best response against scikit-learn, its advantage against a loop by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from unlearning.methods.shared.members import RIDGE, Auditor, best_response

CPU = torch.device("cpu")


def features(count: int, shift: float, seed: int, size: int = 12) -> torch.Tensor:
    """Return rows whose first dimension is shifted."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, size, generator=generator)
    rows[:, 0] += shift
    return rows


def auditor(members: torch.Tensor, unseen: torch.Tensor) -> Auditor:
    """Return an auditor of one layer that has looked at these features."""
    made = Auditor(["deep"], len(members), len(unseen), CPU)
    made.load_state_dict({"deep": torch.cat([members, unseen])})
    return made


def sklearn_fit(rows: np.ndarray, is_member: np.ndarray, ridge: float) -> np.ndarray:
    shares = np.where(is_member, 0.5 / is_member.sum(), 0.5 / (~is_member).sum())
    fit = LogisticRegression(C=1 / ridge, fit_intercept=False, tol=1e-10, max_iter=10_000)
    return fit.fit(rows, is_member, sample_weight=shares).coef_[0]


@pytest.mark.parametrize("ridge", [1.0, 0.01, 1e-4])
def test_the_best_response_is_the_optimum(ridge):
    """Must fail if Newton stops early, the kinds do not weigh alike, or the ridge is not |w|² / 2."""
    rows = F.normalize(torch.cat([features(7, 2.0, 1), features(10, 0.0, 2)]).double(), dim=1)
    is_member = torch.arange(17) < 7
    ours = best_response(rows, is_member, ridge)
    theirs = sklearn_fit(rows.numpy(), is_member.numpy(), ridge)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-3, atol=1e-4)


def test_an_advantage_is_measured_on_rows_that_the_auditor_was_not_fitted_on():
    """Must fail if the batch's own rows, old or new, are fitted on, or the new ones do not enter the bank."""
    bank = torch.cat([features(12, 2.0, 1), features(9, 0.0, 2)])
    places = torch.tensor([0, 5, 12, 14, 20])
    fresh = features(5, 0.0, 3)
    fresh[:2, 0] += 2
    made = auditor(bank[:12].clone(), bank[12:].clone())
    found = made.advantage({"deep": fresh}, places)

    bank[places] = fresh
    assert torch.equal(made.state_dict()["deep"], bank)
    rows = F.normalize((bank - bank.mean(dim=0)).double(), dim=1).numpy()
    rows = np.column_stack([rows, np.ones(21)])
    is_member, asked = np.arange(21) < 12, np.isin(np.arange(21), places)
    weights = sklearn_fit(rows[~asked], is_member[~asked], RIDGE)
    chance = 1 / (1 + np.exp(-rows[places] @ weights))
    loss = -(np.log(chance[:2]).mean() + np.log(1 - chance[2:]).mean()) / 2
    assert found.item() == pytest.approx(math.log(2) - loss, rel=1e-3)
    assert found > 0.05


def test_moving_against_the_gradient_makes_members_harder_to_tell():
    """Must fail if no gradient reaches the features, or it points the wrong way."""
    bank = torch.cat([features(12, 6.0, 1), features(9, 0.0, 2)])
    places = torch.tensor([1, 13])
    shown = bank[places].clone().requires_grad_()
    before = auditor(bank[:12], bank[12:]).advantage({"deep": shown}, places)
    before.backward()
    moved = (shown - 0.5 * shown.grad / shown.grad.norm()).detach()
    assert auditor(bank[:12], bank[12:]).advantage({"deep": moved}, places) < before


@pytest.mark.parametrize(
    ("members", "unseen", "places"),
    [(3, 9, [0, 5]), (9, 3, [0, 10]), (9, 0, [0, 1]), (9, 9, [0, 1]), (9, 9, [9, 10])],
)
def test_too_few_rows_or_one_kind_alone_give_no_advantage(members, unseen, places):
    """Must fail if an auditor is fitted to three images of a kind, or asked about one kind only."""
    made = auditor(features(members, 3.0, 1), features(unseen, 0.0, 2))
    assert made.advantage({"deep": features(len(places), 0.0, 3)}, torch.tensor(places)) == 0
