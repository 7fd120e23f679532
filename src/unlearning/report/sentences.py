"""The words of metrics/ as sentences, with their figures: the same on page, card, terminal and certificate.

A figure has the name that tables give it, never its key. Raises: UserError where metrics are not as a run
writes them, see `metrics.Metrics`.
"""

from collections.abc import Iterable, Mapping

from unlearning.audit import catalogue
from unlearning.audit.words import (
    FORGOTTEN_BELOW,
    LEAST_REFERENCES,
    MEMORY,
    NOT_FAILED,
    Band,
    Comparison,
    Distance,
    RequestKind,
    Unmeasured,
    Verdict,
    confidence_band,
    is_kept,
)
from unlearning.methods.shared.words import Cost, GameWarning
from unlearning.report.metrics import Metrics

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
    Verdict.NOT_TOLD_APART: "forgotten and kept, and not told apart from retraining",
    Verdict.CONTRADICTED: "forgotten and kept by the output, but contradicted",
    Verdict.NOT_CONTRADICTED: "forgotten and kept, and not contradicted",
}
# Of single images, where they say something else.
OUTCOMES_OF_IMAGES = {
    Verdict.STILL_KNOWN: "failed, a class that was forgotten before is known again",
    Verdict.BOTH: "failed, a class that was forgotten before is known again and others are damaged",
    Verdict.DAMAGED: "failed, the others are damaged",
    Verdict.KEPT: "kept; whether single images are forgotten, accuracy does not say",
    Verdict.LIKENESS_UNKNOWN: "kept, but likeness to retraining is not known",
    Verdict.TOLD_APART: "kept, but told apart from retraining",
    Verdict.NOT_TOLD_APART: "kept, and not told apart from retraining",
    Verdict.CONTRADICTED: "kept, but contradicted",
    Verdict.NOT_CONTRADICTED: "kept, and not contradicted",
    Verdict.NOR_THE_ORIGINAL: (
        "kept, and not told apart from retraining; but neither is the original: nothing here shows that it "
        "remembered these images"
    ),
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
        "they disagree in part: the article's score reads as success, but figures that took no part in the "
        "game speak against it"
    ),
    Comparison.ARTICLE_STRICT: (
        "they disagree: the article's score does not read as success, though no decisive figure tells the "
        "model from retraining. The score judges the outputs of the feature extractor, not of the model"
    ),
    Comparison.NOT_COMPARED: "not compared: the audit says too little of the model",
}
NO_DISCRIMINATOR = "in this recipe no discriminator learns"
UNLEARNED_KEY = "accuracy"  # of audit.earlier; others stand there by name
REASONS: Mapping[str, str] = {
    Unmeasured.NO_FLOOR: "no floor: needs 2 retrained models",
    Unmeasured.NEEDS_4_CLASSES: "not measured: needs 4 kept classes",
    Unmeasured.NEVER_KNOWN: "not measured: the original does not know the class",
    Unmeasured.ALL_EQUAL: "not measured: all classes are equal",
}


def verdict(metrics: Metrics) -> str:
    """Return the audit's verdict on the unlearned model, and whether retraining would have been cheaper.

    Forgetting at more than the cost of one retraining is no success: that then stands first.
    """
    word = metrics.word(Verdict, "audit", "verdict")
    forget = metrics.number("audit", "worst_forget_accuracy")
    said = _outcome(metrics, word, forget, metrics.number("evaluate_retain", "test_accuracy"))
    if word in NOT_FAILED:
        said += _compared(metrics, word)
    if metrics.word(Cost, "adversarial_train", "cost_assessment") == Cost.CHEAPER:
        return said
    dearer = _dearer(metrics)
    if word in NOT_FAILED:
        return f"{dearer}. By its figures the model is {said}"
    return f"{said}. It was {dearer}"


def of_images(metrics: Metrics) -> bool:
    """Return whether single images were to be forgotten, not whole classes."""
    return metrics.word(RequestKind, "audit", "request") == RequestKind.IMAGES


