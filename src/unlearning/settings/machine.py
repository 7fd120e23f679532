"""Where it runs: `device` and `precision`, at the top level of params.yaml."""

from typing import Literal

from unlearning.settings.types import Section


class MachineParams(Section):
    """`auto`: the GPU if there is one, bf16 where the hardware multiplies it natively."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "bf16"]
