"""Whether params.yaml asks for something possible: data, request, game, device, weights."""

from dataclasses import dataclass
from pathlib import Path

from unlearning.base import waiting
from unlearning.base.errors import UserError
from unlearning.base.fingerprint import sha256
from unlearning.base.reading import lies_in
from unlearning.base.written import DELETED
from unlearning.check import asked
from unlearning.check.asked import Asked
from unlearning.data import SUBSETS, request, split
from unlearning.methods.shared import cost
from unlearning.settings.types import AUTO
from unlearning.settings.whole import Params
from unlearning.sources import listing
from unlearning.sources.listed import Listed
from unlearning.sources.listing import Counts

PLAIN = "resnet18"  # the article's: of any size, and known to suit


@dataclass(frozen=True)
class Possible:
    """What was looked at, once: the images, how many by class and given subset, what is asked for of them.

    `by_role`: about how many images there will be, as the function of that name returns it.
    """

    images: list[Listed]
    counts: Counts
    asked: Asked
    by_role: dict[str, dict[str, int]]

    @property
    def sizes(self) -> cost.Sizes:
        """Return about how many will be trained on."""
        return cost.Sizes(self.by_role["forget"]["train"], self.by_role["retain"]["train"])


def require(params: Params) -> Possible:
    """Return what params.yaml asks for. Raises: UserError with the first mistake."""
    _require_ledger(params)
    _require_apart(params)
    images = listing.list_images(params.data)
    counts, wanted = listing.counts(images), asked.of(params, images)
    request.check({name: sum(given.values()) for name, given in counts.items()}, wanted.request)
    found = Possible(images, counts, wanted, by_role(params, counts, wanted))
    if not found.sizes.retain:
        raise UserError(
            "params.yaml: forget asks for every image that is trained on: ask for less, or add images to keep"
        )
    forget = found.sizes.forget
    if params.forget.files or params.forget.where:
        # Which of them are held out is known once they are packed: at most all are trained on.
        shares = wanted.shares
        forget = round(sum(sum(given.values()) * shares[name] for name, given in counts.items()))
    if params.recipe == "article" and forget < 2:
        raise UserError(
            "params.yaml: recipe is 'article', whose batch normalisation needs 2 or more images to forget "
            f"that are trained on, but there is {forget}: add images, or take recipe adversarial"
        )
    if params.device == "cuda":
        _require_gpu()
    processes = params.distributed.processes
    if params.device != "cpu" and processes != "auto" and processes > 1:
        _require_a_gpu_each(processes)
    _require_models(params, tuple(sorted({*counts, *wanted.request.classes_met})), images)
    return found


def _require_ledger(params: Params) -> None:
    """Refuse where a clone lacks what an earlier request left, of which Git has one file and DVC the other."""
    previous, weights = params.forget.previous, params.model.weights
    for path in previous:
        if not Path(path).is_file():
            raise UserError(
                f"params.yaml: forget.previous names {path!r}, but there is no such file: git pull brings it"
            )
    folders = {Path(path).parent for path in previous}
    if weights and Path(weights).parent in folders and not Path(weights).is_file():
        raise UserError(
            f"params.yaml: model.weights is {weights!r}, but there is no such file: dvc pull brings it, "
            "unless it was erased"
        )


def _require_apart(params: Params) -> None:
    """Refuse given files that stand where they would be deleted, perhaps the only ones that a person has."""
    forget = params.forget
    named = [
        *[(key, file) for key, files in _weights(params).items() for file in files],
        *([("forget.files", forget.files)] if forget.files else []),
    ]
    for key, file in named:
        for output in DELETED:
            if lies_in(Path(file), Path(output)):
                raise UserError(
                    f"params.yaml: {key} is {file!r}, but what stands in {output} is deleted by runs or by "
                    "`unlearning erase`: copy the file to a place of your own, and name that"
                )


