"""Device and precision follow the request, then the machine."""

import pytest
import torch

from unlearning.base import cores, waiting
from unlearning.base.errors import UserError
from unlearning.running import hardware

pytestmark = pytest.mark.usefixtures("restored_torch")


def gpu(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)


def test_cuda_without_a_gpu_is_refused(monkeypatch):
    """Must fail if the run falls back to the CPU unasked, or torch's own exception escapes."""
    gpu(monkeypatch, there=False)
    with pytest.raises(UserError, match="device is 'cuda', but no CUDA GPU is usable"):
        hardware.choose("cuda")


def test_what_bytes_follow_from_is_named(monkeypatch):
    """Must fail if a state of another GPU, another set of instructions or another timm is taken up."""
    on_gpu = hardware.Hardware(torch.device("cuda"), bf16=True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "H200")
    before = hardware.described(on_gpu)
    for place, name in (
        (torch.cuda, "get_device_name"), (torch.backends.cpu, "get_cpu_capability"), (hardware, "version")
    ):  # fmt: skip
        with monkeypatch.context() as changed:
            changed.setattr(place, name, lambda *_: "another")
            assert hardware.described(on_gpu) != before


@pytest.mark.parametrize(
    ("asked", "there", "device"),
    [
        ("auto", True, "cuda"), ("auto", False, "cpu"),
        ("cpu", True, "cpu"), ("cpu", False, "cpu"), ("cuda", True, "cuda"),
    ],
)  # fmt: skip
def test_auto_takes_a_gpu_if_there_is_one(monkeypatch, asked, there, device):
    """Must fail if `cpu` is overruled, or `auto` never takes the GPU."""
    gpu(monkeypatch, there)
    monkeypatch.setattr(hardware, "native_bf16", lambda kind: False)
    assert hardware.choose(asked).device.type == device


@pytest.mark.parametrize(
    ("asked", "native", "bf16"),
    [
        ("auto", True, True), ("auto", False, False),
        ("bf16", False, True), ("fp32", True, False),
    ],
)  # fmt: skip
def test_auto_takes_bf16_only_where_it_is_native(monkeypatch, asked, native, bf16):
    """Must fail if emulated bf16 is taken unasked, or the person's choice is overruled."""
    monkeypatch.setattr(hardware, "native_bf16", lambda kind: native)
    assert hardware.choose("cpu", asked).bf16 == bf16


@pytest.mark.parametrize(
    ("cpuinfo", "native"),
    [
        ("model name: x\nflags\t\t: fpu avx512_bf16 amx_tile\n", True),
        ("flags : fpu amx_bf16\n", True),
        ("flags : fpu avx2 avx512f avx512_vnni\n", False),
        ("flags : fpu not_avx512_bf16x\n", False),
        ("Features : fp asimd\n", False),
        ("", False),
        (None, False),
    ],
)
def test_native_bf16_of_a_cpu_is_read_from_its_flags(tmp_path, monkeypatch, cpuinfo, native):
    """Must fail if plain AVX-512 counts, or a machine without /proc/cpuinfo stops the run."""
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(waiting, "CPU", path)
    assert hardware.native_bf16("cpu") == native


@pytest.mark.parametrize(
    ("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_native_bf16_of_a_gpu_begins_with_ampere(monkeypatch, capability, native):
    """Must fail if Turing, which emulates it, counts."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert hardware.native_bf16("cuda") == native


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_a_forward_pass_runs_in_the_chosen_precision(precision, dtype):
    """Must fail if autocast ignores the choice."""
    layer = torch.nn.Linear(2, 2)
    with hardware.choose("cpu", precision).autocast():
        assert layer(torch.ones(1, 2)).dtype == dtype
    assert layer.weight.dtype == torch.float32


def test_all_usable_cores_work_with_deterministic_kernels(monkeypatch):
    """Must fail if the number of threads or the kernels are left to chance, or a person is overruled."""
    monkeypatch.delenv(cores.THREADS, raising=False)
    monkeypatch.setattr(cores, "available", lambda: 3)
    hardware.choose("cpu")
    assert torch.get_num_threads() == 3
    monkeypatch.setenv(cores.THREADS, "2")
    hardware.choose("cpu")
    assert torch.get_num_threads() == 2
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert not torch.utils.deterministic.fill_uninitialized_memory
