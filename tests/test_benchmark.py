"""The clock of the benchmark counts every second once, and the networks' arithmetic as the pipeline does."""

import pytest
import torch
from conftest import tiny_network

from benchmark import timing
from benchmark.timing import Clock
from unlearning.methods.shared.flops import forward_flops, training_flops


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