def by_role(params: Params, counts: Counts, wanted: Asked) -> dict[str, dict[str, int]]:
    """Return about how many images there will be by role and subset, if none is a copy of another.

    Under "unseen" those that none of the models was trained on and that are like those to forget. Shares of
    classes are summed before they are rounded: of ten classes 0.4 images each are four.
    """
    images = dict.fromkeys(SUBSETS, 0)
    forget, unseen = dict.fromkeys(SUBSETS, 0.0), dict.fromkeys(SUBSETS, 0.0)
    is_alike = params.forget.of_images and params.forget.labels == "given"
    missing = split.missing_subsets(subset for given in counts.values() for subset in given)
    left = asked.without_earlier(counts, wanted.request)
    for name, given in left.items():
        cut = split.subset_sizes(given.get("", 0) + given.get("train", 0), params.split, missing)
        for subset in SUBSETS:
            count = cut[subset] + (given.get(subset, 0) if subset != "train" else 0)
            # A share at random is one of training images.
            share = 0.0 if params.forget.fraction and subset != "train" else wanted.shares[name]
            images[subset] += count
            forget[subset] += count * share
            if subset != "train" and wanted.shares[name]:
                unseen[subset] += count if is_alike else count * share
    to_forget = {subset: round(total) for subset, total in forget.items()}
    if forget["train"]:
        to_forget["train"] = max(1, to_forget["train"])  # as many are drawn at least
    return {
        "forget": to_forget,
        "retain": {subset: images[subset] - to_forget[subset] for subset in SUBSETS},
        "unseen": {subset: round(total) for subset, total in unseen.items()},
    }


def remarks(params: Params, found: Possible) -> list[str]:
    """Return what a person should hear before a run: of a dear game, of other programs, of an odd source."""
    training = params.original.training(found.sizes.forget + found.sizes.retain)
    said = cost.remark(params, found.sizes, training), waiting.remark()
    return [*filter(None, said), *listing.remarks(params.data, found.images)]


def weights_of(params: Params) -> dict[str, list[str]]:
    """Return the SHA-256 of each file of weights that params.yaml names, by the key that does."""
    return {
        key: [sha256(Path(file)) if Path(file).is_file() else file for file in files]
        for key, files in _weights(params).items()
    }


def _weights(params: Params) -> dict[str, list[str]]:
    """Return the files of weights that params.yaml names, by the key that does."""
    return {
        "model.weights": [params.model.weights] if params.model.weights else [],
        "model.start": [params.model.start] if params.model.start else [],
        "retrain.weights": params.retrain.weights,
    }


def _require_gpu() -> None:
    import torch  # here alone: it takes seconds, and most requests do not ask for it

    if not torch.cuda.is_available():
        raise UserError("params.yaml: device is 'cuda', but no CUDA GPU is usable: use auto or cpu")


def _require_a_gpu_each(processes: int) -> None:
    import torch  # as above

    if 0 < torch.cuda.device_count() < processes:
        raise UserError(
            f"params.yaml: distributed.processes is {processes}, but {torch.cuda.device_count()} CUDA GPUs are "
            "usable, and each process takes one: set it to at most that, or device cpu"
        )


def _require_models(params: Params, classes: tuple[str, ...], images: list[Listed]) -> None:
    given = params.model.weights or params.model.start or params.retrain.weights
    of_one_size = params.model.weights or params.retrain.weights
    if of_one_size and params.data.image_size == AUTO:
        raise UserError(
            "params.yaml: data.image_size is 'auto', but given weights were trained at one size: name it"
        )
    if params.model.name == PLAIN and not given:
        return
    from unlearning.data.dataset import Labelling  # here alone: PyTorch takes seconds to import
    from unlearning.models import build, foreign

    image_size = listing.image_size(params.data, images)
    labelling = Labelling(classes, image_size)
    build.of_params(params.model, image_size)
    if params.model.weights:
        foreign.load_classifier(params.model.weights, "model.weights", params.model, labelling)
    for file in params.retrain.weights:
        foreign.load_classifier(file, "retrain.weights", params.model, labelling)
    if params.model.start and params.model.start != foreign.PRETRAINED:
        foreign.read(Path(params.model.start), "model.start")
