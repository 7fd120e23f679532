"""An adversary that plays its best response: it is solved to its optimum in every step, not trained along.

A few dozen steps are too few for a discriminator to learn anything. A ridge logistic auditor is fitted to one
half of the features in a few Newton steps and judged on the other half; the gradient that reaches the
features goes through the optimum as well: moving an image changes what the auditor would have learned.

Source: stochastic Stackelberg unlearning, SG-Unlearn, arXiv:2406.07687, whose auditor is a support vector
machine solved by a cone solver. Ours has its gradient in closed form.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

RIDGE = 0.006  # of rows of length 1: an auditor that four images of a class suffice for
NEWTON_STEPS = 20
SOLVED = 1e-9  # length of the last Newton step, relative to the solution


def advantage(
    fake: Float[Tensor, "N D"], real: Float[Tensor, "M D"], ridge: float = RIDGE
) -> Float[Tensor, ""]:
    """Return by how many nats the auditor beats a coin toss on features that it was not fitted on.

    In [0, ln 2]: 0 if it cannot tell `fake` from `real`, ln 2 if it is always right and certain. Fitted on
    rows 0, 2, 4 … of each, judged on the others; both kinds weigh alike. Its gradient with respect to all
    rows of both halves is exact. 0 with fewer than two rows of a kind.
    """
    if min(len(fake), len(real)) < 2:
        return fake.new_zeros(())
    rows = _with_constant(torch.cat([fake, real]).double())
    is_fake = torch.arange(len(rows), device=rows.device) < len(fake)
    place = torch.where(is_fake, 0, len(fake))
    fitted = (torch.arange(len(rows), device=rows.device) - place) % 2 == 0
    auditor = best_response(rows[fitted], is_fake[fitted], ridge)
    loss = F.binary_cross_entropy_with_logits(
        rows[~fitted] @ auditor,
        is_fake[~fitted].double(),
        weight=_balanced(is_fake[~fitted]),
        reduction="sum",
    )
    return (math.log(2) - loss).clamp(min=0).to(fake.dtype)


def best_response(
    rows: Float[Tensor, "N D"], is_fake: Bool[Tensor, " N"], ridge: float
) -> Float[Tensor, " D"]:
    """Return the weights w that minimise the class-balanced logistic loss + ridge / 2 |w|².

    Differentiable in `rows` as the optimum itself is: by the implicit-function theorem dw = -H⁻¹ dg, which
    is what one Newton step from the optimum gives when only its gradient g depends on `rows`.
    """
    targets, weights = is_fake.to(rows.dtype), _balanced(is_fake).to(rows.dtype)
    fixed = rows.detach()
    solution = fixed.new_zeros(rows.shape[1])
    for _ in range(NEWTON_STEPS):
        step = _newton_step(fixed, fixed, targets, weights, solution, ridge)
        solution = solution - step
        if step.norm() <= SOLVED * (1 + solution.norm()):
            break
    return solution - _newton_step(rows, fixed, targets, weights, solution, ridge)


def _newton_step(
    rows: Tensor, fixed: Tensor, targets: Tensor, weights: Tensor, solution: Tensor, ridge: float
) -> Tensor:
    """Return H⁻¹ g: g of `rows`, H of `fixed`.

    Rows are far fewer than their dimensions, so H = ridge I + RᵀR, with R the scaled rows, is inverted by
    Woodbury's identity: a solve of size N, not D.
    """
    chance = (rows @ solution).sigmoid()
    gradient = rows.T @ (weights * (chance - targets)) + ridge * solution
    chance = chance.detach()
    scaled = fixed * (weights * chance * (1 - chance)).sqrt()[:, None]
    inner = ridge * torch.eye(len(scaled), dtype=scaled.dtype, device=scaled.device)
    inner = inner + scaled @ scaled.T
    return (gradient - scaled.T @ torch.linalg.solve(inner, scaled @ gradient)) / ridge


def _with_constant(rows: Tensor) -> Tensor:
    return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)


def _balanced(is_fake: Tensor) -> Tensor:
    """Return weights by which each kind counts one half."""
    share = is_fake.double()
    return torch.where(is_fake, 0.5 / share.sum(), 0.5 / (1 - share).sum())
