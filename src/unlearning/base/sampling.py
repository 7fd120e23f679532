"""Which of many to take, where some will do."""

import numpy as np


def spread_evenly(available: int, most: int) -> np.ndarray:
    """Return up to `most` positions out of `available`, as evenly spread as whole numbers allow."""
    count = min(available, most)
    return np.arange(count) * available // max(count, 1)