def references(metrics: Metrics) -> int:
    """Return how many retrained models the figures stand beside."""
    if isinstance(metrics.get("audit", "retrained"), str):
        return 0
    return int(metrics.number("audit", "retrained", "models"))


def alone(metrics: Metrics) -> bool:
    """Return whether the audit went without retrained models: fewer than two say nothing of their spread."""
    return references(metrics) < LEAST_REFERENCES


def control(metrics: Metrics, name: str) -> str:
    """Return the verdict on a control by its name: "original", "head_edited" or "same_recipe"."""
    forget, retain = (
        metrics.number("audit_figures", f"{role}_accuracy", name) for role in ("forget", "retain")
    )
    word = metrics.word(Verdict, "audit", "verdicts", name)
    return _outcome(metrics, word, forget, retain, name)


def memory(metrics: Metrics) -> str:
    """Return whether its features show that the original memorised single images of the forget classes.

    Where they do not, up to which value they would not: nothing found is no proof. The limit is that of the
    unlearned model, from which the original's own differs by the noise of its images alone.
    """
    word = str(metrics.get("audit", "original", "memory"))
    if word not in list(Distance):
        return f"whether it memorised single images of them is not known: {reason(word)}"
    found = metrics.number("audit_figures", MEMORY, "original")
    unseen = 0.5 if alone(metrics) else metrics.number("audit_figures", MEMORY, "retrained")
    beside = f"(membership AUC {found:.3f}; of models that never saw them {unseen:.3f})"
    if word == Distance.INSIDE:
        most = unseen + metrics.number("audit_figures", MEMORY, "limit")
        return (
            "by its features, no more memory of single images of them is found than with models that never saw "
            f"them {beside}: none would be found up to about {most:.3f}"
        )
    if found < unseen:
        return (
            "by its features, images of them that it was trained on are told from others less well than with "
            f"models that never saw them {beside}: it is not one of these, but that is no memory"
        )
    return f"by its features, images of them that it was trained on are told from others {beside}"


def assessment(metrics: Metrics) -> str:
    """Return our reading by accuracy alone."""
    word = metrics.word(Verdict, "evaluate_forget", "assessment")
    # As the word: of classes the one that is known best.
    forget = (
        metrics.number("evaluate_forget", "train_accuracy")
        if of_images(metrics)
        else metrics.number("audit", "worst_forget_accuracy")
    )
    return _outcome(metrics, word, forget, metrics.number("evaluate_retain", "test_accuracy"))


def article(metrics: Metrics) -> str:
    """Return the article's own reading (A18): the score decides, where a discriminator learned to give one."""
    if not _has_discriminator(metrics):
        return f"none: {NO_DISCRIMINATOR}"
    shares = {
        name: metrics.number("destinations", name, "unlearned")
        for name in metrics.items("destinations")
    }
    most = max(shares, key=shares.__getitem__, default="nothing")
    confidence = metrics.number("evaluate_forget", "confidence_mean")
    return (
        f"{metrics.word(Band, 'evaluate_forget', 'article_assessment')}: score "
        f"{metrics.number('evaluate_forget', 'discriminator_score', 'mean'):.3f}, mostly seen as "
        f"{most}, confidence {confidence:.3f} ({confidence_band(confidence)})"
    )


def comparison(metrics: Metrics) -> str:
    """Return whether the article's reading and the verdict agree, and if not, why the article errs."""
    if not _has_discriminator(metrics):
        return f"not compared: {NO_DISCRIMINATOR}"
    return COMPARISONS[metrics.word(Comparison, "audit", "article_comparison")]


def _has_discriminator(metrics: Metrics) -> bool:
    """Return whether a discriminator learned: before it did its score says nothing."""
    return "discriminator_accuracy" in metrics.items("adversarial_train", "final")


