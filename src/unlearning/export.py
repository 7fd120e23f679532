"""A model in a form that others read: a state dict as it came, PyTorch's exported program, ONNX.

What is written is read back, and must answer as the model does.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unlearning.base.errors import UserError
from unlearning.base.files import atomic
from unlearning.models import foreign
from unlearning.models.classifier import Classifier
from unlearning.models.weights import load_classifier
from unlearning.settings.model import ModelParams

IMAGES = 2
SEED = 0
TOLERANCE = 1e-4  # of logits, relative to the largest: ONNX Runtime adds up in another order


def export(model: Path, out: Path, params: ModelParams) -> str:
    """Write a model of the pipeline to `out`, as its suffix says; return a line about what was written.

    `.safetensors`, `.pt`, `.pth`: the state dict of the network, its outputs in the order of `model.classes`
    and, where `model.weights` was given, with that file's names. `.pt2` (torch.export) and `.onnx`: a program
    from images, N x 3 x H x W in [0, 1], to logits, in the order of the data's classes, for any N.

    Raises: UserError if the suffix is none of these, a library is missing, or what was written answers
    otherwise.
    """
    writers: dict[str, Callable[[Classifier, Path], Callable[[Tensor], Tensor]]] = {
        ".safetensors": lambda network, file: _state_dict(network, file, params),
        ".pt": lambda network, file: _state_dict(network, file, params),
        ".pth": lambda network, file: _state_dict(network, file, params),
        ".pt2": _program,
        ".onnx": _onnx,
    }
    if out.suffix not in writers:
        raise UserError(
            f"the file is {str(out)!r}, but its suffix must be one of {', '.join(writers)}"
        )
    classifier, labelling = load_classifier(model)
    generator = torch.Generator().manual_seed(SEED)
    size = labelling.image_size
    images = torch.rand(IMAGES, 3, size, size, generator=generator)
    with torch.no_grad():
        expected = classifier(images)
        with atomic(out) as temporary:
            # The format is told by the suffix.
            part = temporary.with_name(f"{temporary.name}{out.suffix}")
            try:
                found = writers[out.suffix](classifier, part)(images)
                away = float((found - expected).abs().max() / expected.abs().max())
                if not away <= TOLERANCE:
                    raise UserError(
                        f"{out}: what was written answers otherwise, {away:.1e} away: not kept"
                    )
                part.replace(temporary)
            finally:
                part.unlink(missing_ok=True)
    return f"{out}: {len(labelling.classes)} classes, the same answers to {away:.0e}"


def _state_dict(model: Classifier, file: Path, params: ModelParams) -> Callable[[Tensor], Tensor]:
    state = {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}
    order: list[int] | None = None
    if params.classes:
        order = [sorted(params.classes).index(name) for name in params.classes]
        for part in ("weight", "bias"):
            name = f"{model.anatomy.head}.{part}"
            state[name] = state[name][order].contiguous()
    if params.weights:
        given = foreign.read(Path(params.weights), "model.weights")
        prefix = foreign.prefix(given, state)
        names = {name: prefix + name for name in state if prefix + name in given}
        if not names:
            # Another library's, taken in order, which safetensors does not keep: there the network's own.
            ours, theirs = (
                [name for name in each if not name.endswith(foreign.COUNTER)]
                for each in (state, given)
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
        logits = model(images)
        return logits if order is None else logits[:, torch.tensor(order).argsort()]

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
    program.save(file)
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
