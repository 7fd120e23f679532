"""The size that suits the images of a source, where params.yaml leaves it to them (`data.image_size: auto`).

Pictures are made about as large as they are, and not larger than the article's 128 pixels: a training costs
four times as much at twice the size.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from unlearning.base.sampling import spread_evenly
from unlearning.settings.data import DataParams
from unlearning.settings.types import AUTO
from unlearning.sources import library
from unlearning.sources.decode import FORMATS
from unlearning.sources.listed import Listed

STEP, LARGEST = 32, 128  # pixels; networks halve an image five times
OF_DRAWINGS = 48  # of 64 they train a third longer, and show no more (docs/experiments.md)
UNKNOWN = 64  # of pictures that cannot be read
LOOKED_AT = 100  # pictures


def chosen(params: DataParams, listed: Sequence[Listed], root: Path) -> int:
    """Return the pixels of a side that images are packed with: as asked for, or as their own sizes suggest.

    By the median of their shorter sides, to the nearest multiple of 32 between 32 and 128.
    """
    if params.image_size != AUTO:
        return params.image_size
    if params.source == "synthetic":
        return OF_DRAWINGS
    sides = _sides(params, listed, root)
    nearest = round(float(np.median(sides or [UNKNOWN])) / STEP) * STEP
    return min(max(nearest, STEP), LARGEST)


def _sides(params: DataParams, listed: Sequence[Listed], root: Path) -> list[int]:
    """Return the shorter sides of some pictures, spread evenly; of files only their headers are read."""
    if params.source in library.SETS:
        return [min(library.Pictures(params, listed[:1])[0].shape[:2])]
    found = []
    for place in spread_evenly(len(listed), LOOKED_AT):
        path = root / listed[place].path
        # A picture that cannot be read is named when it is packed.
        with suppress(Exception):
            # To open a pipe may block for ever.
            if path.is_file():
                with Image.open(path, formats=FORMATS) as image:
                    found.append(min(image.size))
    return found
