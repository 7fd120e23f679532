"""The adversary's best response against scikit-learn and finite differences."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from unlearning.methods.shared.best_response import advantage, best_response


def features(count: int, shift: float, seed: int, size: int = 12) -> torch.Tensor:
    """Return rows of length 1, their first dimension shifted."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, size, generator=generator, dtype=torch.double)
    rows[:, 0] += shift
    return torch.nn.functional.normalize(rows, dim=1)


FAKE, REAL = features(7, 2.0, seed=1), features(10, 0.0, seed=2)


@pytest.mark.parametrize("ridge", [1.0, 0.01, 1e-4])
def test_the_best_response_is_the_optimum(ridge):
    """Must fail if Newton stops early, the kinds do not weigh alike, or the ridge is not |w|² / 2."""
    rows = torch.cat([FAKE, REAL])
    is_fake = torch.arange(len(rows)) < len(FAKE)
    ours = best_response(rows, is_fake, ridge)
    shares = np.where(is_fake, 0.5 / len(FAKE), 0.5 / len(REAL))
    theirs = LogisticRegression(C=1 / ridge, fit_intercept=False, tol=1e-10, max_iter=10_000)
    theirs.fit(rows.numpy(), is_fake.numpy(), sample_weight=shares)
    np.testing.assert_allclose(ours.numpy(), theirs.coef_[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ridge", [0.5, 0.05])
def test_the_gradient_goes_through_the_optimum(ridge):
    """Must fail if the auditor is taken as fixed, or H is differentiated where it must not be.

    Central differences on every entry of every row, of both halves; relative error below 1e-6.
    """
    rows = torch.cat([FAKE, REAL]).requires_grad_()

    def value(rows: torch.Tensor) -> torch.Tensor:
        return advantage(rows[: len(FAKE)], rows[len(FAKE) :], ridge)

    value(rows).backward()
    step = 1e-5
    numeric = torch.zeros_like(rows)
    with torch.no_grad():
        for index in np.ndindex(*rows.shape):
            nudge = torch.zeros_like(rows)
            nudge[index] = step
            numeric[index] = (value(rows + nudge) - value(rows - nudge)) / (2 * step)
    assert value(rows) > 0.01
    # The half that the auditor was fitted on has a gradient, too.
    assert rows.grad[0].norm() > 1e-3
    assert ((rows.grad - numeric).norm() / numeric.norm()).item() < 1e-6


def test_an_advantage_lies_between_a_coin_toss_and_certainty():
    """Must fail if the auditor is judged on what it was fitted on: then noise has an advantage, too."""
    far = torch.eye(12, dtype=torch.double)[:1].expand(8, -1)
    assert math.log(2) - 0.1 < advantage(far, -far).item() <= math.log(2)
    noise = torch.stack(
        [advantage(features(6, 0, seed=s), features(20, 0, seed=100 + s)) for s in range(30)]
    )
    assert noise.mean() < 0.05
    assert noise.min() >= 0


@pytest.mark.parametrize(("fakes", "reals"), [(1, 5), (5, 1), (0, 5)])
def test_too_few_rows_give_no_advantage(fakes, reals):
    """Must fail if a half without a row of a kind is solved for."""
    assert advantage(FAKE[:fakes], REAL[:reals]) == 0


def test_an_advantage_comes_in_the_features_precision():
    """Must fail if double precision leaks into the loss, or the solution is taken in single."""
    single = advantage(FAKE.float(), REAL.float())
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(advantage(FAKE, REAL).item(), rel=1e-4)
