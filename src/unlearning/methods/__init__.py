"""Methods that make a model forget, a file each, found by their file's name. Source: the article's A4 to A13.

Each has

- `init_players(original, seed, noise)`: the networks before the game, and
- `unlearn(original, data, params, run)`: the unlearned model, in eval mode on the CPU. What it is given is left
  untouched; what else it makes (curve, discriminator, counts) it leaves in `run` (`shared/game.py`).

Nothing of a method is imported here: who reads `shared/words.py` or `shared/cost.py` needs no PyTorch.
"""

import importlib
from types import ModuleType


def load(name: str) -> ModuleType:
    """Return the method's module."""
    return importlib.import_module(f"{__name__}.{name}")
