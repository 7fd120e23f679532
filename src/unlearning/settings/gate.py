"""The section `gate`."""

import math
from typing import Annotated, ClassVar

from pydantic import Field

from unlearning.settings.types import NonNegative, Number, Section, Share


class GateParams(Section):
    """The limits of `unlearning gate`; none: that figure is not checked.

    No limit may lie above what its figure can reach: 2 for 2 percent would never be broken.
    """

    key: ClassVar[str] = "gate"

    forget_accuracy: Share | None
    retain_loss: Share | None
    js_excess: Annotated[Number, Field(ge=0, le=math.log(2))] | None
    membership_excess: Annotated[Number, Field(ge=0, le=0.5)] | None
    few_shot_excess: Share | None
    cost_ratio: NonNegative | None
