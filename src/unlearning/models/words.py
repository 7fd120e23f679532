"""The words of metrics/train_original.json."""

from enum import StrEnum


class Weights(StrEnum):
    """Where the original's weights come from."""

    TRAINED = "trained here"
    GIVEN = "given"


class Doubt(StrEnum):
    """What validation images say against given weights as they were read."""

    NONE = "no doubt"
    ORDER = "another order fits better"
    NORMALISATION = "another normalisation fits"
    GUESS = "little more than a guess"
