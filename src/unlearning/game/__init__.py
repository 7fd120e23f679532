"""The adversarial game: a generator that forgets against a discriminator that finds it out.

Source: the article's A4 to A13. One file per recipe, each with its own explicit loop: `article` plays the
game as printed, faults included; `adversarial` is ours.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from unlearning.game import adversarial, article
from unlearning.game.players import Play, Players


@dataclass(frozen=True)
class Recipe:
    """How a game begins and how it is played."""

    init_players: Callable[[nn.Module, int, int], Players]
    play: Play


RECIPES = {
    "adversarial": Recipe(adversarial.init_players, adversarial.play),
    "article": Recipe(article.init_players, article.play),
}
