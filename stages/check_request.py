"""Refuse an impossible request before anything is touched.

DVC deletes a stage's outputs before it runs the stage: a mistake that is found only there costs the
last good outputs. So all other stages wait for this one. It runs every time, since DVC does not see
all that a folder of photographs gives (links). What it writes of them is the same for every valid request on
the same images, so that an edit of one parameter does not make every stage run again.

Reads: params.yaml, the files in data.path, and those of weights and of requests that params.yaml names. Writes:
data/request.json (what is to be forgotten), data/source.json (what the folder holds), data/weights.json (hashes
of given weights). Run: `dvc repro check_request`.
"""

from unlearning.base import progress, stage
from unlearning.base.files import write_metrics
from unlearning.check import possible
from unlearning.data import request
from unlearning.settings.whole import load_params
from unlearning.sources import contents


def main() -> None:
    params = load_params()

    found = possible.require(params)
    for remark in possible.remarks(params, found):
        progress.say(f"check_request: {remark}")

    request.write(found.asked.request, "data/request.json")
    write_metrics(
        "data/source.json", {"valid": True} | contents.of(params.data, listed=found.images)
    )
    write_metrics("data/weights.json", possible.weights_of(params))


if __name__ == "__main__":
    stage.run("check_request", main)
