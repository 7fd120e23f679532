"""What the figures amount to: per figure by `limits`, in one word here.

The article's own reading stands beside it (A14 to A19), with whether the two agree.
"""

from collections.abc import Mapping

from unlearning.audit import catalogue
from unlearning.audit.assessment import Accuracies, assess
from unlearning.audit.limits import Reading
from unlearning.audit.words import Band, Comparison, Distance, Verdict

# The article's bands that it reads as success.
ARTICLE_SUCCESS = (Band.EXCELLENT, Band.GOOD)


def verdict(
    accuracies: Accuracies,
    readings: Mapping[str, Reading],
    *,
    of_images: bool = False,
    alone: bool = False,
) -> Verdict:
    """Return the verdict on one model: what accuracy alone says, or how it compares with retrained models.

    `alone`: there are none; `readings` are those of `attacks`.
    """
    found = assess(accuracies, of_images=of_images)
    if found not in (Verdict.FORGOTTEN_AND_KEPT, Verdict.KEPT):
        return found
    measured = decisive(readings)
    # What few images show to differ does differ, whatever else could not be measured.
    if Distance.OUTSIDE in measured.values():
        return Verdict.CONTRADICTED if alone else Verdict.TOLD_APART
    if alone and measured:
        return Verdict.NOT_CONTRADICTED
    needed = {level.key for level in catalogue.levels(of_images=of_images)}
    is_whole = {catalogue.level_of(name).key for name in measured} == needed
    return Verdict.NOT_TOLD_APART if is_whole else Verdict.LIKENESS_UNKNOWN


def decisive(readings: Mapping[str, Reading]) -> dict[str, Distance]:
    """Return the readings of the figures that decide and could be measured."""
    return {
        name: each.reading for name, each in readings.items() if isinstance(each.reading, Distance)
    }


def against_article(article: str, found: Verdict) -> Comparison:
    """Return whether the article's reading, the band of its score, and the verdict agree."""
    success = article in ARTICLE_SUCCESS
    if found in (Verdict.STILL_KNOWN, Verdict.DAMAGED, Verdict.BOTH):
        return Comparison.ARTICLE_BLIND if success else Comparison.BOTH_FAILURE
    if found in (Verdict.TOLD_APART, Verdict.CONTRADICTED):
        return Comparison.ARTICLE_SHORT if success else Comparison.NEITHER_FULL
    if found in (Verdict.NOT_TOLD_APART, Verdict.NOR_THE_ORIGINAL):
        return Comparison.BOTH_SUCCESS if success else Comparison.ARTICLE_STRICT
    return Comparison.NOT_COMPARED
