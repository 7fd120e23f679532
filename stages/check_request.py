"""Refuse an impossible request before anything is touched.

DVC deletes a stage's outputs before it runs the stage: a mistake that is found only there costs the
last good outputs. So all other stages wait for this one. It runs every time, since DVC does not see
all that a folder of photographs gives (links). What it writes of them is the same for every valid request on
the same images, so that an edit of one parameter does not make every stage run again.

Reads: params.yaml, the files in data.path. Writes: data/request.json (what is to be forgotten),
data/source.json (what the folder holds).
Run: `dvc repro check_request`.
"""

from unlearning.base import errors, progress, stage
from unlearning.base.files import write_metrics
from unlearning.data import request, split
from unlearning.data.request import Request
from unlearning.methods.shared import cost
from unlearning.settings.whole import load_params
from unlearning.sources import contents
from unlearning.sources.folder import count_classes, remarks


def main() -> None:
    params = load_params()

    counts = count_classes(params.data)
    request.check(counts, params.forget)
    sizes = cost.Sizes(**split.training_images(counts, params.split, params.forget))
    if params.recipe == "article" and sizes.forget < 2:
        raise errors.UserError(
            "params.yaml: recipe is 'article', whose batch normalisation needs 2 or more images to forget "
            f"that are trained on, but there is {sizes.forget}: add images, or take recipe adversarial"
        )
    if remark := cost.remark(params.game, sizes, params.original):
        progress.say(f"check_request: {remark}")
    if params.device == "cuda":
        require_gpu()
    for remark in remarks(params.data):
        progress.say(f"check_request: {remark}")

    request.write(Request(tuple(params.forget.classes)), "data/request.json")
    write_metrics("data/source.json", {"valid": True} | contents.of(params.data))


def require_gpu() -> None:
    import torch  # here alone: it takes seconds, and most requests do not ask for it

    if not torch.cuda.is_available():
        raise errors.UserError(
            "params.yaml: device is 'cuda', but no CUDA GPU is usable: use auto or cpu"
        )


if __name__ == "__main__":
    stage.run("check_request", main)
