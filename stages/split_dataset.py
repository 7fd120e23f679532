"""Split the images into train, validation and test, and into those to forget and those to keep.

Images of a class to keep that show an image to forget are found first: they are withdrawn or listed, as
`forget` says. A class of which too few images are left is refused here: check_request, which decodes none,
cannot know. What later stages made in an earlier run stays.

Reads: data/images.npy, data/samples.csv. Writes: data/split.csv, data/copies.csv, metrics/split_dataset.json.
Run: `dvc repro split_dataset`.
"""

from unlearning.base import stage
from unlearning.base.files import read_images, read_table, write_metrics, write_table
from unlearning.base.progress import say
from unlearning.data import copies, split
from unlearning.settings.forget import ForgetParams
from unlearning.settings.load import load
from unlearning.settings.split import SplitParams


def main() -> None:
    forget = load(ForgetParams)
    samples = read_table("data/samples.csv", ["id", "path", "pixels", "class"])
    images = read_images("data/images.npy")

    found = copies.find(samples, images, forget)
    withdrawn = copies.withdrawn(found)
    # Before the split, which may refuse what is left: this says why.
    write_table("data/copies.csv", found)
    assigned = split.assign(samples, load(SplitParams), forget, withdrawn)

    write_table("data/split.csv", assigned)
    write_metrics(
        "metrics/split_dataset.json",
        split.count(samples, assigned) | {"copies": copies.count(found)},
    )
    if len(found):
        say(
            f"{len(found)} images under classes to keep show images to forget (data/copies.csv): "
            f"{len(withdrawn)} withdrawn, {len(found) - len(withdrawn)} kept"
        )


if __name__ == "__main__":
    stage.run("split_dataset", main)
