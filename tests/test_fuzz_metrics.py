"""Whatever stands in metrics/: it is used, or refused in one line; the report is whole or not there."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from fuzzing import TREES, damaged_bytes, damaged_trees, fuzzed, outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_cli import write_run as write_summary
from test_gate import LIMITS, METRICS
from test_report import assert_sound, make
from test_report import write_run as write_report

from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics, write_metrics
from unlearning.report.evidence import METRICS as REPORTED
from unlearning.report.evidence import SERIES
from unlearning.report.metrics import TABLES, Metrics
from unlearning.review import gate, summary
from unlearning.settings.gate import GateParams

# A tenth as many: a page takes a tenth of a second.
few = settings(fuzzed, max_examples=max(20, fuzzed.max_examples // 10))


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, values in files.items():
        # Metrics are JSON of Python's kind: NaN and Infinity can stand there.
        (folder / f"{name}.json").write_bytes(json.dumps(values).encode("utf-8", "replace"))
    return folder


@pytest.fixture(scope="module")
def summed(tmp_path_factory) -> dict[str, Any]:
    """Return the tree that the summary reads."""
    folder = tmp_path_factory.mktemp("summary")
    write_summary(folder, {"test_accuracy": 0.01, "models": 2, "test_accuracy_spread": 0.1})
    return dict(summary.read(folder)._tree)


@fuzzed
@given(metrics=damaged_trees(METRICS))
def test_the_gate_keeps_no_limit_by_an_odd_figure(tmp_path, metrics):
    """Must fail if a type escapes, or a figure that is no finite number is kept."""
    metrics = metrics if isinstance(metrics, dict) else {}
    folder = write(tmp_path, METRICS | metrics)

    def answer() -> None:
        checks = gate.check(gate.read(folder), GateParams(**LIMITS))
        assert json.loads(gate.as_json(checks))
        assert gate.table(checks)
        for check in checks:
            if check.outcome == "kept":
                assert not isinstance(check.value, str)
                assert math.isfinite(check.value)

    outcome(answer)


@fuzzed
@given(data=st.data())
def test_the_summary_takes_or_refuses_any_figures(summed, data):
    """Must fail if a word where a number should stand ends in a traceback."""
    damaged = data.draw(damaged_trees(summed))
    tree = summed | (damaged if isinstance(damaged, dict) else {})
    outcome(lambda: summary.table(Metrics(tree)))


@fuzzed
@given(
    content=damaged_bytes(json.dumps(METRICS).encode())
    | st.binary(max_size=99)
    | TREES.map(lambda tree: json.dumps(tree).encode())
)
def test_any_bytes_of_a_metrics_file_are_taken_or_refused(tmp_path, content):
    """Must fail if json's exception escapes."""
    (tmp_path / "x.json").write_bytes(content)
    outcome(lambda: read_metrics(tmp_path / "x.json"))


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5000,
        b'{"a": 1' + b"0" * 5000 + b"}",
        b'{"a": [-1' + b"0" * 400 + b"]}",
    ],
)
def test_deep_or_endless_json_is_refused(tmp_path, content):
    """Must fail if RecursionError or Python's limit of digits escapes, or no float can hold an integer."""
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match="not a metrics file"):
        read_metrics(tmp_path / "x.json")


@pytest.fixture(scope="module")
def report_run(tmp_path_factory) -> Path:
    return write_report(tmp_path_factory.mktemp("report"))


@settings(few, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_report_of_damaged_inputs_is_sound_or_refused(tmp_path_factory, report_run, data):
    """Must fail if a figure ends in a traceback, half a report is written, or a figure runs as a script."""
    folder = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(report_run, folder)
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(REPORTED))
        path = folder / f"metrics/{name}.json"
        values = data.draw(damaged_trees(json.loads(path.read_text())))
        path.write_bytes(json.dumps(values).encode("utf-8", "replace"))
    else:
        tables = [f"plots/{name}.csv" for name in sorted({*SERIES, *TABLES})]
        data_tables = ("audit_examples", "samples", "skipped")
        tables += [f"data/{name}.csv" for name in data_tables]
        path = folder / data.draw(st.sampled_from(tables))
        path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    pages = []
    if outcome(lambda: pages.append(make(folder)[0])) == "refused":
        assert not (folder / "report").exists()
    else:
        assert_sound(pages[0])
    shutil.rmtree(folder)


def test_what_the_gate_reads_is_what_a_run_writes(tmp_path):
    """Must fail if a good file is refused."""
    write_metrics(tmp_path / "x.json", METRICS["audit"])
    assert read_metrics(tmp_path / "x.json") == METRICS["audit"]
