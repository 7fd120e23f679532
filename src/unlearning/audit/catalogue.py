"""Every figure of the audit, once: its level, its words, which direction is worse, and whether it decides.

A figure's name is a key here, or a key and a variant: "auditor_auc.outputs". Few figures decide the verdict,
one to three a level: each more makes the limits of all wider. The linear probe mixes memory with how separable
a class is; a fresh auditor of features finds outliers among retrained models; the SVC calls any hidden class
forgotten; rates at few false positives rest on a handful of images; early layers know no classes; CKA tells
ancestry; `assessment` judges accuracies; ZRF is there to compare with papers.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

ALL = None  # of a figure's variants


def constant(_mean: float) -> float:
    """Return the unit of figures whose spread does not depend on their size."""
    return 1.0


def as_large(mean: float) -> float:
    """Return the unit of figures that spread in proportion to their size."""
    return mean


def above_half(mean: float) -> float:
    """Return the unit of figures that spread in proportion to how far they lie above a coin toss."""
    return mean - 0.5


def as_binomial(mean: float) -> float:
    """Return the unit of shares that spread as those of independent draws do."""
    return math.sqrt(max(mean * (1 - mean), 0.0))


@dataclass(frozen=True)
class Entry:
    """A figure's title for tables, its meaning and its good direction, both as whole sentences.

    `decides`: which of its variants enter the verdict on whole classes; `decides_of_images`: on single images.
    Of one that decides, `higher_is_worse`: only higher values than the references' count, else any difference;
    `unit`: of the spread between retrained models, given their mean. `form`: how its values are written, see
    `report/quoting.py`. `contradicts`: which variants decide where there is no reference, since what a model
    has at most that never saw what was to be forgotten is known: `at_most`, a value, or a figure of the same
    model.
    """

    title: str
    meaning: str
    good: str
    higher_is_worse: bool = False
    decides: tuple[str, ...] | None = ()
    decides_of_images: tuple[str, ...] | None = ()
    form: str = ""
    unit: Callable[[float], float] = constant
    unit_of_images: Callable[[float], float] | None = None  # where it is another
    contradicts: tuple[str, ...] | None = ()
    at_most: float | str = 0.0


@dataclass(frozen=True)
class Level:
    """A part of the audit: its name, a title, a question, and the figures that answer it, in order."""

    key: str
    title: str
    question: str
    figures: dict[str, Entry]


AS_RETRAINED = "Good is what the retrained models have, neither less nor more."

LEVELS = (
    Level(
        "output",
        "Output",
        "Does the model answer as one that never saw what was to be forgotten?",
        {
            "forget_accuracy": Entry(
                "Forget accuracy",
                "Share of forget images that are given their own class.",
                "Low is good of a class to forget; of single images, what the retrained models have.",
                decides_of_images=ALL,
                unit=as_binomial,
            ),
            "retain_accuracy": Entry(
                "Retain accuracy",
                "Share of retain test images that are given their own class.",
                "High is good.",
            ),
            "js_to_retrained": Entry(
                "Divergence from retrained",
                "Mean Jensen–Shannon divergence between the probabilities that this model and a "
                "retrained one give the same forget image, in nats (at most ln 2).",
                "Low is good: 0 means the same answers.",
                higher_is_worse=True,
                decides=ALL,
                decides_of_images=ALL,
                unit=as_large,
            ),
            "destination_tv": Entry(
                "Destinations, total variation",
                "Share of forget images that would have to be predicted otherwise for the "
                "predicted classes to be spread as a retrained model spreads them.",
                "Low is good: 0 means the same destinations.",
                higher_is_worse=True,
                decides=ALL,
                unit=as_large,
            ),
            "confidence_mean": Entry(
                "Confidence",
                "Mean probability of the predicted class on forget images.",
                AS_RETRAINED,
            ),
            "entropy_mean": Entry(
                "Entropy",
                "Mean entropy of the probabilities on forget images, in nats: 0 is certain, the "
                "logarithm of the number of classes is a guess.",
                AS_RETRAINED,
            ),
            "agreement_with_original": Entry(
                "Agreement with original",
                "Share of retain test images that are given the same class as by the original.",
                "High is good.",
            ),
            "agreement_with_retrained": Entry(
                "Agreement with retrained",
                "Share of retain test images that are given the same class as by a retrained model.",
                "High is good, up to what retrained models agree among themselves.",
            ),
            "calibration_error": Entry(
                "Calibration error",
                "Expected calibration error on retain test images: how far confidence and the share "
                "of right answers lie apart.",
                "Low is good.",
            ),
            "zrf": Entry(
                "Zero-retrain score (ZRF)",
                "One minus the mean Jensen–Shannon divergence from a network of random weights on "
                "forget images; shown to compare with papers.",
                AS_RETRAINED,
            ),
        },
    ),
    Level(
        "membership",
        "Membership attacks",
        "Can an attacker tell which forget images were trained on?",
        {
            "membership_outputs": Entry(
                "Membership by outputs",
                "How far the area under the ROC curve of the best of six attacks on outputs is away from 0.5.",
                "Low is good, down to what the best of six has by chance with a retrained model.",
                higher_is_worse=True,
                decides=ALL,
                decides_of_images=ALL,
            ),
            "membership_auc": Entry(
                "Membership AUC",
                "How well an attacker tells forget images that were trained on from those that were "
                "not, as area under the ROC curve.",
                "0.5 is good: the attacker tosses a coin. Below, it errs, which an attacker can turn round.",
                decides=("layer3", "features"),
                decides_of_images=("likelihood_ratio", "layer3", "features"),
                contradicts=("true_class_probability", "layer3", "features"),
                at_most=0.5,
            ),
            "membership_tpr.at_1_percent": Entry(
                "TPR at 1 % FPR",
                "True-positive rate: the share of the forget images trained on that an attacker names "
                "while it names 1 % of the others wrongly.",
                "Low is good: 0.01 is chance.",
            ),
            "membership_tpr.at_5_percent": Entry(
                "TPR at 5 % FPR",
                "The same while it names 5 % of the others wrongly.",
                "Low is good: 0.05 is chance.",
            ),
            "membership_tpr.at_1_permille": Entry(
                "TPR at 0.1 % FPR",
                "The same while it names 0.1 % of the others wrongly.",
                "Low is good: 0.001 is chance.",
            ),
            "membership_svc": Entry(
                "Membership by SVC",
                "What most papers call MIA: a support vector classifier learns from retain images "
                "what members look like; given is the share of the forget images trained on that it "
                "takes for non-members.",
                "1 reads as forgotten, but a low probability of the class alone brings it there.",
            ),
        },
    ),
    Level(
        "representation",
        "Representation",
        "Do the features inside still hold the classes?",
        {
            "few_shot_recall": Entry(
                "Few-shot recall",
                "Recall of the forget classes on held-out images by class means in the penultimate "
                "features, where a forget class is known by a few training images only.",
                AS_RETRAINED + " High: the features still hold the class together.",
                decides=ALL,
                unit=as_large,
                contradicts=ALL,
                at_most="kept_few_shot_recall",
            ),
            "kept_few_shot_recall": Entry(
                "Few-shot recall, kept classes",
                "The same of each kept class in the place of a forget class: a quarter of them have less.",
                "A forget class that has more looks like a class that the model was taught.",
            ),
            "probe_recall": Entry(
                "Linear probe",
                "Recall of the forget classes on held-out images by a linear classifier fitted afresh "
                "on the penultimate features of training images.",
                AS_RETRAINED + " Features that never saw a class still tell it apart to a degree.",
            ),
            "knn_recall": Entry(
                "Nearest neighbours",
                "The same by the classes of the nearest training images.",
                AS_RETRAINED,
                decides=ALL,
                unit=as_binomial,
                contradicts=ALL,
                at_most="kept_knn_recall",
            ),
            "kept_knn_recall": Entry(
                "Nearest neighbours, kept classes",
                "The same of each kept class: a quarter of them have less.",
                "A forget class that has more looks like a class that the model was taught.",
            ),
            "early_probe_recall": Entry(
                "Early-layer probe",
                "The linear probe on a layer halfway through the network.",
                AS_RETRAINED,
            ),
            "cka_to_original": Entry(
                "CKA to original",
                "Likeness of a layer to the original's on forget images (centred kernel "
                "alignment): 1 if they agree up to rotation and scale, 0 if they are unrelated.",
                "Tells ancestry: a model that goes back to the original stays alike even where a layer was "
                "trained anew without the class (docs/experiments.md). It does not decide.",
            ),
            "cka_to_retrained": Entry(
                "CKA to retrained",
                "The same likeness to a retrained model's layer.",
                "High is good, up to what retrained models have among themselves.",
            ),
        },
    ),
    Level(
        "relearning",
        "Relearning",
        "How quickly do the classes come back?",
        {
            "relearn_passes": Entry(
                "Passes to relearn",
                "Image passes of fine-tuning with a few forget images until most of the original's "
                "accuracy on the class is back; the whole budget if it never is.",
                AS_RETRAINED
                + " It does not decide: of a model whose output of the class was retired the budget "
                "ends first, whatever its features hold (docs/experiments.md).",
                form="count",
            ),
            "returned_accuracy": Entry(
                "Accuracy that returned",
                "Highest accuracy on forget images while fine-tuning on retain images only: does "
                "the class come back by itself?",
                "Low is good: 0 means that it stays away.",
                contradicts=ALL,
                at_most=0.0,
            ),
        },
    ),
    Level(
        "fresh auditor",
        "Fresh auditor",
        "Can a classifier trained afterwards tell this model from a retrained one?",
        {
            "auditor_auc": Entry(
                "Auditor's AUC",
                "How well a classifier fitted afterwards tells a forget image seen by this "
                "model from one seen by a retrained model, as area under the ROC curve.",
                "Low is good, down to what it tells two retrained models apart by; 0.5 is a coin toss.",
                higher_is_worse=True,
                decides=("outputs",),
                decides_of_images=("outputs",),
                unit=above_half,
                unit_of_images=constant,  # many lie at a coin toss
            ),
        },
    ),
)

# The last part of a figure's name, where a figure comes in variants: title and meaning.
VARIANTS = {
    "true_class_probability": (
        "probability of the true class",
        "The attacker looks at the probability of the class to forget.",
    ),
    "confidence": ("confidence", "The attacker looks at the highest probability."),
    "entropy": ("entropy", "The attacker looks at the entropy of the probabilities."),
    "modified_entropy": (
        "modified entropy",
        "The attacker looks at the entropy given the true class (Song & Mittal 2021).",
    ),
    "logistic_regression": (
        "logistic regression",
        "The attacker fits a linear model to the sorted probabilities and the loss.",
    ),
    "gradient_boosting": (
        "gradient boosting",
        "The attacker fits boosted trees to the sorted probabilities and the loss.",
    ),
    "likelihood_ratio": (
        "likelihood ratio",
        "The attacker compares the odds of the true class with those by retrained models, which never saw the "
        "image (LiRA, Carlini et al. 2022).",
    ),
    "stem": ("stem", "What the first convolution makes, before the blocks or stages."),
    "layer1": (
        "layer 1",
        "A quarter of the way through the network's arithmetic; of a ResNet-18 its first stage.",
    ),
    "layer2": ("layer 2", "Half of the way; of a ResNet-18 its second stage."),
    "layer3": ("layer 3", "Three quarters of the way; of a ResNet-18 its third stage."),
    "outputs": ("outputs", "The probabilities of the kept classes."),
    "features": ("features", "The penultimate features, from which the classes are read."),
}

ENTRIES = {key: entry for level in LEVELS for key, entry in level.figures.items()}


def family(name: str) -> str:
    """Return the key that explains this figure: its name or the longest beginning of it.

    Raises: KeyError if there is none: a figure that nobody explains must not be shown.
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        start = ".".join(parts[:length])
        if start in ENTRIES:
            return start
    raise KeyError(f"audit/catalogue.py does not explain the figure {name!r}")


