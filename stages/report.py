"""Make the page and the model card that a person reads from what the other stages measured.

Reads: metrics/*.json, plots/*.csv, data/audit_examples.csv, data/copies.csv, data/skipped.csv, data/images and
data/samples.csv (pictures), data/request.json, models/*.safetensors, models/retrained and data/split.csv
(fingerprints). Writes: report/index.html, report/model_card.md. Run: `dvc repro report`.
"""

from pathlib import Path

from unlearning.base import files, stage
from unlearning.report import card, evidence, page
from unlearning.settings.whole import load_params


def main() -> None:
    read = evidence.read(Path(), load_params())
    texts = {"index.html": page.render(read), "model_card.md": card.render(read)}
    for name, text in texts.items():
        with files.atomic(f"report/{name}") as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    stage.run("report", main)
