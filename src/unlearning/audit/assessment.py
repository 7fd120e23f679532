"""Did it forget, and did it keep the others? By accuracy alone, with what so many images can tell.

Forgotten: the unlearned model's accuracy on forget images is at most 0.02. Kept: its retain accuracy is at most
0.02 below the original's; where other requests came before, below that of the model which the first of them was
asked of: so small losses do not add up, and what the last game happened to gain may go again. Where retrained
models have less than that, below theirs: a tenth of the training images gone costs accuracy by itself, and a
model retrained without them is not a damaged one. Where the original has a recipe of its own, only what the
retrained models have less than the same recipe makes of all images: their recipe's own loss excuses nothing.
Damaged: more than 0.02 is lost, and more than such images lose by chance, by a paired test at 5 %. A loss of
more than 0.02 that may be chance is neither.
Before anything counts, the images must be able to tell:

- the original knows the kept classes: its retain accuracy beats always naming the largest of them, by an
  exact binomial test at 5 %;
- the original knew what was forgotten: its accuracy on forget images lies above the unlearned model's with
  both uncertainties, that is, its lower 95 % bound lies above the other's upper 95 % bound. With 0 of n right
  that bound is near 3/n; of a class that the original knows without fault it takes 5 images.

Source: Clopper & Pearson 1934, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the
Binomial", one-sided bounds; Hanley & Lippman-Hand 1983, "If Nothing Goes Wrong, Is Everything All Right?", 3/n;
McNemar 1947, "Note on the Sampling Error of the Difference between Correlated Proportions", the same images.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import binomtest, ttest_1samp

from unlearning.audit.words import FORGOTTEN_BELOW, Verdict, is_kept

CONFIDENCE = 0.95
PerImage = Float[np.ndarray, " N"]


@dataclass(frozen=True)
class Accuracies:
    """What an assessment starts from: test accuracies of the judged model and of the original.

    `kept_against`: the retain accuracy against which a loss counts. `chance`: that of always naming the kept
    class with the most test images. `back`: of a request for single images, the accuracy on the class that is
    known best of those forgotten by earlier ones. `loss_p_value`: see the function of this name.
    """

    forget: float
    retain: float
    original_forget: float
    original_retain: float
    kept_against: float
    forget_images: int
    retain_images: int
    chance: float
    loss_p_value: float
    back: float = 0.0

    @property
    def is_kept(self) -> bool:
        """Return whether the kept classes are known as before, or nearly."""
        return is_kept(self.retain, self.kept_against)

    @property
    def is_damaged(self) -> bool:
        """Return whether more was lost than what counts as kept, and not by the chance of the images."""
        return not self.is_kept and self.loss_p_value < 1 - CONFIDENCE


def kept_against(
    before: PerImage, retrained: PerImage | None = None, same_recipe: PerImage | None = None
) -> PerImage:
    """Return what a model is measured by on each retain test image: 1 where it should be right.

    In [0, 1], but with `same_recipe` in [-1, 2]: more where their recipe costs nothing, less where it does.

    `before`: whether the model was that had met no request yet, or, where only that is known, its accuracy on
    the image's class. From that goes what this request costs retrained models as well. `retrained`: the share
    of them that are right, if there are any; `same_recipe`: whether what their recipe makes of all images is,
    where the original has another one.
    """
    if retrained is None:
        return before
    if same_recipe is None:
        return retrained if retrained.mean() < before.mean() else before
    cost = same_recipe - retrained
    return before - cost if cost.mean() > 0 else before


def loss_p_value(lost: PerImage) -> float:
    """Return how probable it is by the chance of the images that as many lose as much or more, in (0, 1].

    `lost`: what is held against a model on each image, less 1 where it is right. By the one-sided paired
    t-test, and never less than the sign test has of as many images, all lost: t is too sure where few differ.
    How far one seed's model lies from another's it does not know.
    """
    surest = 0.5 ** int(lost[lost > 0].sum())
    if np.ptp(lost) < 1e-9:  # no spread, no t
        return surest if lost[0] > 0 else 1.0
    return max(float(ttest_1samp(lost, 0.0, alternative="greater").pvalue), surest)


def assess(found: Accuracies, *, of_images: bool = False) -> Verdict:
    """Return our reading: forgotten *and* kept, which of the two failed, or why neither can be told.

    Few images never make a success, but a failure that they show stays one. Of single images accuracy says no
    more than whether the rest was kept: a model that never saw them may well give them their class.
    """
    if of_images:
        if not _beats(found.chance, found.original_retain, found.retain_images):
            return _no_better(found)
        if found.back > FORGOTTEN_BELOW:
            return Verdict.BOTH if found.is_damaged else Verdict.STILL_KNOWN
        if found.is_damaged:
            return Verdict.DAMAGED
        return Verdict.KEPT if found.is_kept else Verdict.TOO_FEW_IMAGES
    if found.original_forget <= FORGOTTEN_BELOW:
        # Had the original known it without fault, could so many images have shown its loss?
        enough = _loss_shows(1.0, 0.0, found.forget_images)
        return Verdict.NOTHING_TO_FORGET if enough else Verdict.TOO_FEW_IMAGES
    if not _beats(found.chance, found.original_retain, found.retain_images):
        return _no_better(found)
    forgot = found.forget <= FORGOTTEN_BELOW
    if not forgot:
        return Verdict.BOTH if found.is_damaged else Verdict.STILL_KNOWN
    if found.is_damaged:
        return Verdict.DAMAGED
    shows = _loss_shows(found.original_forget, found.forget, found.forget_images)
    return Verdict.FORGOTTEN_AND_KEPT if found.is_kept and shows else Verdict.TOO_FEW_IMAGES


def _no_better(found: Accuracies) -> Verdict:
    """Return why nothing can be told of an original that does not beat chance on the kept classes."""
    enough = _beats(found.chance, 1.0, found.retain_images)
    return Verdict.ORIGINAL_AT_CHANCE if enough else Verdict.TOO_FEW_IMAGES


def _loss_shows(before: float, after: float, images: int) -> bool:
    """Return whether an accuracy fell by more than its sampling: both one-sided 95 % bounds lie apart."""
    low = binomtest(round(before * images), images, alternative="greater")
    high = binomtest(round(after * images), images, alternative="less")
    return low.proportion_ci(CONFIDENCE, "exact").low > high.proportion_ci(CONFIDENCE, "exact").high


def _beats(chance: float, accuracy: float, images: int) -> bool:
    """Return whether an accuracy lies above a chance level, by a one-sided exact binomial test."""
    test = binomtest(round(accuracy * images), images, chance, alternative="greater")
    return bool(test.pvalue < 1 - CONFIDENCE)