def warning(metrics: Metrics) -> str:
    """Return what went wrong in the game, or "none"."""
    word = metrics.word(GameWarning, "adversarial_train", "warnings")
    found = []
    if word in (GameWarning.WON, GameWarning.WON_AND_COLLAPSED):
        share = metrics.number("adversarial_train", "final", "discriminator_accuracy")
        found.append(
            f"the discriminator won outright: it tells {share:.0%} of the outputs apart, so the generator "
            "still treats forget images in a way of their own"
        )
    if word in (GameWarning.COLLAPSED, GameWarning.WON_AND_COLLAPSED):
        classes = metrics.number("adversarial_train", "final", "effective_classes")
        found.append(
            f"the generator collapsed: it predicts {classes:.1f} classes for retain images"
        )
    return "; ".join(found) or word


def reason(word: str) -> str:
    """Return why there is no figure; a word that says it by itself, or any other text, as it is."""
    return REASONS.get(word, word)


def named(figures: Iterable[str]) -> str:
    """Return figures by name, variants of one together: "Membership AUC (confidence, entropy); Entropy".

    Raises: KeyError if one is not explained.
    """
    figures = list(figures)
    groups: dict[str, list[str]] = {}
    for level in catalogue.LEVELS:
        for name in catalogue.in_order(figures, level):
            title, _, variant = catalogue.title(name).partition(": ")
            groups.setdefault(title, []).extend([variant] if variant else [])
    return "; ".join(
        f"{title} ({', '.join(variants)})" if variants else title
        for title, variants in groups.items()
    )


def _outcome(
    metrics: Metrics, word: Verdict, forget: float, retain: float, model: str = UNLEARNED_KEY
) -> str:
    """Return what a word says of a model with these accuracies; `model`: its key in audit.earlier."""
    begin = _beginning(metrics, word)
    before = metrics.number("evaluate_retain", "original", "test_accuracy")
    if word == Verdict.NOTHING_TO_FORGET:
        original = metrics.number("evaluate_forget", "original", "test_accuracy")
        return f"{begin}: the original's accuracy is {original:.3f}"
    if word == Verdict.ORIGINAL_AT_CHANCE:
        chance = metrics.number("evaluate_retain", "chance")
        naming_one = f"that of always naming one class {chance:.3f}"
        return f"{begin}: its retain accuracy is {before:.3f}, {naming_one}"
    against, asked = f"original {before:.3f}", before
    if "before_first_request" in metrics.items("evaluate_retain"):
        asked = metrics.number("evaluate_retain", "before_first_request", "test_accuracy")
        against += f", before the first request {asked:.3f}"
    measure = metrics.number("evaluate_retain", "kept_against")
    if measure < asked:
        # Of given weights it is no retrained model's, since theirs is another recipe.
        retrained = metrics.get("evaluate_retain", "retrained", "test_accuracy")
        # The mean over images and models, or over models and images, of four digits each.
        is_retrained = isinstance(retrained, float) and abs(measure - retrained) < 1.5e-4
        whose = "retrained" if is_retrained else "less what the request costs retrained models"
        against += f", {whose} {measure:.3f}"
    if word in NOT_FAILED or word == Verdict.KEPT:
        if is_kept(retain, asked):
            return begin
        return f"{begin}, as far as retrained models keep them: retain accuracy {retain:.3f} ({against})"
    known = f"forget accuracy {forget:.3f}, "
    if word in (Verdict.STILL_KNOWN, Verdict.BOTH):
        own = forget
        if model == UNLEARNED_KEY and not of_images(metrics):
            own = metrics.number("evaluate_forget", "test_accuracy")
        again, accuracy = _known_again(metrics, model)
        # That a class is back is read from its own images, not from those that are asked for now.
        if of_images(metrics) or own <= FORGOTTEN_BELOW < accuracy:
            known = again
    figures = f"{known}retain accuracy {retain:.3f} ({against})"
    if word == Verdict.TOO_FEW_IMAGES:
        forget_images, retain_images = (
            f"{metrics.number(f'evaluate_{role}', 'images'):.0f} {role}"
            for role in ("forget", "retain")
        )
        # Single images are asked about themselves.
        of_forget = f"{forget_images} images" if of_images(metrics) else forget_images
        return f"{begin}: {figures}, on {of_forget} and {retain_images} test images"
    return f"{begin}: {figures}"


