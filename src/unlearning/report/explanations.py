"""What each figure of the audit means, in a sentence, and which direction is good.

A figure's name is its path in metrics/audit.json, joined by dots. It is explained under its own name or
under the longest beginning of it that stands in `FIGURES`; the rest of the name is its variant.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """A figure's title for tables, its meaning and its good direction; both are whole sentences."""

    title: str
    meaning: str
    good: str


@dataclass(frozen=True)
class Level:
    """A part of the audit: a title, the question it asks, and the figures that answer it, in order."""

    key: str
    title: str
    question: str
    figures: tuple[str, ...]


AS_RETRAINED = "Good is what the retrained models have, neither less nor more."

FIGURES = {
    "js_to_retrained": Explanation(
        "Divergence from retrained",
        "Mean Jensen–Shannon divergence between the probabilities that this model and a retrained one "
        "give the same forget test image, in nats (at most ln 2).",
        "Low is good: 0 means the same answers.",
    ),
    "destination_tv": Explanation(
        "Destinations, total variation",
        "The share of forget test images that would have to be predicted as another class for the "
        "predicted classes to be spread as a retrained model spreads them.",
        "Low is good: 0 means the same destinations.",
    ),
    "confidence_mean": Explanation(
        "Confidence",
        "Mean probability of the predicted class on forget test images.",
        AS_RETRAINED,
    ),
    "entropy_mean": Explanation(
        "Entropy",
        "Mean entropy of the predicted probabilities on forget test images, in nats: 0 is certain, "
        "the logarithm of the number of classes is a guess.",
        AS_RETRAINED,
    ),
    "agreement_with_original": Explanation(
        "Agreement with original",
        "Share of retain test images that are given the same class as by the original model.",
        AS_RETRAINED,
    ),
    "agreement_with_retrained": Explanation(
        "Agreement with retrained",
        "Share of retain test images that are given the same class as by a retrained model.",
        "High is good, up to what retrained models agree among themselves.",
    ),
    "calibration_error": Explanation(
        "Calibration error",
        "Expected calibration error on retain test images: how far the confidence is from the share "
        "of right answers, on average.",
        "Low is good: 0 means that the confidence can be taken at its word.",
    ),
    "retain_loss": Explanation(
        "Loss of retain accuracy",
        "Test accuracy on the kept classes that was lost against the original model.",
        "Low is good; below 0 the model has become better at them.",
    ),
    "zrf": Explanation(
        "Zero-retrain score (ZRF)",
        "One minus the mean Jensen–Shannon divergence from a network of random weights on forget test "
        "images; shown to compare with papers.",
        AS_RETRAINED,
    ),
    "membership_auc": Explanation(
        "AUC",
        "How well an attacker tells forget images that were trained on from those that were not, as "
        "area under the curve.",
        "0.5 is good: the attacker tosses a coin.",
    ),
    "membership_tpr.at_1_percent": Explanation(
        "TPR at 1 % FPR",
        "True-positive rate: the share of the forget images trained on that an attacker names while "
        "it names 1 % of the others wrongly; what it knows almost for certain.",
        "Low is good: 0.01 is chance.",
    ),
    "membership_tpr.at_5_percent": Explanation(
        "TPR at 5 % FPR",
        "The same while it names 5 % of the others wrongly.",
        "Low is good: 0.05 is chance.",
    ),
    "membership_svc": Explanation(
        "SVC variant",
        "The attack most papers print: a support vector classifier learns members from retain images; "
        "given is the share of the forget images trained on that it takes for non-members.",
        AS_RETRAINED,
    ),
    "probe_recall": Explanation(
        "Linear probe",
        "Recall of the forget classes by a linear classifier fitted afresh on the last features of "
        "training images, tested on held-out ones.",
        AS_RETRAINED + " Features that never saw a class still tell it apart to a degree.",
    ),
    "early_probe_recall": Explanation(
        "Early-layer probe",
        "The same on the features of an early layer.",
        AS_RETRAINED,
    ),
    "few_shot_recall": Explanation(
        "Few-shot recall",
        "Recall of the forget classes on held-out images when a few labelled forget images are all "
        "that a classifier on the last features is given.",
        AS_RETRAINED + " High: a few examples bring the class back.",
    ),
    "knn_recall": Explanation(
        "Nearest neighbours",
        "Recall of the forget classes by the nearest training images in the last features.",
        AS_RETRAINED,
    ),
    "cka_to_original": Explanation(
        "CKA to original",
        "Likeness of a layer's features of forget test images to the original's (centred kernel "
        "alignment): 1 is the same up to rotation and scale.",
        AS_RETRAINED + " Near 1 where retrained models are lower: the layer was left as it was.",
    ),
    "cka_to_retrained": Explanation(
        "CKA to retrained",
        "The same likeness to a retrained model's features.",
        "High is good, up to what retrained models have among themselves.",
    ),
    "relearn_passes": Explanation(
        "Passes to relearn",
        "Image passes of fine-tuning with a few forget images until the class is back at the set "
        "fraction of the original's accuracy.",
        "High is good, up to what a retrained model needs to learn it for the first time.",
    ),
    "returned_accuracy": Explanation(
        "Accuracy that returned",
        "Accuracy on forget test images after fine-tuning on retain images only: does the class come "
        "back by itself?",
        "Low is good: 0 means that it stays away.",
    ),
    "auditor_auc": Explanation(
        "AUC of the auditor",
        "How well a classifier fitted after the unlearning tells a held-out forget image seen through "
        "this model from one seen through a retrained model, as area under the curve.",
        "Low is good: 0.5 means that the two cannot be told apart.",
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
        "The attacker fits a linear model to the sorted probabilities and the loss, cross-validated.",
    ),
    "gradient_boosting": (
        "gradient boosting",
        "The attacker fits boosted trees to the sorted probabilities and the loss, cross-validated.",
    ),
    "mlp": (
        "small network",
        "The attacker fits a small network to the sorted probabilities and the loss, cross-validated.",
    ),
    "stem": ("stem", "The first convolution, before the residual stages."),
    "layer1": ("layer 1", "After the first residual stage."),
    "layer2": ("layer 2", "After the second residual stage."),
    "layer3": ("layer 3", "After the third residual stage."),
    "layer4": ("layer 4", "After the fourth residual stage."),
    "features": ("features", "The penultimate features, from which the classes are read."),
    "outputs": ("outputs", "The predicted probabilities."),
}

LEVELS = (
    Level(
        "output",
        "Output",
        "Does the model answer as one that never saw the classes?",
        (
            "js_to_retrained",
            "destination_tv",
            "confidence_mean",
            "entropy_mean",
            "agreement_with_original",
            "agreement_with_retrained",
            "calibration_error",
            "retain_loss",
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
        "auditor",
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
