"""The console command `unlearning`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from unlearning import errors, gate, summary
from unlearning.progress import say
from unlearning.settings import load_params

app = typer.Typer(
    help="Look at what the pipeline made. The pipeline itself is run by `dvc repro`.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command("predict")
def predict_command(
    images: Annotated[list[Path], typer.Argument(help="pictures, or folders of pictures")],
    model: Annotated[
        str, typer.Option(help="original, unlearned, retrained/<seed>, ...")
    ] = "unlearned",
    as_json: Annotated[
        bool, typer.Option("--json", help="one JSON list instead of a table")
    ] = False,
    models: Annotated[Path, typer.Option(help="folder of the models")] = Path("models"),
) -> None:
    """Say what a model makes of pictures: class, confidence, top 3, discriminator score and its reading."""
    from unlearning import hardware, predict  # here alone: PyTorch takes seconds to import

    answers = list(predict.predict(images, model, models, hardware.choose()))
    if as_json:
        say(json.dumps([asdict(answer) for answer in answers], indent=2, ensure_ascii=False))
    else:
        for line in predict.table(answers):
            say(line)
    if all(isinstance(answer, predict.Unreadable) for answer in answers):
        raise errors.UserError("none of the files is an image that can be read")


@app.command("summary")
def summary_command(
    metrics: Annotated[Path, typer.Option(help="folder of the metrics files")] = Path("metrics"),
) -> None:
    """Show forget and retain accuracy side by side: original, unlearned, retrained."""
    say(summary.table(metrics))


@app.command("gate")
def gate_command(
    metrics: Annotated[Path, typer.Option(help="folder of the metrics files")] = Path("metrics"),
    params: Annotated[
        Path, typer.Option(help="a whole params.yaml, of which `gate:` holds the limits")
    ] = Path("params.yaml"),
    as_json: Annotated[
        bool, typer.Option("--json", help="one JSON list instead of a table")
    ] = False,
) -> None:
    """Hold the metrics against the limits in params.yaml; exit code 1 if one is broken."""
    checks = gate.check(metrics, load_params(params).gate)
    say(gate.as_json(checks) if as_json else gate.table(checks))
    if gate.broken(checks):
        raise typer.Exit(1)


def main() -> None:
    """Run the command; a person's mistake ends in one line and exit code 2."""
    errors.run(app)


if __name__ == "__main__":
    main()