def _beginning(metrics: Metrics, word: Verdict) -> str:
    return (OUTCOMES | OUTCOMES_OF_IMAGES if of_images(metrics) else OUTCOMES)[word]


def _known_again(metrics: Metrics, model: str) -> tuple[str, float]:
    """Return the earlier request for classes whose images a model knows best, and its accuracy on them.

    Nothing, and 0, of a model that is not tested on them.
    """
    if "earlier" not in metrics.items("audit"):
        return "", 0.0
    known = {
        number: metrics.number("audit", "earlier", number, model)
        for number in metrics.items("audit", "earlier")
        if metrics.word(RequestKind, "audit", "earlier", number, "request") == RequestKind.CLASSES
        and model in metrics.items("audit", "earlier", number)
    }
    if not known:
        return "", 0.0
    best = max(known, key=known.__getitem__)
    return f"accuracy {known[best]:.3f} on the classes of request {best}, ", known[best]


def _compared(metrics: Metrics, verdict: Verdict) -> str:
    """Return how the decisive figures of a model that did not fail compare with their limits."""
    count = references(metrics)
    words = {
        name: metrics.get("audit_figures", name, "reading")
        for name in metrics.items("audit_figures")
        if metrics.get("audit_figures", name, "decisive") == "yes"
    }
    measured = {name for name, word in words.items() if word in list(Distance)}
    outside = [name for name in words if words[name] == Distance.OUTSIDE]
    silent = [
        level.title.lower()
        for level in catalogue.levels(of_images=of_images(metrics))
        if not catalogue.in_order(measured, level)
    ]
    if verdict == Verdict.LIKENESS_UNKNOWN:
        if alone(metrics):
            why = ", ".join(sorted({reason(str(word)) for word in words.values()}))
            return f": none of the attacks that need no retrained model could be measured ({why})"
        return f": not measured: {', '.join(silent)}"
    rates = " and ".join(
        f"{metrics.number('audit', 'error_rates', key):.0%} of "
        f"{metrics.number('audit', 'error_rates', f'{key}_of'):.0f} {models}"
        for key, models in (
            ("false_alarms", "retrained models"),
            ("caught", "originals" if of_images(metrics) else "originals and edited heads"),
        )
    )
    if verdict in (Verdict.CONTRADICTED, Verdict.NOT_CONTRADICTED):
        found = f"{len(outside) or 'any'} of {len(measured)} attacks that need no retrained model"
        found += f": {named(outside)}" if outside else ""
        return f" by {found}. {_power(metrics, verdict)} (in trials on other data they contradicted {rates})"
    limits = f"further from {count} retrained models than one more would"
    found = (
        f"{len(outside)} of {len(measured)} decisive figures lie {limits}: {named(outside)}"
        if outside
        else f"none of {len(measured)} decisive figures lies {limits}"
    )
    return f": {found} (in trials on other data the audit told apart {rates})"


def _power(metrics: Metrics, verdict: Verdict) -> str:
    """Return whether attacks without a reference catch here what was never made to forget."""
    control, words = (
        ("original", "the original")
        if of_images(metrics)
        else ("head_edited", "the original with its last layer edited")
    )
    word = metrics.word(Verdict, "audit", "verdicts", control)
    if word == Verdict.CONTRADICTED:
        return f"They do contradict {words}"
    if word != Verdict.NOT_CONTRADICTED:
        return f"They were not read of {words}: {_beginning(metrics, word)}"
    begin = "Nor do they" if verdict == Verdict.NOT_CONTRADICTED else "They do not"
    return f"{begin} contradict {words}: here they cannot tell"


def _dearer(metrics: Metrics) -> str:
    work = metrics.number("adversarial_train", "cost_ratio")
    kept = ", such as those in models/retrained" if references(metrics) else ""
    return (
        f"dearer than retraining: {work:.0%} of the work of one. Take a model retrained without the forget "
        f"images instead{kept}"
    )
