"""What forget images are to have: the outputs and features of a model that never saw their class, as far as the
frozen original lets us know.

The outputs join two opinions, of the kept classes alone:
- what the original's last layer makes of the features that the images are to have, which are their own without
  what sets the class apart (`kept_features`). Its second thoughts on their own features, with the forget
  classes taken out (DELETE, Zhou et al. 2025, arXiv:2503.23751), rest on what it learned of the class;
- a probe's: logistic regression on features of a middle layer, fitted to retain images alone. Such layers
  know shapes and colours, not classes, so the probe comes closer to a model that never saw the class.

To take out what sets a class apart one must know which kept classes it resembles. That is guessed from the
second thoughts and the probe together: of several guesses the one that served best (docs/experiments.md).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from unlearning.data.dataset import Dataset
from unlearning.game.kept_features import KeptFeatures
from unlearning.game.knowledge import Knowledge
from unlearning.losses import masked_teacher

REGULARISATION = 0.001  # scikit-learn's C, of standardised features
# Exponents of the original's opinion and the probe's, chosen by how far the product is from retrained models.
GUESS_EXPONENTS, TARGET_EXPONENTS = (0.5, 0.8), (0.7, 0.7)


@dataclass(frozen=True)
class Targets:
    """What forget images are to have: `log_probs`, N x C, and `features`, N x D.

    A class that is forgotten, or of which no image was probed, has minus infinity.
    """

    log_probs: Float[Tensor, "N C"]
    features: Float[Tensor, "N D"]


def find_targets(
    known: Knowledge,
    kept: KeptFeatures,
    forget: Int[Tensor, " N"],
    probed: Int[Tensor, " K"],
    data: Dataset,
) -> Targets:
    """Return what these forget images are to have, in their order."""
    places = known.places(forget)
    forget_labels = torch.tensor(data.forget_labels, device=places.device)
    probe = _probe_opinion(known, places, probed, data)
    second_thoughts = masked_teacher(known.logits[places], forget_labels)
    guess = _joined(second_thoughts, probe, GUESS_EXPONENTS)
    features = kept.without_class(known.features[places], guess, data.labels[forget])
    answers = masked_teacher(known.head(features), forget_labels)
    return Targets(_joined(answers, probe, TARGET_EXPONENTS), features)


def _probe_opinion(
    known: Knowledge, places: Int[Tensor, " N"], probed: Int[Tensor, " K"], data: Dataset
) -> Float[Tensor, "N C"]:
    """Return the probe's log-probabilities of the images at these places; minus infinity of other classes."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISATION, max_iter=500))
    middle = known.middle.cpu().double().numpy()
    # NumPy's indices, not torch's: one of those with a single element picks a row, not a list of one.
    probe.fit(middle[known.places(probed).cpu().numpy()], data.labels[probed].numpy())
    chances = probe.predict_proba(middle[places.cpu().numpy()]).clip(min=np.finfo(float).tiny)
    opinion = torch.full((len(places), len(data.classes)), float("-inf"), dtype=torch.double)
    opinion[:, torch.from_numpy(probe.classes_)] = torch.from_numpy(np.log(chances))
    return opinion.to(known.logits)


def _joined(
    original: Float[Tensor, "N C"], probe: Float[Tensor, "N C"], exponents: tuple[float, float]
) -> Float[Tensor, "N C"]:
    """Return the log-probabilities of both opinions, each to its power, multiplied and renormalised."""
    return (exponents[0] * original + exponents[1] * probe).log_softmax(dim=1)
