"""The words of metrics/adversarial_train.json."""

from enum import StrEnum


class Cost(StrEnum):
    """The work of forgetting against that of one retraining."""

    CHEAPER = "cheaper than retraining"
    DEARER = "dearer than retraining"


class GameWarning(StrEnum):
    """What went wrong by the last epoch of the game."""

    NONE = "none"
    WON = "discriminator won outright"
    COLLAPSED = "generator collapsed"
    WON_AND_COLLAPSED = "won outright and collapsed"
