"""Split the images into train, validation and test, and into those to forget and those to keep.

The subsets follow from the images alone (data/subsets.csv), so that the original need not be trained anew for
another request. Images to keep that show an image to forget are found first: they are withdrawn or listed, as
`forget` says. What check_request cannot know, which decodes no image, is refused here. What later stages made
in an earlier run stays.

Reads: data/images, data/request.json, data/samples.csv. Writes: data/subsets.csv, data/split.csv,
data/copies.csv, metrics/split_dataset.json. Run: `dvc repro split_dataset`.
"""

from unlearning.base import stage
from unlearning.base.files import read_table, write_metrics, write_table
from unlearning.base.progress import say
from unlearning.base.shards import Shards
from unlearning.data import copies, request, roles, split
from unlearning.settings.forget import ForgetParams
from unlearning.settings.load import load
from unlearning.settings.split import SplitParams


def main() -> None:
    forget, asked = load(ForgetParams), request.read("data/request.json")
    samples = read_table("data/samples.csv", ["id", "path", "pixels", "class"])
    images = Shards("data/images")
    held = asked.earlier[-1].held if asked.earlier else None
    subsets = split.subsets(samples, load(SplitParams), held)

    subset_of = dict(zip(subsets["id"], subsets["subset"], strict=True))
    is_asked = roles.covered(samples, [subset_of[each] for each in samples["id"]], asked)
    found = copies.find(samples, images, is_asked, forget)
    withdrawn = copies.withdrawn(found)
    # Before the roles, which may refuse what is left: this says why.
    write_table("data/copies.csv", found)
    assigned = roles.assign(samples, subsets, asked, withdrawn)

    # Nothing is trained on what an earlier request has taken out.
    is_earlier = assigned["role"].eq("earlier").to_numpy()
    write_table("data/subsets.csv", subsets.assign(subset=subsets["subset"].mask(is_earlier, "")))
    write_table("data/split.csv", assigned)
    write_metrics(
        "metrics/split_dataset.json",
        roles.count(samples, assigned) | {"copies": copies.count(found)},
    )
    if len(found):
        say(
            f"{len(found)} images to keep show images to forget (data/copies.csv): "
            f"{len(withdrawn)} withdrawn, {len(found) - len(withdrawn)} kept"
        )


if __name__ == "__main__":
    stage.run("split_dataset", main)
