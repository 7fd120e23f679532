"""What each figure of the audit means, in a sentence, and which direction is good.

A figure's name is its path in metrics/audit.json, joined by dots. It is explained under its own name or
under the longest beginning of it that stands in `FIGURES`; the rest of the name is its variant.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """A figure's title for tables, its meaning and its good direction; both are whole sentences.

    `form`: how its values are written, see `quoting.shown`.
    """

    title: str
    meaning: str
    good: str
    form: str = ""


@dataclass(frozen=True)
class Level:
    """A part of the audit: its name there, a title, a question, and the figures that answer it, in order."""

    key: str
    title: str
    question: str
    figures: tuple[str, ...]


AS_RETRAINED = "Good is what the retrained models have, neither less nor more."
ONE_SIDED = "only what is worse than retrained counts as distance."

FIGURES = {
    "forget_accuracy": Explanation(
        "Forget accuracy",
        "Share of forget test images that are given their own class.",
        f"Low is good; {ONE_SIDED}",
    ),
    "retain_accuracy": Explanation(
        "Retain accuracy",
        "Share of retain test images that are given their own class.",
        f"High is good; {ONE_SIDED}",
    ),
    "js_to_retrained": Explanation(
        "Divergence from retrained",
        "Mean Jensen–Shannon divergence between the probabilities that this model and a retrained one "
        "give the same forget test image, in nats (at most ln 2).",
        "Low is good: 0 means the same answers.",
    ),
    "destination_tv": Explanation(
        "Destinations, total variation",
        "Share of forget test images that would have to be predicted otherwise for the predicted classes "
        "to be spread as a retrained model spreads them.",
        "Low is good: 0 means the same destinations.",
    ),
    "confidence_mean": Explanation(
        "Confidence",
        "Mean probability of the predicted class on forget test images.",
        AS_RETRAINED,
    ),
    "entropy_mean": Explanation(
        "Entropy",
        "Mean entropy of the probabilities on forget test images, in nats: 0 is certain, the logarithm "
        "of the number of classes is a guess.",
        AS_RETRAINED,
    ),
    "agreement_with_original": Explanation(
        "Agreement with original",
        "Share of retain test images that are given the same class as by the original.",
        f"High is good; {ONE_SIDED}",
    ),
    "agreement_with_retrained": Explanation(
        "Agreement with retrained",
        "Share of retain test images that are given the same class as by a retrained model.",
        "High is good, up to what retrained models agree among themselves.",
    ),
    "calibration_error": Explanation(
        "Calibration error",
        "Expected calibration error on retain test images: how far confidence and the share of right "
        "answers lie apart.",
        f"Low is good; {ONE_SIDED}",
    ),
    "zrf": Explanation(
        "Zero-retrain score (ZRF)",
        "One minus the mean Jensen–Shannon divergence from a network of random weights on forget test "
        "images; shown to compare with papers.",
        AS_RETRAINED,
    ),
    "membership_auc": Explanation(
        "Membership AUC",
        "How well an attacker tells forget images that were trained on from those that were not, as "
        "area under the ROC curve.",
        "0.5 is good: the attacker tosses a coin. Below, it errs, which an attacker can turn round.",
    ),
    "membership_tpr.at_1_percent": Explanation(
        "TPR at 1 % FPR",
        "True-positive rate: the share of the forget images trained on that an attacker names while it "
        "names 1 % of the others wrongly.",
        "Low is good: 0.01 is chance.",
    ),
    "membership_tpr.at_5_percent": Explanation(
        "TPR at 5 % FPR",
        "The same while it names 5 % of the others wrongly.",
        "Low is good: 0.05 is chance.",
    ),
    "membership_svc": Explanation(
        "Membership by SVC",
        "What most papers call MIA: a support vector classifier learns from retain images what members "
        "look like; given is the share of the forget images trained on that it takes for non-members.",
        "1 reads as forgotten, but a low probability of the class alone brings it there.",
    ),
    "few_shot_recall": Explanation(
        "Few-shot recall",
        "Recall of the forget classes on held-out images by class means in the penultimate features, "
        "where a forget class is known by a few training images only.",
        AS_RETRAINED + " High: the features still hold the class together.",
    ),
    "probe_recall": Explanation(
        "Linear probe",
        "Recall of the forget classes on held-out images by a linear classifier fitted afresh on the "
        "penultimate features of training images.",
        AS_RETRAINED + " Features that never saw a class still tell it apart to a degree.",
    ),
    "knn_recall": Explanation(
        "Nearest neighbours",
        "The same by the classes of the nearest training images.",
        AS_RETRAINED,
    ),
    "early_probe_recall": Explanation(
        "Early-layer probe",
        "The linear probe on an early layer, after the second residual stage.",
        AS_RETRAINED,
    ),
    "cka_to_original": Explanation(
        "CKA to original",
        "Likeness of a layer to the original's on forget test images (centred kernel alignment): 1 if "
        "they agree up to rotation and scale, 0 if they are unrelated.",
        AS_RETRAINED + " Near 1 where retrained models are lower: the layer was left as it was.",
    ),
    "cka_to_retrained": Explanation(
        "CKA to retrained",
        "The same likeness to a retrained model's layer.",
        "High is good, up to what retrained models have among themselves.",
    ),
    "relearn_passes": Explanation(
        "Passes to relearn",
        "Image passes of fine-tuning with a few forget images until most of the original's accuracy on "
        "the class is back; the whole budget if it never is.",
        AS_RETRAINED + " Fewer: something of the class was left to build on.",
        form="count",
    ),
    "returned_accuracy": Explanation(
        "Accuracy that returned",
        "Highest accuracy on forget test images while fine-tuning on retain images only: does the class "
        "come back by itself?",
        f"Low is good: 0 means that it stays away; {ONE_SIDED}",
    ),
    "auditor_auc": Explanation(
        "Auditor's AUC",
        "How well a classifier fitted afterwards tells a held-out forget image seen by this model from "
        "one seen by a retrained model, as area under the ROC curve.",
        "Low is good, down to what it tells two retrained models apart by; 0.5 is a coin toss.",
    ),
}

# The last part of a figure's name, where a figure comes in variants.
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
    "stem": ("stem", "The first convolution, before the residual stages."),
    "layer1": ("layer 1", "After the first residual stage."),
    "layer2": ("layer 2", "After the second residual stage."),
    "layer3": ("layer 3", "After the third residual stage."),
    "outputs": ("outputs", "The probabilities of the kept classes."),
    "features": ("features", "The penultimate features, from which the classes are read."),
}

LEVELS = (
    Level(
        "output",
        "Output",
        "Does the model answer as one that never saw the classes?",
        (
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
    ),
    Level(
        "membership",
        "Membership attacks",
        "Can an attacker tell which forget images were trained on?",
        (
            "membership_auc",
            "membership_tpr.at_1_percent",
            "membership_tpr.at_5_percent",
            "membership_svc",
        ),
    ),
    Level(
        "representation",
        "Representation",
        "Do the features inside still hold the classes?",
        (
            "few_shot_recall",
            "probe_recall",
            "knn_recall",
            "early_probe_recall",
            "cka_to_original",
            "cka_to_retrained",
        ),
    ),
    Level(
        "relearning",
        "Relearning",
        "How quickly do the classes come back?",
        ("relearn_passes", "returned_accuracy"),
    ),
    Level(
        "fresh auditor",
        "Fresh auditor",
        "Can a classifier trained afterwards tell this model from a retrained one?",
        ("auditor_auc",),
    ),
)


def family(name: str) -> str:
    """Return the key of `FIGURES` that explains this figure: its name or the longest beginning of it.

    Raises: KeyError if none does, for a figure that nobody explains must not be printed.
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        start = ".".join(parts[:length])
        if start in FIGURES:
            return start
    raise KeyError(f"report/explanations.py does not explain the figure {name!r}")


def title(name: str) -> str:
    """Return a figure's title for a table, with its variant. Raises: KeyError as `family`."""
    start = family(name)
    variant = name[len(start) + 1 :]
    return FIGURES[start].title + (f": {VARIANTS[variant][0]}" if variant else "")


def form(name: str) -> str:
    """Return how a figure's values are written. Raises: KeyError as `family`."""
    return FIGURES[family(name)].form


def in_order(names: Iterable[str], level: Level) -> list[str]:
    """Return those of `names` that belong to a level, in the order of `LEVELS` and `VARIANTS`."""
    variants = list(VARIANTS)

    def place(name: str) -> tuple[int, int]:
        start = family(name)
        variant = name[len(start) + 1 :]
        return level.figures.index(start), variants.index(variant) if variant else -1

    return sorted((name for name in names if family(name) in level.figures), key=place)


def variants_of(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the title and the meaning of each variant that these figures have, each once."""
    found = {name[len(family(name)) + 1 :] for name in names}
    return [meaning for key, meaning in VARIANTS.items() if key in found]
