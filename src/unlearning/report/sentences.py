"""The words of metrics/ as sentences, with their figures: the same on page, card, terminal and certificate.

`tree` holds the contents of each metrics file by its name without suffix. A figure has the name that tables
give it, never its key. Raises, where the tree is not as a run writes it: LookupError, TypeError, ValueError.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from unlearning.report import explanations
from unlearning.words import (
    SUCCESSES,
    Comparison,
    Cost,
    Distance,
    GameWarning,
    Unmeasured,
    Verdict,
    confidence_band,
)

Tree = Mapping[str, Any]

# Beginnings, to which `_outcome` adds the figures.
OUTCOMES = {
    Verdict.NOTHING_TO_FORGET: "nothing to forget",
    Verdict.ORIGINAL_AT_CHANCE: "no verdict, the original knows the kept classes no better than chance",
    Verdict.TOO_FEW_IMAGES: "no verdict, too few images to tell",
    Verdict.STILL_KNOWN: "failed, the class is still known",
    Verdict.DAMAGED: "failed, forgot the class but damaged the others",
    Verdict.BOTH: "failed, neither forgotten nor kept",
    Verdict.FORGOTTEN_AND_KEPT: "forgotten and kept",
    Verdict.LIKENESS_UNKNOWN: "forgotten and kept by the output, but likeness to retraining is not known",
    Verdict.TOLD_APART: "forgotten and kept by the output, but told apart from retraining",
    Verdict.CLOSE: "forgotten and kept, close to retraining",
    Verdict.AS_RETRAINED: "forgotten and kept as by retraining",
}
COMPARISONS = {
    Comparison.BOTH_SUCCESS: "they agree: success",
    Comparison.BOTH_FAILURE: "they agree: failure",
    Comparison.NEITHER_FULL: "neither reads as full success",
    Comparison.ARTICLE_BLIND: (
        "they disagree: the article's score reads as success, but the model failed. The score judges the "
        "outputs of the feature extractor, never looks at retain images, and comes from the discriminator "
        "that took part in the game"
    ),
    Comparison.ARTICLE_SHORT: (
        "they disagree in part: the article's score reads as success; by accuracy it is one, but figures that "
        "took no part in the game lie outside what retraining does"
    ),
    Comparison.ARTICLE_STRICT: (
        "they disagree: the article's score does not read as success, though no decisive figure tells the "
        "model from retraining. The score judges the outputs of the feature extractor, not of the model"
    ),
    Comparison.NOT_COMPARED: "not compared: the audit says too little of the model",
}
REASONS: Mapping[str, str] = {
    Unmeasured.NO_FLOOR: "no floor: needs 2 retrained models",
    Unmeasured.NEEDS_4_CLASSES: "not measured: needs 4 kept classes",
    Unmeasured.NEVER_KNOWN: "not measured: the original does not know the class",
    Unmeasured.KNOWN_AT_ONCE: "not measured: retrained models know the class before the first pass",
    Unmeasured.ALL_EQUAL: "not measured: all classes are equal",
}


def verdict(tree: Tree) -> str:
    """Return the audit's verdict on the unlearned model, and whether retraining would have been cheaper.

    Forgetting at more than the cost of one retraining is no success: that then stands first.
    """
    audit = tree["audit"]
    word = audit["verdict"]
    said = _outcome(tree, word, audit["worst_forget_accuracy"], audit["retain_accuracy"])
    if word in SUCCESSES:
        said += _compared(audit)
    if tree["adversarial_train"]["cost_assessment"] == Cost.CHEAPER:
        return said
    dearer = _dearer(tree)
    if word in SUCCESSES:
        return f"{dearer}. By its figures the model is {said}"
    return f"{said}. It was {dearer}"


def control(tree: Tree, name: str) -> str:
    """Return the verdict on a control, a model that must be caught: "original" or "head_edited"."""
    audit = tree["audit"]
    word, figures = audit["verdicts"][name], audit[name]
    return _outcome(tree, word, figures["forget_accuracy"], figures["retain_accuracy"])


def assessment(tree: Tree) -> str:
    """Return our reading by accuracy alone."""
    forget, retain = tree["evaluate_forget"], tree["evaluate_retain"]
    return _outcome(tree, forget["assessment"], forget["test_accuracy"], retain["test_accuracy"])


def article(tree: Tree) -> str:
    """Return the article's own reading (A18): the score decides."""
    forget = tree["evaluate_forget"]
    shares = dict(forget["destinations"])
    most = max(shares, key=shares.__getitem__)
    confidence = forget["confidence_mean"]
    return (
        f"{forget['article_assessment']}: score {forget['discriminator_score']['mean']:.3f}, mostly seen as "
        f"{most}, confidence {confidence:.3f} ({confidence_band(confidence)})"
    )


