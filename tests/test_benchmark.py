"""The clock of the benchmark counts every second once, and the networks' arithmetic as the pipeline does."""

import importlib
import json
from types import SimpleNamespace

import pytest
import torch
from conftest import tiny_network
from test_copies import project

from benchmark import stages, timing
from benchmark.timing import Clock
from unlearning.methods.shared.flops import forward_flops, training_flops
from unlearning.models import references


def test_each_second_counts_once(monkeypatch):
    """Must fail if what is done inside counts for what is around it too, or time between is lost."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    clock = Clock()

    def work(kind: str, seconds: float, inside: float = 0.0) -> None:
        def busy() -> None:
            now[0] += seconds
            if inside:
                work("data", inside)

        clock.around(kind, busy)()

    now[0] += 1
    work("forward", 2, inside=4)
    now[0] += 8
    work("data", 16)
    with pytest.raises(ZeroDivisionError):
        clock.around("backward", lambda: 1 / 0)()
    now[0] += 32
    clock.enter("end")
    assert clock.seconds == {"rest": 41.0, "forward": 2.0, "data": 20.0, "backward": 0.0}


def test_a_gpu_in_use_is_waited_for(monkeypatch):
    """Must fail if the clock turns while it works, or a GPU that nobody uses is started."""
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(1))
    for in_use, count in ((False, 0), (True, 2)):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda used=in_use: used)
        Clock().enter("forward")
        assert len(waited) == count


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_peak_is_that_of_the_precision_of_the_run(
    precision, tmp_path, monkeypatch, restored_torch, capsys
):
    """Must fail if a run in single precision is held against products in bf16, which this machine prefers."""
    project(tmp_path, device="cpu", precision=precision)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(references, "WORTH", references.WORTH)
    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(main=lambda: None))
    monkeypatch.setattr(timing, "clocked", Clock)
    monkeypatch.setattr(timing, "peak", lambda hardware: float(hardware.bf16))
    stages.one("observe", 0.0)
    assert json.loads(capsys.readouterr().out)["peak"] == (precision == "bf16")


def test_arithmetic_is_forward_and_where_weights_learn_backward():
    """Must fail if a frozen network counts as trained, or batches count as images."""
    clock, model = Clock(), tiny_network(0)
    images = torch.zeros(3, 3, 32, 32)
    clock.count(model, images)
    with torch.no_grad():
        clock.count(model, images)
    clock.count(model.requires_grad_(False), images[:2])
    model.requires_grad_()
    assert clock.flops == 3 * training_flops(model) + 5 * forward_flops(model)
