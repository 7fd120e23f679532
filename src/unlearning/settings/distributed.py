"""The section `distributed`."""

from typing import ClassVar

from unlearning.settings.types import CountOrAuto, Section


class DistributedParams(Section):
    """How many processes train one network together."""

    key: ClassVar[str] = "distributed"

    processes: CountOrAuto
