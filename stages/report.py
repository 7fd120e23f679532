"""Make the page and the model card that a person reads from what the other stages measured.

Reads: metrics/*.json, plots/*.csv, data/audit_examples.csv, data/audit_figures.csv, data/copies.csv,
data/skipped.csv, data/images.npy and data/samples.csv (pictures), models/*.safetensors, models/retrained
and data/split.csv (fingerprints). Writes: report/index.html, report/model_card.md. Run: `dvc repro report`.
"""

from pathlib import Path

import jinja2

from unlearning import files, stage
from unlearning.errors import UserError
from unlearning.report import card, evidence, page
from unlearning.settings import load_params


def main() -> None:
    params = load_params()
    try:
        read = evidence.read(Path(), params)
        texts = {"index.html": page.render(read), "model_card.md": card.render(read)}
    # Some thirty files are quoted; that each holds what its stage writes is not checked figure by figure.
    except (LookupError, TypeError, ValueError, ArithmeticError, jinja2.TemplateError) as error:
        raise UserError(
            f"metrics/, plots/ or data/ hold other figures than a run writes ({type(error).__name__}: "
            f"{error}): run `dvc repro`; if they are its own, this is a bug"
        ) from error
    for name, text in texts.items():
        with files.atomic(f"report/{name}") as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    stage.run("report", main)
