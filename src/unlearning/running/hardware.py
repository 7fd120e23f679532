"""Which device, which precision, how many threads: decided once per stage, the same way everywhere."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import torch

from unlearning.base import cores
from unlearning.base.errors import UserError
from unlearning.base.waiting import cpu_multiplies_bf16
from unlearning.running import memory


@dataclass(frozen=True)
class Hardware:
    """Where the networks run and in which precision; weights and losses are always fp32."""

    device: torch.device
    bf16: bool

    def autocast(self) -> AbstractContextManager:
        """Return the context in which a network's forward pass runs."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def choose(
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
) -> Hardware:
    """Return the hardware to run on, and make PyTorch use `cores.threads()` and deterministic kernels.

    What a step frees stays with the process (`memory.keep`).

    `auto` takes the GPU if there is one, and bf16 only where the hardware multiplies it natively:
    emulated bf16 trains ResNet-18 four times slower than fp32 on a CPU without AVX512-BF16 or AMX.
    Raises: UserError if `device` is "cuda" and no GPU is usable.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "params.yaml: device is 'cuda', but no CUDA GPU is usable here: use auto or cpu"
        )
    kind = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    torch.set_num_threads(cores.threads())
    memory.keep()
    # cuBLAS needs a fixed workspace to add up in a fixed order; read at its first call.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32
    # Flash and memory-efficient attention add up in no fixed order.
    for kernels in ("cudnn", "flash", "mem_efficient"):
        getattr(torch.backends.cuda, f"enable_{kernels}_sdp")(False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Deterministic mode also fills fresh memory, to show the use of unset values: 8 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    bf16 = precision == "bf16" or (precision == "auto" and native_bf16(kind))
    return Hardware(torch.device(kind), bf16)


def described(hardware: Hardware) -> str:
    """Return what bytes follow from beside inputs and threads: device, precision, instructions, versions."""
    parts = [str(hardware), torch.backends.cpu.get_cpu_capability(), torch.__version__]
    if hardware.device.type == "cuda":
        parts.append(torch.cuda.get_device_name(hardware.device))
    for library in ("torchvision", "timm"):
        try:
            parts.append(f"{library} {version(library)}")
        except PackageNotFoundError:  # timm is an extra
            continue
    return " ".join(parts)


def native_bf16(kind: str) -> bool:
    """Return whether the device multiplies bf16 matrices in hardware."""
    if kind == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    return cpu_multiplies_bf16()
