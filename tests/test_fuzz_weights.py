"""Whatever stands in a weights file or a checkpoint: it is taken, or refused in one line, and no code runs."""

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import resnet
from fuzzing import TREES, damaged_bytes, damaged_trees, fuzzed, outcome
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save as to_bytes
from test_models import LABELLING
from tiny_project import run

from unlearning import predict
from unlearning.base.errors import UserError
from unlearning.models.discriminator import load_discriminator, new_discriminator
from unlearning.models.weights import load_classifier, retrained, save
from unlearning.running.resume import Checkpoint

TENSORS = {"a": torch.zeros(3), "b": torch.arange(4).reshape(2, 2)}
SMALL = to_bytes(TENSORS, metadata={"labelling": '{"classes": ["a", "b"], "image_size": 32}'})
HEADER = json.loads(SMALL[8 : 8 + struct.unpack("<Q", SMALL[:8])[0]])


def framed(header: bytes, body: bytes, length: int | None = None) -> bytes:
    """Return a safetensors file with this header; `length`: what it says of the header's size."""
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def load(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return outcome(lambda: load_discriminator(path))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> bytes:
    """Return the bytes of a good file."""
    path = tmp_path_factory.mktemp("weights") / "good.safetensors"
    save(new_discriminator(3, seed=0), LABELLING, path)
    return path.read_bytes()


@fuzzed
@given(data=st.data())
def test_damaged_bytes_are_taken_or_refused(tmp_path, weights, data):
    """Must fail if an exception of the format, of JSON or of PyTorch escapes."""
    load(tmp_path / "m.safetensors", data.draw(damaged_bytes(weights, header=700)))


@fuzzed
@given(
    header=damaged_trees(HEADER) | TREES,
    length=st.none() | st.sampled_from([0, 1, 2**31, 2**63, 2**64 - 1]),
)
def test_a_header_that_lies_is_refused(tmp_path, header, length):
    """Must fail if a length, a shape, a type or a place in the file is believed."""
    text = json.dumps(header).encode("utf-8", "replace")
    content = framed(text, SMALL[8 + struct.unpack("<Q", SMALL[:8])[0] :], length)
    assert load(tmp_path / "m.safetensors", content) == "refused"


@fuzzed
@given(
    labelling=TREES
    | damaged_trees({"classes": ["a", "b", "c"], "image_size": 48, "fingerprint": None})
)
def test_any_labelling_is_taken_or_refused(tmp_path, labelling):
    """Must fail if class names that are no text, or a size that fills the memory, get through."""
    path = tmp_path / "m.safetensors"
    text = json.dumps(labelling).encode("utf-8", "replace").decode()
    path.write_bytes(to_bytes(new_discriminator(3, 0).state_dict(), metadata={"labelling": text}))
    if outcome(lambda: load_discriminator(path)) == "taken":
        assert len(labelling["classes"]) == 3
        assert all(isinstance(name, str) for name in labelling["classes"])
        assert 32 <= labelling["image_size"] <= 1024


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    state = new_discriminator(3, 0).state_dict()
    change(state)
    labelling = json.dumps({"classes": ["a", "b", "c"], "image_size": 48})
    return to_bytes(state, metadata={"labelling": labelling})


ODD = {
    "another type": lambda: changed(lambda s: s.update({k: v.double() for k, v in s.items()})),
    "whole numbers": lambda: changed(lambda s: s.update({k: v.long() for k, v in s.items()})),
    "NaN": lambda: changed(lambda s: s["layers.4.bias"].fill_(float("nan"))),
    "infinity": lambda: changed(lambda s: s["layers.0.weight"].fill_(float("inf"))),
    "one missing": lambda: changed(lambda s: s.pop("layers.4.bias")),
    "one too many": lambda: changed(lambda s: s.update(extra=torch.zeros(1))),
    "an odd name": lambda: changed(lambda s: s.update({"\x1b[2J\n": torch.zeros(1)})),
    "deep labelling": lambda: to_bytes(TENSORS, metadata={"labelling": "[" * 200_000}),
    "infinite size": lambda: to_bytes(
        TENSORS, metadata={"labelling": '{"classes": ["a", "b"], "image_size": 1e999}'}
    ),
    "a deep header": lambda: framed(b"[" * 100_000, b""),
    "a header that is no text": lambda: framed(b"\xff" * 100, b""),
    "tensors that overlap": lambda: framed(
        json.dumps({
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        }).encode(), bytes(12)),
    "a shape beyond all memory": lambda: framed(
        json.dumps({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}).encode(),
        bytes(4)),
    "an empty tensor of an endless shape": lambda: framed(
        json.dumps({"__metadata__": {"labelling": "{}"},
                    "a": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]}}).encode(), b""),
    "a type of half a byte": lambda: framed(
        json.dumps({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode(), bytes(1)),
}  # fmt: skip


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_odd_weights_are_refused_in_one_line(tmp_path, content):
    """Must fail if a type, a NaN or a depth gets through, or ends in a traceback."""
    assert load(tmp_path / "m.safetensors", content()) == "refused"


def test_a_short_file_that_names_a_million_classes_takes_no_memory(tmp_path, monkeypatch):
    """Must fail if a network of that size (2 GB) is built before it is compared with the file."""
    header = json.dumps({"classes": [str(n) for n in range(10**6)], "image_size": 32})
    path = tmp_path / "m.safetensors"
    path.write_bytes(to_bytes(TENSORS, metadata={"labelling": header}))
    built = []
    original = torch.nn.Linear.reset_parameters

    def watched(self):
        built.append(self.weight.device.type)
        original(self)

    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", watched)
    for reader in (load_classifier, load_discriminator):
        with pytest.raises(UserError, match="another architecture"):
            reader(path)
    assert set(built) == {"meta"}


def test_a_weights_file_beyond_all_sizes_is_refused(tmp_path):
    """Must fail if an endless file fills the memory."""
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.truncate(2**32 + 1)
    with pytest.raises(UserError, match="larger than"):
        load_discriminator(path)


def linked(folder: Path, source: Path) -> Path:
    """Return `folder` with a link for every model in `source`."""
    for file in source.rglob("*.safetensors"):
        target = folder / file.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(file)
    return folder


def test_a_retrained_model_whose_name_is_no_seed_is_refused(tmp_path, model_folder):
    """Must fail if ValueError of int("x") escapes."""
    linked(tmp_path, model_folder)
    (tmp_path / "retrained" / "-1 copy.safetensors").touch()
    with pytest.raises(UserError, match="whose names are seeds"):
        retrained(tmp_path)


def test_answers_that_are_not_finite_are_refused(tmp_path, data, model_folder, cpu):
    """Must fail if a NaN is printed as a confidence, or breaks the JSON."""
    huge = resnet(len(data.classes), seed=0)
    with torch.no_grad():
        for parameter in huge.parameters():
            parameter.fill_(3e38)
    linked(tmp_path, model_folder)
    (tmp_path / "unlearned.safetensors").unlink()
    save(huge, data.labelling, tmp_path / "unlearned.safetensors")
    Image.fromarray(data.images[0]).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="not finite"):
        list(predict.predict([tmp_path / "a.png"], "unlearned", tmp_path, cpu))


