"""The words that may stand in metrics/: few, short, each once."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from unlearning.audit import words
from unlearning.methods.shared import words as methods_words
from unlearning.models import words as models_words

LONGEST = 30  # a cell of `dvc metrics diff`


def word_kinds() -> list[type[StrEnum]]:
    """Return every list of words that may stand in metrics/."""
    return [
        kind
        for module in (words, methods_words, models_words)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, StrEnum) and kind is not StrEnum
    ]


def strings(values: Any) -> set[str]:
    """Return every text among a metrics file's values, names left out."""
    if isinstance(values, dict):
        return set().union(*map(strings, values.values()))
    return {values} if isinstance(values, str) else set()


def assert_words_alone(root: Path) -> None:
    """Assert that every text in a run's metrics is one of the words."""
    allowed = {word for kind in word_kinds() for word in kind}
    files = list((root / "metrics").glob("*.json"))
    assert files
    for path in files:
        assert strings(json.loads(path.read_text())) <= allowed, path.name


def test_words_are_short_and_mean_one_thing():
    """Must fail if a sentence becomes a word, or one word stands for two things."""
    kinds = word_kinds()
    assert len(kinds) == 10
    everything = [word for kind in kinds for word in kind]
    assert all(0 < len(word) <= LONGEST for word in everything)
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize(
    ("score", "word"),
    [
        (0.0, "excellent"), (0.0999, "excellent"), (0.1, "good"), (0.2999, "good"), (0.3, "partial"),
        (0.4999, "partial"), (0.5, "weak"), (0.6999, "weak"), (0.7, "failed"), (1.0, "failed"),
    ],
)  # fmt: skip
def test_a_score_has_the_word_of_its_band(score, word):
    """Must fail if a bound moves, or belongs to the band below it."""
    assert words.score_band(score) == word


@pytest.mark.parametrize(
    ("confidence", "word"),
    [
        (0.1, "low"), (0.345, "low"), (0.4999, "low"), (0.5, "medium"), (0.7999, "medium"),
        (0.8, "high"), (1.0, "high"),
    ],
)  # fmt: skip
def test_a_confidence_has_the_word_of_its_band(confidence, word):
    """Must fail if a bound moves; 0.345 is "low" in the article (A18)."""
    assert words.confidence_band(confidence) == word