def comparison(tree: Tree) -> str:
    """Return whether the article's reading and the verdict agree, and if not, why the article errs."""
    return COMPARISONS[tree["audit"]["article_comparison"]]


def warning(tree: Tree) -> str:
    """Return what went wrong in the game, or "none"."""
    game = tree["adversarial_train"]
    found = []
    if game["warnings"] in (GameWarning.WON, GameWarning.WON_AND_COLLAPSED):
        found.append(
            f"the discriminator won outright: it tells {game['final']['discriminator_accuracy']:.0%} of the "
            "outputs apart, so the generator still treats forget images in a way of their own"
        )
    if game["warnings"] in (GameWarning.COLLAPSED, GameWarning.WON_AND_COLLAPSED):
        found.append(
            f"the generator collapsed: it predicts {game['final']['effective_classes']:.1f} classes for "
            "retain images"
        )
    return "; ".join(found) or GameWarning(game["warnings"])


def reason(word: str) -> str:
    """Return why there is no figure; a word that says it by itself, or any other text, as it is."""
    return REASONS.get(word, word)


def named(figures: Iterable[str]) -> str:
    """Return figures by name, variants of one together: "Membership AUC (confidence, entropy); Entropy".

    Raises: KeyError if one is not explained.
    """
    figures = list(figures)
    groups: dict[str, list[str]] = {}
    for level in explanations.LEVELS:
        for name in explanations.in_order(figures, level):
            title, _, variant = explanations.title(name).partition(": ")
            groups.setdefault(title, []).extend([variant] if variant else [])
    return "; ".join(
        f"{title} ({', '.join(variants)})" if variants else title
        for title, variants in groups.items()
    )


def _outcome(tree: Tree, word: str, forget: float, retain: float) -> str:
    """Return what a word says of a model with these accuracies."""
    begin = OUTCOMES[Verdict(word)]
    if word in SUCCESSES:
        return begin
    before, after = tree["evaluate_forget"], tree["evaluate_retain"]
    known = after["original"]["test_accuracy"]
    if word == Verdict.NOTHING_TO_FORGET:
        return f"{begin}: the original's accuracy is {before['original']['test_accuracy']:.3f}"
    if word == Verdict.ORIGINAL_AT_CHANCE:
        naming_one = f"that of always naming one class {after['chance']:.3f}"
        return f"{begin}: its retain accuracy is {known:.3f}, {naming_one}"
    figures = f"forget accuracy {forget:.3f}, retain accuracy {retain:.3f} (original {known:.3f})"
    if word == Verdict.TOO_FEW_IMAGES:
        return f"{begin}: {figures}, on {before['images']} forget and {after['images']} retain test images"
    return f"{begin}: {figures}"


def _compared(audit: Tree) -> str:
    """Return how the decisive figures of a model that did not fail compare with the floor."""
    count = _references(audit)
    floor = f"the floor of {count} retrained models"
    readings = {
        name: each for name, each in dict(audit["readings"]).items() if isinstance(each, Mapping)
    }
    words = {name: each["reading"] for name, each in readings.items() if each["decisive"]}
    measured = {name for name, word in words.items() if word in set(Distance)}
    outside, near = (
        [name for name in words if words[name] == word]
        for word in (Distance.OUTSIDE, Distance.NEAR)
    )
    if audit["verdict"] == Verdict.LIKENESS_UNKNOWN:
        silent = [
            level.title.lower()
            for level in explanations.LEVELS
            if not explanations.in_order(measured, level)
        ]
        if count < 2:
            return f": it takes 2 retrained models, and there {'is' if count else 'are'} {count}"
        return f": not measured: {', '.join(silent)}"
    if outside:
        return f": {len(outside)} of {len(measured)} decisive figures lie outside {floor}: {named(outside)}"
    if near:
        return (
            f": no decisive figure lies outside {floor}, {len(near)} of {len(measured)} near it: "
            f"{named(near)}"
        )
    return f": all {len(measured)} decisive figures lie inside {floor}"


def _references(audit: Tree) -> int:
    found = audit["retrained"]
    return 0 if isinstance(found, str) else int(found["models"])


def _dearer(tree: Tree) -> str:
    work = tree["adversarial_train"]["work_ratio"]
    kept = (
        "" if isinstance(tree["audit"]["retrained"], str) else ", such as those in models/retrained"
    )
    return (
        f"dearer than retraining: {work:.0%} of the work of one. Take a model retrained without the forget "
        f"images instead{kept}"
    )
