"""Draw the animals, or take what data.path gives, and pack all images into shards.

Reads: data.path (the drawing program, a folder of images, a table, or a set in torchvision's format, as
data/source.json says of it). Writes: data/animals (the drawn images; none of other sources),
data/images, data/samples.csv, data/skipped.csv, metrics/prepare_data.json, plots/images_per_class.csv.
Run: `dvc repro prepare_data`.
"""

from pathlib import Path

from unlearning.base import stage
from unlearning.base.files import write_metrics, write_rows
from unlearning.base.progress import say
from unlearning.settings.data import DataParams
from unlearning.settings.load import load
from unlearning.sources import listing, pack
from unlearning.sources.folder import DRAWN


def main() -> None:
    params = load(DataParams)
    root = listing.root_of(params)
    if params.source == "synthetic":
        pack.draw_tree(params, root)
    else:
        pack.draw_nothing(DRAWN)
    listed = listing.list_images(params)

    packed = pack.pack(listed, root, params, out=Path("data"))

    write_metrics("metrics/prepare_data.json", packed.metrics())
    write_rows("plots/images_per_class.csv", packed.rows())
    say(f"{packed.images} images packed, {packed.skipped} skipped (data/skipped.csv)")


if __name__ == "__main__":
    stage.run("prepare_data", main)
