"""The audit's words in metrics/, in place of a figure or beside it; `methods/shared` and `models` have others.

Few and short, so that `dvc metrics diff` stays a table and a program compares them exactly. What a person
reads is composed from them and the figures by `report/sentences.py`.
"""

from enum import StrEnum

from unlearning.base.files import DIGITS

# Fractions of images: what an assessment calls forgotten, and kept.
FORGOTTEN_BELOW = 0.02
RETAIN_LOSS_BELOW = 0.02
# The figure by which a model is said to remember single images.
MEMORY = "membership_auc.features"


def is_kept(retain: float, against: float) -> bool:
    """Return whether a retain accuracy is at most 0.02 below another, by the digits that metrics have."""
    return round(against - retain, DIGITS) <= RETAIN_LOSS_BELOW


class Verdict(StrEnum):
    """What came of a request: an assessment looks at accuracy alone, a verdict at the whole audit."""

    NOTHING_TO_FORGET = "nothing to forget"
    ORIGINAL_AT_CHANCE = "original at chance"
    TOO_FEW_IMAGES = "too few images to tell"
    STILL_KNOWN = "failed: still known"
    DAMAGED = "failed: others damaged"
    BOTH = "failed: known and damaged"
    # An assessment ends here, a verdict goes on.
    FORGOTTEN_AND_KEPT = "forgotten and kept"
    LIKENESS_UNKNOWN = "likeness unknown"
    TOLD_APART = "told apart"
    NOT_TOLD_APART = "not told apart"
    # Without retrained models.
    CONTRADICTED = "contradicted"
    NOT_CONTRADICTED = "not contradicted"
    # Of single images, of which accuracy says no more than whether the rest was kept.
    KEPT = "kept, forgetting not known"
    NOR_THE_ORIGINAL = "not told apart, nor original"


# What a verdict says of a model that did not fail: no praise, a model that is told apart did not fail either.
NOT_FAILED = frozenset(
    {
        Verdict.LIKENESS_UNKNOWN,
        Verdict.TOLD_APART,
        Verdict.NOT_TOLD_APART,
        Verdict.CONTRADICTED,
        Verdict.NOT_CONTRADICTED,
        Verdict.NOR_THE_ORIGINAL,
    }
)


LEAST_REFERENCES = 2  # retrained models; with fewer nothing says how far apart they lie


class RequestKind(StrEnum):
    """What was asked for."""

    CLASSES = "classes"
    IMAGES = "images"


class Band(StrEnum):
    """The article's reading of a discriminator score."""

    EXCELLENT = "excellent"
    GOOD = "good"
    PARTIAL = "partial"
    WEAK = "weak"
    FAILED = "failed"


class Comparison(StrEnum):
    """Whether the article's reading and the verdict agree."""

    BOTH_SUCCESS = "agree: success"
    BOTH_FAILURE = "agree: failure"
    NEITHER_FULL = "agree: no full success"
    ARTICLE_BLIND = "disagree: the model failed"
    ARTICLE_SHORT = "disagree: told apart"
    ARTICLE_STRICT = "disagree: the model passed"
    NOT_COMPARED = "not compared"


class Distance(StrEnum):
    """How a figure's distance to retraining compares with its limit."""

    INSIDE = "inside"
    OUTSIDE = "outside"


class Unmeasured(StrEnum):
    """Why there is no figure."""

    NO_REFERENCE = "no reference"
    NO_FLOOR = "no floor: needs 2 retrained"
    NOT_JUDGED = "not judged"
    NONE_HELD_OUT = "none held out"
    NEEDS_5 = "not measured: needs 5 images"
    NEEDS_10 = "not measured: needs 10 images"
    NEEDS_20 = "not measured: needs 20 images"
    NEEDS_100 = "not measured: needs 100 images"
    NEEDS_4_CLASSES = "not measured: needs 4 classes"
    NEVER_KNOWN = "not measured: never known"
    ALL_EQUAL = "not measured: all are equal"


# The article maps score ranges to effectiveness in its Table 1, an image that cannot be read. These bands
# are ours; 0.3 and 0.5 are the two bounds that its text names (A14, A16). Upper bound (excluded), word.
SCORE_BANDS = ((0.1, Band.EXCELLENT), (0.3, Band.GOOD), (0.5, Band.PARTIAL), (0.7, Band.WEAK))

# Bands of the confidence in the predicted class, ours; the article calls 0.345 "low" (A18).
CONFIDENCE_BANDS = ((0.5, "low"), (0.8, "medium"))
HIGHEST_CONFIDENCE = "high"


def score_band(score: float) -> Band:
    """Return the word for a discriminator score in [0, 1]: low reads as forgotten (A14)."""
    return next((word for bound, word in SCORE_BANDS if score < bound), Band.FAILED)


def confidence_band(confidence: float) -> str:
    """Return the word for the probability of the predicted class, in [0, 1]."""
    return next(
        (word for bound, word in CONFIDENCE_BANDS if confidence < bound), HIGHEST_CONFIDENCE
    )
