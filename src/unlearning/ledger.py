"""A request that was met goes into the ledger, and the next begins where it ended.

`requests/001.json` holds what was asked for, the SHA-256 of the images, packed and as files (with those
withdrawn beside them), and how well each kept class was known before. `requests/001.safetensors` is the
unlearned model as `export` writes it, with the names and the order of outputs that its weights came with: the
next one goes back under them, too. Neither holds a picture or a file's name.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from unlearning import export
from unlearning.base.errors import UserError
from unlearning.base.files import atomic, read_table
from unlearning.certificate import workspace
from unlearning.data import request, split
from unlearning.data.request import Request, SingleImages
from unlearning.erase import places, wanted
from unlearning.models import weights
from unlearning.models.panel import ORIGINAL
from unlearning.settings.load import PARAMS_FILE, load
from unlearning.settings.model import ModelParams
from unlearning.settings.split import SplitParams
from unlearning.settings.whole import load_params

FOLDER = Path(places.LEDGER)
PER_CLASS = Path("plots/per_class.csv")
UNLEARNED_FILE = Path("models/unlearned.safetensors")


def close(root: Path) -> tuple[Path, Path]:
    """Put the finished request into the ledger, and let params.yaml begin with its model; return both files.

    params.yaml then asks for nothing: what is to be forgotten next is a person's to say. Its comments stay.
    Raises: UserError if the run is not finished, or the ledger has gaps.
    """
    params = load_params(root / PARAMS_FILE)
    number = len(params.forget.previous) + 1
    about, model = (FOLDER / f"{number:03}{suffix}" for suffix in (".json", ".safetensors"))
    for path in (about, model):
        if (root / path).exists():
            raise UserError(
                f"{path} exists, but forget.previous of params.yaml names {number - 1} requests: name those "
                f"that were met here, in order; where `unlearning next` broke off, delete {about} and {model}"
            )
    # What is in data.path by now is the next run's matter: of this one's images some may be deleted there.
    workspace.require_in_step(root, places.erased(root), with_source=False)
    met = resolved(root)
    (root / FOLDER).mkdir(exist_ok=True)
    # Names and order that the weights came with; where these are gone, the names are the network's own.
    given = str(root / params.model.weights) if params.model.weights else None
    like = params.model.model_copy(update={"weights": given})
    export.export(root / UNLEARNED_FILE, root / model, like)
    request.write(met, root / about)
    _, labelling = weights.load_classifier(root / UNLEARNED_FILE)
    # Its outputs by name: the images of a class that was forgotten may be deleted now.
    classes = list(params.model.classes or labelling.classes)
    begin = {"weights": model.as_posix(), "classes": classes}
    _begin_with(root / PARAMS_FILE, about, begin, labelling.image_size)
    return about, model


def resolved(root: Path) -> Request:
    """Return the request of the last run by its classes and the pixels of single images that it covered.

    With it what its original knew of the kept classes.
    """
    asked = request.read(root / wanted.REQUEST)
    samples, roles = wanted.tables(root)
    table = wanted.joined(samples, roles)
    is_covered = table["role"].isin(wanted.ASKED).to_numpy()
    is_single = is_covered & ~np.isin(table["class"], asked.classes)
    # Both: packed in another size pixels differ, and one picture may lie in several files.
    pixels, files = (
        tuple(sorted(set(table[column][is_single]) - {""})) for column in ("pixels", "sha256")
    )
    wrong = asked.images is not None and asked.images.wrong_labels
    images = SingleImages(pixels=pixels, files=files, wrong_labels=wrong) if pixels else None
    known = read_table(root / PER_CLASS, ["class", ORIGINAL])
    before = dict(zip(known["class"], known[ORIGINAL].astype(float), strict=True))
    params = load(SplitParams, root / PARAMS_FILE)
    held = split.held(samples, table["subset"], params)  # by the source's own subsets, too
    return replace(
        asked,
        images=images,
        earlier=(),
        accuracy_before=before,
        held=held,
        given=asked.began_with_given(load(ModelParams, root / PARAMS_FILE).weights),
    )


def _begin_with(path: Path, about: Path, model: dict[str, Any], image_size: int) -> None:
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    values = editor.load(path.read_text(encoding="utf-8"))
    # Of another size images have other pixels, by which they are split and known again.
    values["data"]["image_size"] = image_size
    values["model"] |= model
    # They have seen what may be asked for next.
    values["retrain"]["weights"] = []
    values["forget"]["previous"].append(about.as_posix())
    values["forget"] |= {
        "files": None,
        "where": {},
        "fraction": None,
        "labels": "given",
        "classes": [],
    }
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        editor.dump(values, file)
