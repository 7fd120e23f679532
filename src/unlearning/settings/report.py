"""The section `report`."""

from typing import Annotated, ClassVar

from pydantic import Field

from unlearning.settings.types import Section


class ReportParams(Section):
    """What the report shows."""

    key: ClassVar[str] = "report"

    forget_images: Annotated[int, Field(ge=0, le=10)]  # the audit keeps so many
