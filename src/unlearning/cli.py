"""The console command `unlearning`."""

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, no_type_check

import typer

from unlearning.base import errors, files
from unlearning.base.progress import say
from unlearning.review import gate, summary
from unlearning.review.git import GRAPH
from unlearning.settings.gate import GateParams
from unlearning.settings.load import load
from unlearning.settings.model import ModelParams
from unlearning.settings.whole import load_params

MOST_DIFFERENCES = 20  # shown

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
    """Say what a model makes of pictures: class, confidence, top 3, the article's discriminator score.

    The score's reading holds for pictures of a class to forget alone; of others it says nothing.
    """
    from unlearning import predict  # here alone: PyTorch takes seconds to import
    from unlearning.running import hardware

    answers = list(predict.predict(images, model, models, hardware.choose()))
    if as_json:
        say(json.dumps([asdict(answer) for answer in answers], indent=2, ensure_ascii=False))
    else:
        for line in predict.table(answers):
            say(line)
    if all(isinstance(answer, predict.Unreadable) for answer in answers):
        raise errors.UserError("none of the files is an image that can be read")


@app.command("check")
def check_command() -> None:
    """Say in seconds what `dvc repro` would do with params.yaml, how long, and what it could not show."""
    from unlearning.check import forecast, possible
    from unlearning.running import hardware  # here alone: PyTorch takes seconds to import

    params = load_params()
    found = possible.require(params)
    device = hardware.choose(params.device, params.precision)
    expected = forecast.forecast(params, found, device)
    for line in forecast.told(params, found, expected, device):
        say(line)


@app.command("export")
def export_command(
    out: Annotated[
        Path,
        typer.Argument(help="file to write: .safetensors, .pt or .pth (state dict), .pt2, .onnx"),
    ],
    model: Annotated[Path, typer.Option(help="file of a model of the pipeline")] = Path(
        "models/unlearned.safetensors"
    ),
) -> None:
    """Write the unlearned model in a form that others read, and check that it answers the same."""
    from unlearning import export  # here alone: PyTorch takes seconds to import

    say(export.export(model, out, load(ModelParams)))


@app.command("summary")
def summary_command(
    root: Annotated[Path, typer.Option(help="folder that holds metrics/ and plots/")] = Path(),
) -> None:
    """Show forget and retain accuracy side by side: original, unlearned, retrained."""
    say(summary.table(summary.read(root)))


@app.command("gate")
def gate_command(
    metrics: Annotated[Path, typer.Option(help="folder of the metrics files")] = Path("metrics"),
    params: Annotated[
        Path, typer.Option(help="a params.yaml, of which `gate:` holds the limits")
    ] = Path("params.yaml"),
    as_json: Annotated[
        bool, typer.Option("--json", help="one JSON list instead of a table")
    ] = False,
) -> None:
    """Hold the metrics against the limits in params.yaml; exit code 1 if one is broken."""
    checks = gate.check(gate.read(metrics), load(GateParams, params))
    say(gate.as_json(checks) if as_json else gate.table(checks))
    if gate.broken(checks):
        raise typer.Exit(1)


@app.command("review")
def review_command(
    base: Annotated[str, typer.Option(help="branch or commit to compare with")] = "main",
    out: Annotated[Path, typer.Option(help="folder for review.md and its pictures")] = Path(
        "review"
    ),
) -> None:
    """Say what this branch changes; exit code 1 if a limit is broken or dvc.lock is out of step."""
    from unlearning.review import changes, pictures, text

    found = changes.find(Path(), base)
    words = text.markdown(found)
    if out.is_symlink():
        raise errors.UserError(
            f"{out} is a link, which a branch may have brought: name another folder by --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    with files.atomic(out / "review.md") as temporary:
        temporary.write_text(words, encoding="utf-8")
    pictures.draw(Path(), found, out)
    say(words)
    if not found.passed:
        raise typer.Exit(1)


@app.command("next")
def next_command() -> None:
    """Put the finished request into the ledger (requests/), and begin the next one with its model."""
    from unlearning import ledger

    about, model = ledger.close(Path())
    say(
        f"{about} and {model} written; params.yaml begins with them and asks for nothing yet. "
        f"Keep them: dvc add {model} && git add requests params.yaml && git commit. "
        "Then say what to forget next (forget.classes, files, where or fraction) and run dvc repro"
    )


@app.command("erase")
def erase_command(
    yes: Annotated[bool, typer.Option("--yes", help="remove what may be removed")] = False,
    remote: Annotated[
        list[str] | None, typer.Option(help="remove it from this DVC remote too, for everybody")
    ] = None,
) -> None:
    """Say what still holds the images of the request: caches, remotes, history, models. Remove it by --yes."""
    from unlearning.erase import places  # here alone: DVC takes seconds to import

    visited = places.visit(Path(), clear=yes, remotes=remote or [])
    for line in places.table(visited, cleared=yes):
        say(line)
    if not yes:
        say(
            "nothing was removed. Write the certificate first, it needs all this (or let it do both: "
            "unlearning certificate --erase); then unlearning erase --yes"
        )


@app.command("calibrate")
def calibrate_command(
    runs: Annotated[
        list[Path],
        typer.Argument(help="folders of three or more finished runs, of other data each"),
    ],
    out: Annotated[Path, typer.Option(help="file to write")] = Path("calibration.json"),
) -> None:
    """Measure how retrained models differ and how often the verdict errs, for the audit to go by.

    Each run needs eight retrained models (`retrain.seeds`): each is judged against two to seven others.
    """
    from unlearning.audit import (
        calibration,
        result,
    )  # here alone: scikit-learn takes seconds to import
    from unlearning.observe import record

    observed = [record.load(run / "data/observed") for run in runs]
    calibration.require_models([len(each.models.references) for each in observed])
    of_images = observed[0].sample.of_images
    if any(each.sample.of_images != of_images for each in observed):
        raise errors.UserError(
            "calibrate takes runs of one kind: for whole classes, or for single images"
        )
    figures = []
    for run, each in zip(runs, observed, strict=True):
        figures.append(result.figures(each))
        say(f"{run}: {len(figures[-1])} figures of {len(each.models.references)} retrained models")
    text = calibration.as_json(
        calibration.fit(figures, of_images=of_images),
        calibration.error_rates(figures, of_images=of_images),
    )
    with files.atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(text)


certificates = typer.Typer(help="Certify a finished request, or check a certificate.")
app.add_typer(certificates, name="certificate")


@certificates.callback(invoke_without_command=True)
@no_type_check  # at run time: Typer hands over a context of another class than its own typer.Context
def certificate_command(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="file to write")] = Path("certificate.json"),
    key: Annotated[
        Path | None, typer.Option(help="private Ed25519 key in PEM, to sign with")
    ] = None,
    erase: Annotated[
        bool, typer.Option("--erase", help="then remove what `unlearning erase --yes` removes")
    ] = False,
    remote: Annotated[
        list[str] | None, typer.Option(help="with --erase: from this DVC remote too")
    ] = None,
) -> None:
    """Write what was forgotten, by which run, and what the audit found: evidence, not legal advice."""
    if context.invoked_subcommand is None:
        _certify(out, key, erase, remote or [])
    elif out != Path("certificate.json") or key or erase or remote:
        raise errors.UserError(
            f"--out, --key, --erase and --remote are for writing: none goes with {context.invoked_subcommand}"
        )


