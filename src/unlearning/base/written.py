"""What runs write, and DVC or `unlearning erase` deletes: nothing that a person needs may stand there."""

from pathlib import Path

from unlearning.base.stage import SCRATCH

# What commands and stages leave beside the pipeline's outputs, none of it needed.
BESIDE = (SCRATCH.name, "review", "dvc_plots")
# The graph's outputs, and the folders of which every file is one, with all that is beside them.
DELETED = (
    "data/animals", "data/audit_examples.csv", "data/copies.csv", "data/images", "data/observed",
    "data/request.json", "data/samples.csv", "data/skipped.csv", "data/source.json", "data/split.csv",
    "data/subsets.csv", "data/weights.json", "models/controls", "models/discriminator.safetensors",
    "models/init", "models/original.safetensors", "models/retrained", "models/unlearned.safetensors",
    "metrics", "plots", "report", *BESIDE,
)  # fmt: skip
TABLES = tuple(Path(place) for place in DELETED if place.endswith(".csv"))
# Where no image of a person may lie; beside our models there may be weights of theirs, but no images.
FOLDERS = (
    Path("models"),
    *(Path(place) for place in DELETED if not Path(place).suffix and "models/" not in place),
)