def entry(name: str) -> Entry:
    """Return a figure's entry. Raises: KeyError as `family`."""
    return ENTRIES[family(name)]


def variant(name: str) -> str:
    """Return the part of a figure's name that is its variant, or an empty string."""
    return name[len(family(name)) + 1 :]


def decides(name: str, *, of_images: bool = False) -> bool:
    """Return whether a figure's reading enters the verdict on whole classes or on single images."""
    chosen = entry(name).decides_of_images if of_images else entry(name).decides
    return chosen is ALL or variant(name) in chosen


def contradicts(name: str) -> bool:
    """Return whether a figure may contradict that the model never saw what was to be forgotten."""
    chosen = entry(name).contradicts
    return chosen is ALL or variant(name) in chosen


def in_metrics(name: str, *, of_images: bool = False) -> bool:
    """Return whether a figure stands in metrics/audit.json: it decides, with retrained models or without."""
    return decides(name, of_images=of_images) or contradicts(name)


def levels(*, of_images: bool = False) -> list[Level]:
    """Return the levels that a verdict needs: those with a figure that decides."""
    return [
        level
        for level in LEVELS
        if any(
            (each.decides_of_images if of_images else each.decides) != ()
            for each in level.figures.values()
        )
    ]


def is_figure(name: str) -> bool:
    """Return whether a name is that of a figure, with a variant that is explained or without one."""
    try:
        return variant(name) in ("", *VARIANTS)
    except KeyError:
        return False


def ordered(names: Iterable[str]) -> list[str]:
    """Return these figures in the order of the catalogue. Raises: KeyError, ValueError for an unknown one."""
    names = list(names)
    return [name for level in LEVELS for name in in_order(names, level)]


def level_of(name: str) -> Level:
    """Return the level that a figure belongs to. Raises: KeyError as `family`."""
    key = family(name)
    return next(level for level in LEVELS if key in level.figures)


def title(name: str) -> str:
    """Return a figure's title for a table, with its variant. Raises: KeyError as `family`."""
    which = variant(name)
    return entry(name).title + (f": {VARIANTS[which][0]}" if which else "")


def in_order(names: Iterable[str], level: Level) -> list[str]:
    """Return those of `names` that belong to a level, in the order of the catalogue."""
    figures, variants = list(level.figures), ["", *VARIANTS]
    chosen = [name for name in names if family(name) in level.figures]
    return sorted(
        chosen, key=lambda name: (figures.index(family(name)), variants.index(variant(name)))
    )


def variants_of(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the title and the meaning of each variant that these figures have, each once."""
    found = {variant(name) for name in names}
    return [meaning for key, meaning in VARIANTS.items() if key in found]
