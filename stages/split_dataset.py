"""Split the images into train, validation and test, and into those to forget and those to keep.

Reads: data/samples.csv. Writes: data/split.csv, metrics/split_dataset.json.
Run: `dvc repro split_dataset`.
"""

from unlearning import stage
from unlearning.data import split
from unlearning.files import read_table, write_metrics, write_table
from unlearning.settings import load_params


def main() -> None:
    params = load_params()
    samples = read_table("data/samples.csv", ["id", "pixels", "class"])

    assigned = split.assign(samples, params.split, params.forget)

    write_table("data/split.csv", assigned)
    write_metrics("metrics/split_dataset.json", split.count(samples, assigned))


if __name__ == "__main__":
    stage.run("split_dataset", main)
