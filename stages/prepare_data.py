"""Draw the animals, or take a folder of photographs, and pack all images into one array.

Reads: data.path (a folder of images, as data/request.json says of it). Writes: data/animals (the
drawn images; empty for a folder), data/images.npy, data/samples.csv, data/skipped.csv,
metrics/prepare_data.json. Run: `dvc repro prepare_data`.
"""

from pathlib import Path

from unlearning import stage
from unlearning.data import prepare, tree
from unlearning.files import write_metrics
from unlearning.progress import say
from unlearning.settings import load_params


def main() -> None:
    params = load_params()
    root = tree.root_of(params.data)
    if params.data.source == "synthetic":
        prepare.draw_tree(params.data, root)
    else:
        prepare.empty_tree(tree.DRAWN)
    listed = tree.list_images(params.data, root)

    counts = prepare.pack(listed, root, params.data, out=Path("data"))

    write_metrics("metrics/prepare_data.json", counts)
    say(f"{counts['images']} images packed, {counts['skipped']} skipped (data/skipped.csv)")


if __name__ == "__main__":
    stage.run("prepare_data", main)
