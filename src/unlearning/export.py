"""A model in a form that others read: a state dict as it came, PyTorch's exported program, ONNX.

What is written is read back, and must answer as the model does.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unlearning.base.errors import UserError, choices
from unlearning.base.files import atomic
from unlearning.models import foreign
from unlearning.models.classifier import Classifier
from unlearning.models.weights import load_classifier
from unlearning.settings.model import ModelParams

STATE_DICTS = (".safetensors", ".pt", ".pth")
IMAGES = 2
SEED = 0
TOLERANCE = 1e-4  # of logits, relative to the largest: ONNX Runtime adds up in another order


def export(model: Path, out: Path, params: ModelParams) -> str:
    """Write a model of the pipeline to `out`, as its suffix says; return a line about what was written.

    Its outputs stand in the order of `model.classes`, or of the classes' names where that is empty.
    `.safetensors`, `.pt`, `.pth`: the state dict of the network, with the names of `model.weights` where that
    was given. Its own names, and a word of it, where that file is not there: an erasure removes what an earlier
    request left, and a person's is theirs to withdraw. `.pt2` (torch.export) and `.onnx`: a program from
    images, N x 3 x H x W in [0, 1], to logits, for any N.

    Raises: UserError if the suffix is none of these, `model.classes` or `model.weights` are another model's, a
    library is missing, one ONNX file cannot hold the weights, or what was written answers otherwise.
    """
    programs: dict[str, Callable[[Classifier, Path], Callable[[Tensor], Tensor]]] = {
        ".pt2": _program,
        ".onnx": _onnx,
    }
    if out.suffix not in (*STATE_DICTS, *programs):
        suffixes = ", ".join((*STATE_DICTS, *programs))
        raise UserError(f"the file is {str(out)!r}, but its suffix must be one of {suffixes}")
    classifier, labelling = load_classifier(model)
    order = _order(labelling.classes, params.classes)
    given = Path(params.weights) if params.weights and out.suffix in STATE_DICTS else None
    is_missing = given is not None and not given.exists()
    generator = torch.Generator().manual_seed(SEED)
    size = labelling.image_size
    images = torch.rand(IMAGES, 3, size, size, generator=generator)
    with torch.no_grad():
        expected = classifier(images)[:, order]
        for tensor in (classifier.head.weight, classifier.head.bias):
            tensor.copy_(tensor[order])
        with atomic(out) as temporary:  # which keeps the suffix
            if out.suffix in programs:
                answer = programs[out.suffix](classifier, temporary)
            else:
                answer = _state_dict(classifier, temporary, None if is_missing else given)
            found = answer(images)
            away = float((found - expected).abs().max() / expected.abs().max())
            if not away <= TOLERANCE:
                raise UserError(
                    f"{out}: what was written answers otherwise, {away:.1e} away: not kept"
                )
    said = f"{out}: {len(labelling.classes)} classes, the same answers to {away:.0e}"
    if is_missing:
        said += f"; under the network's own names, since {given} (model.weights) is not there"
    return said


def _order(classes: Sequence[str], given: Sequence[str]) -> list[int]:
    """Return for each output as it is to be written its place in the model. Raises: UserError."""
    if given and sorted(given) != sorted(classes):
        raise UserError(
            f"params.yaml: model.classes are {choices(given)}, but the model's are {choices(classes)}: export "
            "with the params.yaml of its run"
        )
    return [classes.index(name) for name in given or classes]


def _state_dict(model: Classifier, file: Path, like: Path | None) -> Callable[[Tensor], Tensor]:
    state = {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}
    if like:
        given = foreign.read(like, "model.weights")
        prefix = foreign.prefix(given, state)
        names = {name: prefix + name for name in state if prefix + name in given}
        if not names:
            # Another library's, taken in order, which safetensors does not keep: there the network's own.
            ours, theirs = (
                [name for name in each if not name.endswith(foreign.COUNTER)]
                for each in (state, given)
            )
            if [state[name].shape for name in ours] != [given[name].shape for name in theirs]:
                raise UserError(
                    f"params.yaml: model.weights is {str(like)!r}, but that is another network's: "
                    "export with the params.yaml of the model's run"
                )
            names = dict(zip(ours, ours if file.suffix == ".safetensors" else theirs, strict=True))
        kept = {names[name]: tensor for name, tensor in state.items() if name in names}
        types = {name: given.get(name, tensor).dtype for name, tensor in kept.items()}
        # But for halves, which would answer otherwise.
        state = {
            name: tensor.to(types[name])
            if types[name].itemsize >= tensor.dtype.itemsize
            else tensor
            for name, tensor in kept.items()
        }
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    read = load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)

    def answer(images: Tensor) -> Tensor:
        foreign.fill(model.network, read, str(file), head=foreign.head_of(model))
        return model(images)

    return answer


def _program(model: Classifier, file: Path) -> Callable[[Tensor], Tensor]:
    torch.export.save(_exported(model), file)
    return lambda images: torch.export.load(file).module()(images)


def _onnx(model: Classifier, file: Path) -> Callable[[Tensor], Tensor]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401, PyTorch's exporter needs it
    except ImportError as error:
        raise UserError(
            f"{error}: ONNX takes three packages: pip install 'unlearning[onnx]'"
        ) from None
    program = torch.onnx.export(_exported(model), dynamo=True)
    assert program is not None
    # Where PyTorch puts weights of more than 1.5 GiB; in `file` stands this name, which would not be its own.
    beside = file.with_name(f"{file.name}.data")
    try:
        program.save(file)
        if beside.exists():
            raise UserError("the weights do not fit into one ONNX file: export .pt2 or .pth")
    finally:
        beside.unlink(missing_ok=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0])


def _exported(model: nn.Module) -> torch.export.ExportedProgram:
    size = int(model.image_size)  # type: ignore[arg-type]
    # Contiguous, whatever layout it was trained in: a program keeps the strides that it saw.
    model = model.to(memory_format=torch.contiguous_format)
    images = torch.rand(IMAGES, 3, size, size)
    return torch.export.export(
        model, (images,), dynamic_shapes={"images": {0: torch.export.Dim("N", min=1)}}
    )
