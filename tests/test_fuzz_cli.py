"""Whatever stands on the command line: an answer, or one line and exit code 2."""

import os
import shutil
from pathlib import Path

import pytest
from fuzzing import HOSTILE_TEXT, TEXT, counted, fuzzed
from hypothesis import given
from hypothesis import strategies as st
from test_gate import METRICS
from test_settings import write_params
from typer.testing import CliRunner

from unlearning import cli, predict
from unlearning.base import errors
from unlearning.base.errors import UserError
from unlearning.base.files import write_metrics

WORDS = [
    "predict", "summary", "gate", "--model", "--models", "--metrics", "--params", "--json", "--help",
    "--", "-", ".", "/dev/null", "/dev/zero", "/proc/self/mem", "/etc/passwd", "metrics",
    "models", "params.yaml", "unlearned", "--model=../../x", "--metrics=", "--x", "-h", "metrics/audit.json",
    "~", "*", "pictures", "retrained/2",
]  # fmt: skip


def argument(text: str) -> str:
    """Return the text as a system hands it over: any bytes but NUL."""
    return os.fsdecode(text.replace("\0", "").encode("utf-8", "replace")) + "\udcff" * (
        "\ud800" in text
    )


ARGUMENTS = st.lists(st.sampled_from(WORDS) | (TEXT | HOSTILE_TEXT).map(argument), max_size=6)
# Folders that hold the whole machine are read as asked, which takes long.
ARGUMENTS = ARGUMENTS.filter(
    lambda words: not {"/", ".."} & {word.rstrip("/") or "/" for word in words}
)


@pytest.fixture(scope="module")
def project(tmp_path_factory, model_folder) -> Path:
    """Return a folder with metrics, parameters, pictures and a discriminator for a model."""
    folder = tmp_path_factory.mktemp("project")
    write_params(folder)
    for name, values in METRICS.items():
        write_metrics(folder / f"metrics/{name}.json", values)
    (folder / "pictures").mkdir()
    (folder / "pictures" / "broken.png").write_text("no picture")
    (folder / "models").mkdir()
    shutil.copy(model_folder / "discriminator.safetensors", folder / "models/unlearned.safetensors")
    return folder


def test_any_command_line_ends_in_an_answer_or_one_line(project):
    """Must fail if an argument ends in a traceback, a hang, or a file."""
    before = sorted(project.rglob("*"))
    runner = CliRunner()

    @fuzzed
    @given(arguments=ARGUMENTS)
    def run(arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(project)
            result = runner.invoke(cli.app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            assert_one_line(result.exception)
        counted(f"exit code {result.exit_code}")
        assert result.exit_code in (0, 1, 2)

    run()
    assert sorted(project.rglob("*")) == before


def assert_one_line(error: BaseException) -> None:
    """Check that `errors.run` makes one line of what the command raised."""

    def again() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        errors.run(again)
    assert caught.value.code == 2


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full", "/proc/self/mem", "pipe", "x" * 300])
def test_a_picture_that_is_no_file_is_named_at_once(tmp_path, model_folder, cpu, path, monkeypatch):
    """Must fail if a pipe is waited for, or a device is read without end."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    try:
        (answer,) = predict.predict([Path(path)], "unlearned", model_folder, cpu)
    except (UserError, OSError):
        return
    assert isinstance(answer, predict.Unreadable)
