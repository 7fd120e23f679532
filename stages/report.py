"""Make the page and the model card that a person reads from what the other stages measured.

Reads: metrics/*.json, plots/*.csv, data/audit_examples.csv, data/audit_figures.csv, data/skipped.csv,
data/images.npy and data/samples.csv (pictures), models/*.safetensors, models/retrained and data/split.csv
(fingerprints). Writes: report/index.html, report/model_card.md. Run: `dvc repro report`.
"""

from pathlib import Path

from unlearning import files, stage
from unlearning.report import card, evidence, page
from unlearning.settings import load_params


def main() -> None:
    params = load_params()
    read = evidence.read(Path(), params)
    with files.atomic("report/index.html") as temporary:
        temporary.write_text(page.render(read), encoding="utf-8")
    with files.atomic("report/model_card.md") as temporary:
        temporary.write_text(card.render(read), encoding="utf-8")


if __name__ == "__main__":
    stage.run("report", main)
