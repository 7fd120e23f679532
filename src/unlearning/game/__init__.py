"""The adversarial game: a generator that forgets against a discriminator that finds it out.

Source: the article's A4 to A13. One module per recipe, each with its own explicit loop: `article` plays
the game as printed, faults included; `adversarial` is ours. Each has

- `init_players(original, class_count, seed)`: the networks before the game, and
- `play(players, data, params, hardware, report)`: the game; the caller's networks are left untouched.
"""

from unlearning.game import adversarial, article

RECIPES = {"adversarial": adversarial, "article": article}