def _certify(out: Path, key: Path | None, erase: bool, remotes: list[str]) -> None:
    from unlearning.certificate import envelope, record, signature, verification, workspace
    from unlearning.erase import places
    from unlearning.running import hardware  # here alone: PyTorch takes seconds to import

    if remotes and not erase:
        raise errors.UserError("--remote says where --erase removes too: give both")
    record.require_new(out)
    statement, draft = envelope.path_beside(out), out.with_name(f"{out.name}.draft")
    if not (erase and draft.exists()):  # else it is what a broken try had written
        record.require_new(statement)
    private_key = signature.read_private_key(key) if key else None
    machine = hardware.choose()
    with places.undisturbed(Path(), remotes) if erase else nullcontext():
        if erase and draft.exists():
            public_key = private_key.public_key() if private_key else None
            content = verification.begun(draft, Path(), machine, public_key)
        else:
            content = workspace.describe(Path(), machine)
    if erase:
        # What it is computed from is about to go: if this breaks off, the next try goes on from the draft.
        begun = signature.sign(content, private_key) if private_key else None
        record.write(draft, record.Certificate(content=content, signature=begun))
        visited = places.visit(Path(), clear=True, remotes=remotes)
        listed = workspace.listed(visited, before=content.places)
        content = content.model_copy(update={"places": listed})
        for line in places.table(visited, cleared=True):
            say(line)
    signed = signature.sign(content, private_key) if private_key else None
    envelope.write(statement, content, private_key)
    record.write(out, record.Certificate(content=content, signature=signed))
    draft.unlink(missing_ok=True)
    say(
        f"{out}: {len(content.forgotten.images)} images{_of(content.forgotten.classes)}, "
        f"{'signed' if private_key else 'not signed'}; audit: {content.audit['verdict_in_words']}"
    )


def _of(classes: list[str]) -> str:
    return f" of {', '.join(classes)}" if classes else ""


@certificates.command("verify")
def verify_command(
    file: Annotated[Path, typer.Argument(help="certificate, plain or as in-toto statement")],
    public_key: Annotated[
        Path | None, typer.Option(help="the signer's public Ed25519 key in PEM")
    ] = None,
    without_data: Annotated[
        bool, typer.Option(help="leave out what needs the images, once they are deleted")
    ] = False,
) -> None:
    """Recompute hashes and figures from the workspace; exit code 1 if anything differs."""
    from unlearning.certificate import envelope, signature, verification
    from unlearning.running import hardware

    found = verification.verify(
        envelope.read(file),
        Path(),
        hardware.choose(),
        signature.read_public_key(public_key) if public_key else None,
        without_data,
    )
    for note in found.notes:
        say(f"note: {note}")
    for difference in found.differences[:MOST_DIFFERENCES]:
        say(f"differs: {difference}")
    if len(found.differences) > MOST_DIFFERENCES:
        say(f"and {len(found.differences) - MOST_DIFFERENCES} more")
    if found.differences:
        raise typer.Exit(1)
    say("verified: the workspace is what the certificate says")


def main() -> None:
    """Run the command; a person's mistake ends in one line and exit code 2."""
    errors.run(_run)


def _run() -> None:
    """Run the command. Raises: UserError, which in a folder below the project's root says where that is."""
    try:
        app()
    except errors.UserError as error:
        misses = "dvc repro" in str(error) or "params.yaml" in str(error)  # what is in the root
        above = Path.cwd().parents if misses and not Path(GRAPH).is_file() else ()
        root = next((folder for folder in above if (folder / GRAPH).is_file()), None)
        if root is None:
            raise
        raise errors.UserError(
            f"{error} (this folder lies in a project: try from {root})"
        ) from None