# Prints how many of 40 loads a signal ended, at 40 moments; anything but KeyboardInterrupt escapes.
INTERRUPTED = """
import signal, sys, time
from safetensors.torch import load
from unlearning.base.tensors import read_tensors

signal.signal(signal.SIGALRM, signal.default_int_handler)
read_tensors(sys.argv[1], "labelling", load)
before = time.monotonic()
read_tensors(sys.argv[1], "labelling", load)
took = time.monotonic() - before
count = 0
for step in range(40):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, took * (step + 1) / 41)
            read_tensors(sys.argv[1], "labelling", load)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        count += 1
print(count)
"""


def test_ctrl_c_while_a_file_is_read_is_no_fault_of_the_file(tmp_path):
    """Must fail if the format's library wraps KeyboardInterrupt: the person would be told to retrain.

    In a process of its own: an exception at any moment may leave a lock of coverage's held for good.
    """
    path = tmp_path / "m.safetensors"
    save(resnet(3, seed=0), LABELLING, path)
    said = run(tmp_path, sys.executable, "-c", INTERRUPTED, str(path))
    assert int(said.split()[-1]) > 10  # an exception in a destructor is said before


class Part:
    """A network's stand-in that a checkpoint holds."""

    def __init__(self):
        self.state = {"step": 1, "moments": {0: torch.zeros(2, 2)}}

    def state_dict(self):
        return self.state

    def load_state_dict(self, state_dict):
        if list(state_dict) != ["step", "moments"]:
            raise RuntimeError("other keys")
        self.state = state_dict


@fuzzed
@given(data=st.data())
def test_a_damaged_checkpoint_is_left_aside_or_refused(tmp_path_factory, data):
    """Must fail if the exception of a state that lacks something escapes."""
    path = tmp_path_factory.mktemp("scratch") / "state.safetensors"
    generator = torch.Generator().manual_seed(0)
    Checkpoint(path).save(3, [{"loss": 0.5}], {"model": Part()}, generator)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(damaged_bytes(content, header=length)))
    else:
        header = json.loads(content[8 : 8 + length])
        state = data.draw(damaged_trees(json.loads(header["__metadata__"]["state"])))
        header["__metadata__"]["state"] = json.dumps(state)
        text = json.dumps(header).encode("utf-8", "replace")
        path.write_bytes(framed(text, content[8 + length :]))
    outcome(lambda: Checkpoint(path).restore({"model": Part()}, generator))
