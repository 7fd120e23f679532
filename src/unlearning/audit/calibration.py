"""What retrained models do on other sets: the prior of `limits`, and how often the verdict errs.

Measured on runs with many retrained models by `unlearning calibrate`, shipped as `calibration.json`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

from unlearning.audit import attacks, catalogue
from unlearning.audit.compare import Figure
from unlearning.audit.estimates import Estimate
from unlearning.audit.limits import Prior, readings, scale
from unlearning.audit.words import Distance
from unlearning.base.errors import UserError
from unlearning.base.files import rounded
from unlearning.models.panel import CONTROL, ORIGINAL

FILE = Path(__file__).with_name("calibration.json")
DEGREES = 10.0  # of the prior, chosen: see docs/experiments.md
SMALLEST_SHARE = 0.1  # of a variance, that is not noise of images
COUNTS = (0, 2, 3, 4, 7)  # of references

Figures = Mapping[str, Figure]


@dataclass(frozen=True)
class Rates:
    """Shares of verdicts "told apart" by the number of references, of "contradicted" without any.

    `false_alarms`: of retrained models in the unlearned one's place. `caught`: of originals and controls. Both
    with the number of models that they rest on.
    """

    false_alarms: Mapping[int, float]
    false_alarms_of: Mapping[int, int]
    caught: Mapping[int, float]
    caught_of: Mapping[int, int]

    def at(self, references: int) -> dict[str, float]:
        """Return them for so many references; where that was not measured, for the next fewer."""
        known = max(count for count in self.false_alarms if count <= references)
        return {each.name: getattr(self, each.name)[known] for each in fields(self)}


@cache
def load(*, of_images: bool = False) -> tuple[Prior, Rates]:
    """Return what is shipped for requests for whole classes or for single images."""
    content = json.loads(FILE.read_text(encoding="utf-8"))["images" if of_images else "classes"]
    rates = {
        each.name: {int(count): value for count, value in content[each.name].items()}
        for each in fields(Rates)
    }
    return Prior(content["spreads"], content["degrees"], of_images), Rates(**rates)


def as_json(prior: Prior, rates: Rates) -> str:
    """Return what `load` reads: what is shipped, with this in place of what it has of such requests."""
    shipped = json.loads(FILE.read_text(encoding="utf-8"))
    measured = {"spreads": prior.spreads, "degrees": prior.degrees} | asdict(rates)
    content = shipped | {"images" if prior.of_images else "classes": measured}
    return json.dumps(rounded(content), indent=2) + "\n"


def require_models(retrained: Sequence[int]) -> None:
    """Check how many retrained models each run has. Raises: UserError where they are too few."""
    if len(retrained) < 3:
        raise UserError("calibrate takes three runs or more: each is judged by two others")
    if min(retrained) <= max(COUNTS):
        raise UserError(
            f"a run has {min(retrained)} retrained models, but it takes {max(COUNTS) + 1} (`retrain.seeds`)"
        )


def fit(runs: Sequence[Figures], *, of_images: bool = False) -> Prior:
    """Return the prior that follows from the variances between the references of these runs.

    Of each figure the largest spread that a run shows once its images' noise is taken off, in units of `scale`.
    Smyth (2004) fits a scale and degrees of freedom to thousands of genes; a handful of runs tells neither, so
    the largest stands for the scale and a fixed number for the degrees.

    Raises: UserError where no run measures a figure that decides.
    """
    spreads = {}
    for name in runs[0]:
        if catalogue.decides(name, of_images=of_images):
            found = [_spread(name, run[name], of_images=of_images) for run in runs]
            measured = [each for each in found if each is not None]
            if not measured:
                raise UserError(f"no run measures {name}: it takes more images")
            spreads[name] = max(measured)
    return Prior(spreads, DEGREES, of_images)


def _spread(name: str, figure: Figure, *, of_images: bool = False) -> float | None:
    """Return the standard deviation between references in units of `scale`, the noise of images taken off.

    At least a share of the whole: noise that is estimated may exceed it. None where a figure was not measured.
    """
    seeds = list(figure.values.references)
    excesses = [figure.excess(seed, [other for other in seeds if other != seed]) for seed in seeds]
    measured = [each for each in excesses if isinstance(each, Estimate)]
    if len(measured) < len(seeds):
        return None
    variance, _ = figure.variance(seeds)
    noise = float(np.mean([np.var(each.resampled) for each in measured])) / (
        1 + 1 / (len(seeds) - 1)
    )
    left = max(variance - noise, SMALLEST_SHARE * variance)
    return math.sqrt(left) / scale(name, figure, seeds, of_images=of_images)


def told_apart(run: Figures, model: str, references: Sequence[str], prior: Prior) -> bool:
    """Return whether any figure that decides tells the model from these references, or without any speaks
    against it.
    """
    found = (
        readings(run, model, references, prior)
        if references
        else attacks.readings(run, model, prior)
    ).values()
    return any(each.reading == Distance.OUTSIDE for each in found)


def error_rates(
    runs: Sequence[Figures], counts: Sequence[int] = COUNTS, *, of_images: bool = False
) -> Rates:
    """Return how often verdicts err on these runs, each judged by the prior of the others.

    Every retrained model takes the unlearned one's place against every choice of so many of the others; the
    original and the control with an edited head must be caught. Of each model the share of
    choices, of these the mean. At least three runs.
    """
    alarms: dict[int, list[float]] = {count: [] for count in counts}
    caught: dict[int, list[float]] = {count: [] for count in counts}
    for place, run in enumerate(runs):
        prior = fit([*runs[:place], *runs[place + 1 :]], of_images=of_images)
        values = next(iter(run.values())).values
        controls = [name for name in (ORIGINAL, CONTROL) if name in values.subjects]
        for count in counts:
            for into, models in ((alarms, values.references), (caught, controls)):
                for model in models:
                    others = [seed for seed in values.references if seed != model]
                    verdicts = [
                        told_apart(run, model, chosen, prior)
                        for chosen in combinations(others, count)
                    ]
                    into[count].append(float(np.mean(verdicts)))
    return Rates(
        {count: float(np.mean(found)) for count, found in alarms.items()},
        {count: len(found) for count, found in alarms.items()},
        {count: float(np.mean(found)) for count, found in caught.items()},
        {count: len(found) for count, found in caught.items()},
    )
