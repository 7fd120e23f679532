"""What the figures amount to: per figure by `panel`, in one word here.

The article's own reading stands beside it (A14 to A19), with whether the two agree.
"""

from collections.abc import Mapping

from unlearning.assessment import Accuracies, assess
from unlearning.audit.panel import Reading
from unlearning.words import Band, Comparison, Distance, Verdict

# Which level a figure speaks of, by the first part of its name.
LEVELS = {
    "output": (
        "forget_accuracy",
        "retain_accuracy",
        "js_to_retrained",
        "destination_tv",
        "confidence_mean",
        "entropy_mean",
        "agreement_with_original",
        "agreement_with_retrained",
        "calibration_error",
        "zrf",
    ),
    "membership": ("membership_auc", "membership_tpr", "membership_svc"),
    "representation": (
        "probe_recall",
        "early_probe_recall",
        "few_shot_recall",
        "knn_recall",
        "cka_to_original",
        "cka_to_retrained",
    ),
    "relearning": ("relearn_passes", "returned_accuracy"),
    "fresh auditor": ("auditor_auc",),
}
# Figures that are shown and read but do not decide the verdict. Among 47 figures one lies outside by chance
# (docs/experiments.md): the few most telling ones of each level decide. The SVC calls any hidden class
# forgotten; rates at few false positives rest on a handful of images; the last layer's likeness stands for the
# layers below; early layers know no classes; agreement with the original is no fault; ZRF is there to
# compare with papers.
NOT_DECISIVE = (
    "membership_svc",
    "membership_tpr",
    "early_probe_recall",
    "agreement_with_original",
    "zrf",
    "cka_to_original.stem",
    "cka_to_original.layer1",
    "cka_to_original.layer2",
    "cka_to_original.layer3",
    "cka_to_retrained.stem",
    "cka_to_retrained.layer1",
    "cka_to_retrained.layer2",
    "cka_to_retrained.layer3",
)
# The article's bands that it reads as success.
ARTICLE_SUCCESS = (Band.EXCELLENT, Band.GOOD)


def level_of(figure: str) -> str:
    """Return the level that a figure belongs to."""
    first = figure.split(".")[0]
    return next(level for level, figures in LEVELS.items() if first in figures)


def decides(figure: str) -> bool:
    """Return whether a figure's reading enters the verdict."""
    return figure not in NOT_DECISIVE and figure.split(".")[0] not in NOT_DECISIVE


def verdict(accuracies: Accuracies, readings: Mapping[str, Reading]) -> Verdict:
    """Return the verdict on one model: what accuracy alone says, or how it compares with retrained models."""
    found = assess(accuracies)
    if found != Verdict.FORGOTTEN_AND_KEPT:
        return found
    words = {name: reading.reading for name, reading in readings.items() if decides(name)}
    measured = {name: word for name, word in words.items() if word in set(Distance)}
    if set(map(level_of, measured)) != set(LEVELS):
        return Verdict.LIKENESS_UNKNOWN
    if Distance.OUTSIDE in measured.values():
        return Verdict.TOLD_APART
    return Verdict.CLOSE if Distance.NEAR in measured.values() else Verdict.AS_RETRAINED


def against_article(article: str, found: Verdict) -> Comparison:
    """Return whether the article's reading, the band of its score, and the verdict agree."""
    success = article in ARTICLE_SUCCESS
    if found in (Verdict.STILL_KNOWN, Verdict.DAMAGED, Verdict.BOTH):
        return Comparison.ARTICLE_BLIND if success else Comparison.BOTH_FAILURE
    if found == Verdict.TOLD_APART:
        return Comparison.ARTICLE_SHORT if success else Comparison.NEITHER_FULL
    if found in (Verdict.CLOSE, Verdict.AS_RETRAINED):
        return Comparison.BOTH_SUCCESS if success else Comparison.ARTICLE_STRICT
    return Comparison.NOT_COMPARED
