"""What the figures amount to, in words: per figure by `panel`, in one sentence here.

The article's own reading stands beside it (A14 to A19); where the two disagree, that is said.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from unlearning.audit.panel import INSIDE, NEAR, OUTSIDE, Reading
from unlearning.evaluation import FAILED, FORGOTTEN_BELOW, assessment

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
ARTICLE_SUCCESS = ("excellent", "good")

NOTHING_TO_FORGET = "nothing to forget"
TOLD_APART = "told apart from retraining"
UNKNOWN = "likeness to retraining is not known"


def level_of(figure: str) -> str:
    """Return the level that a figure belongs to."""
    first = figure.split(".")[0]
    return next(level for level, figures in LEVELS.items() if first in figures)


def decides(figure: str) -> bool:
    """Return whether a figure's reading enters the verdict."""
    return figure not in NOT_DECISIVE and figure.split(".")[0] not in NOT_DECISIVE


@dataclass(frozen=True)
class Accuracies:
    """What a verdict starts from: test accuracies of the judged model and of the original."""

    forget: float
    retain: float
    original_forget: float
    original_retain: float


def sentence(accuracies: Accuracies, readings: Mapping[str, Reading], references: int) -> str:
    """Return the verdict on one model: failed, or how it compares with `references` retrained models."""
    if accuracies.original_forget <= FORGOTTEN_BELOW:
        return f"{NOTHING_TO_FORGET}: the original's accuracy is {accuracies.original_forget:.3f}"
    output = assessment(accuracies.forget, accuracies.retain, accuracies.original_retain)
    if output.startswith(FAILED):
        return output
    words = {name: reading.reading for name, reading in readings.items() if decides(name)}
    measured = [name for name, word in words.items() if word in (INSIDE, NEAR, OUTSIDE)]
    silent = [level for level in LEVELS if level not in map(level_of, measured)]
    if silent:
        return (
            f"forgotten and kept by the output; {UNKNOWN} "
            f"({references} retrained models; not measured: {', '.join(silent)})"
        )
    outside = [name for name in measured if words[name] == OUTSIDE]
    near = [name for name in measured if words[name] == NEAR]
    floor = f"the floor of {references} retrained models"
    if outside:
        return (
            f"forgotten and kept by the output, but {TOLD_APART}: {len(outside)} of "
            f"{len(measured)} decisive figures lie outside {floor} ({_by_level(outside)})"
        )
    if near:
        return (
            f"forgotten and kept, close to retraining: no decisive figure lies outside {floor}, "
            f"{len(near)} of {len(measured)} near it ({_by_level(near)})"
        )
    return f"forgotten and kept as by retraining: all {len(measured)} decisive figures lie inside {floor}"


def _by_level(figures: list[str]) -> str:
    """Return "representation: few_shot_recall, knn_recall; relearning: ..."."""
    levels = [(level, [name for name in figures if level_of(name) == level]) for level in LEVELS]
    return "; ".join(f"{level}: {', '.join(names)}" for level, names in levels if names)


def against_article(article: str, verdict: str) -> str:
    """Return whether the article's reading and the verdict agree, and if not, why the article errs.

    `article` begins with the band of its score ("excellent: score 0.087, ...").
    """
    if verdict.startswith(NOTHING_TO_FORGET):
        return "not compared: the original does not know the class"
    success = article.split(":")[0] in ARTICLE_SUCCESS
    if verdict.startswith(FAILED):
        if not success:
            return "they agree: failure"
        return (
            "they disagree: the article's score reads as success, but the model failed. The score judges the "
            "outputs of the feature extractor, never looks at retain images, and comes from the "
            "discriminator that took part in the game"
        )
    if UNKNOWN in verdict:
        return "not compared beyond the output: likeness to retraining is not known"
    if TOLD_APART in verdict:
        if success:
            return (
                "they disagree in part: the article's score reads as success; by accuracy it is one, but "
                "figures that took no part in the game lie outside what retraining does"
            )
        return "neither reads as full success"
    if success:
        return "they agree: success"
    return (
        "they disagree: the article's score does not read as success, though no decisive figure tells the "
        "model from retraining. The score judges the outputs of the feature extractor, not of the model"
    )
