"""What forget images are to have: the outputs and features of a model that never saw their class, as far as the
frozen original lets us know.

The outputs join two opinions that name no forgotten class:
- the original's on the features that the images are to have, from which `kept_features` took what sets the
  class apart. Its second thoughts on their own features (the forget classes taken out: DELETE, Zhou et al.
  2025, arXiv:2503.23751) would rest on what it learned of the class;
- a probe's: logistic regression on features of a middle layer, fitted to retain images alone. Such layers
  know shapes and colours, not classes, so the probe comes closer to a model that never saw the class.

Each alone errs in its own way (docs/experiments.md); their product is closer to retrained models. To take what
sets a class apart from the features one must know which kept classes it resembles: there the second thoughts
stand in for the first opinion, since only the mean over the class's images counts.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from unlearning.data.dataset import Dataset
from unlearning.game.kept_features import KeptFeatures
from unlearning.game.knowledge import Knowledge
from unlearning.losses import masked_teacher

REGULARISATION = 0.001  # scikit-learn's C, of standardised features
# Exponents of the original's opinion and the probe's. Their geometric mean (0.5, 0.5) is less certain than
# retrained models are.
RESEMBLED, ANSWERED = (0.5, 0.8), (0.7, 0.7)


@dataclass(frozen=True)
class Targets:
    """What forget images are to have: `log_probs`, N x C, a forget class minus infinity; `features`, N x D."""

    log_probs: Float[Tensor, "N C"]
    features: Float[Tensor, "N D"]


@torch.no_grad()
def targets(
    original: Knowledge,
    head: nn.Module,
    kept: KeptFeatures,
    forget: Int[Tensor, " N"],
    probed: Int[Tensor, " K"],
    data: Dataset,
) -> Targets:
    """Return what these forget images are to have, in their order; `head`: the original's last layer."""
    places = original.places(forget)
    forget_labels = torch.tensor(data.forget_labels, device=places.device)
    probe = _probe(original, places, probed, data)
    resembled = _joined(masked_teacher(original.logits[places], forget_labels), probe, RESEMBLED)
    features = kept.without_class(original.features[places], resembled, data.labels[forget])
    answers = masked_teacher(head(features), forget_labels)
    return Targets(_joined(answers, probe, ANSWERED), features)


def _probe(
    original: Knowledge, places: Int[Tensor, " N"], probed: Int[Tensor, " K"], data: Dataset
) -> Float[Tensor, "N C"]:
    """Return the probe's log-probabilities of the images at these places; a forget class has minus infinity."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=500))
    middle = original.middle.cpu().double().numpy()
    probe.fit(middle[original.places(probed).cpu()], data.labels[probed].numpy())
    chances = probe.predict_proba(middle[places.cpu()]).clip(min=np.finfo(float).tiny)
    opinion = torch.full((len(places), len(data.classes)), float("-inf"), dtype=torch.double)
    opinion[:, torch.from_numpy(probe.classes_)] = torch.from_numpy(np.log(chances))
    return opinion.to(original.logits)


def _joined(
    answers: Float[Tensor, "N C"], probe: Float[Tensor, "N C"], exponents: tuple[float, float]
) -> Float[Tensor, "N C"]:
    """Return the log-probabilities of both opinions, each to its power, multiplied and renormalised."""
    return (exponents[0] * answers + exponents[1] * probe).log_softmax(dim=1)
