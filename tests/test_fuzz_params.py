"""Whatever stands in params.yaml: it is taken, or refused in one line."""

import time
from pathlib import Path

import pytest
import yaml
from fuzzing import TREES, damaged_bytes, damaged_trees, fuzzed, outcome
from hypothesis import given
from hypothesis import strategies as st
from test_settings import COMMITTED, VALID

from unlearning.base.errors import UserError
from unlearning.settings.whole import load_params


def load(folder, content: bytes) -> str:
    path = folder / "params.yaml"
    path.write_bytes(content)
    return outcome(lambda: load_params(path))


@fuzzed
@given(tree=TREES)
def test_any_yaml_tree_is_refused_in_one_line(tmp_path, tree):
    """Must fail if a value of some kind escapes the schema's own errors."""
    assert (
        load(tmp_path, yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"))
        == "refused"
    )


@fuzzed
@given(tree=damaged_trees(VALID))
def test_any_value_in_the_place_of_a_right_one_is_taken_or_refused(tmp_path, tree):
    """Must fail if the message about some value cannot be made."""
    load(tmp_path, yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"))


@fuzzed
@given(content=damaged_bytes(COMMITTED.read_bytes()) | st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused(tmp_path, content):
    """Must fail if a parser's exception escapes."""
    load(tmp_path, content)


ODD = {
    "deep": b"a: " + b"[" * 100_000,
    "deep mapping": b"{a: " * 5000,
    "a number of 5000 digits": b"lr: " + b"9" * 5000,
    "a number of 5000 digits in base 16": b"lr: 0x" + b"f" * 5000,
    "no integer": b"lr: !!int abc",
    "no float": b"lr: !!float abc",
    "no truth value": b"lr: !!bool abc",
    "no date": b"lr: 2001-99-99",
    "no time": b"lr: !!timestamp abc",
    "no base64": b"lr: !!binary '*'",
    "a Python object": b"lr: !!python/object/apply:os.system ['touch /tmp/harmed']",
    "a Python name": b"lr: !!python/name:os.system",
    "a set": b"lr: !!set {a, b}",
    "pairs": b"lr: !!pairs [a: b, a: c]",
    "a list as key": b"? [a, b]\n: 1",
    "a mapping that holds itself": b"&a {a: *a}",
    "an unknown alias": b"lr: *a",
    "merged with a number": b"<<: 1\nlr: 1",
    "several documents": b"lr: 1\n---\nlr: 2\n",
    "UTF-16": "lr: 1".encode("utf-16"),
    "a NUL": b"lr: 1\x00",
    "a directive": b"%YAML 9.9\n---\nlr: 1",
    "sexagesimal": b"lr: " + b"1" + b":59" * 3000,
}  # fmt: skip


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_odd_yaml_is_refused_in_one_line(tmp_path, content):
    """Must fail if a tag, a number or a depth that PyYAML stumbles over ends in a traceback."""
    assert load(tmp_path, content) == "refused"
    valid = yaml.safe_dump({key: value for key, value in VALID.items() if key != "lr"}).encode()
    assert load(tmp_path, valid + content) == "refused"


def test_aliases_that_multiply_are_refused_at_once(tmp_path):
    """Must fail if the message writes out what a few hundred bytes stand for: 10^20 words."""
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 21))
    start = time.monotonic()
    assert load(tmp_path, f"a0: &a0 lol\n{levels}\n".encode()) == "refused"
    valid = yaml.safe_dump({key: value for key, value in VALID.items() if key != "lr"})
    assert load(tmp_path, f"gate0: 1\n{valid}lr: &a0 [lol]\n".encode()) == "refused"
    nested = "&a0 [lol]"
    for n in range(1, 21):
        nested = f"&a{n} [{nested}, {', '.join([f'*a{n - 1}'] * 9)}]"
    assert load(tmp_path, f"{valid}lr: {nested}\n".encode()) == "refused"
    assert time.monotonic() - start < 5


def test_a_key_that_stands_twice_is_refused(tmp_path):
    """Must fail if the last one counts: a limit of the gate could be loosened further down."""
    text = COMMITTED.read_text() + "\nlr: 0.5\n"
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="'lr' stands twice"):
        load_params(path)


def test_a_byte_order_mark_changes_nothing(tmp_path):
    """Must fail if an editor of another system makes the first key unknown."""
    assert load(tmp_path, b"\xef\xbb\xbf" + COMMITTED.read_bytes()) == "taken"


def test_what_is_no_file_of_a_sane_size_is_refused(tmp_path):
    """Must fail if a folder ends in a traceback, or an endless file fills the memory."""
    (tmp_path / "params.yaml").mkdir()
    for path in (tmp_path / "params.yaml", Path("/dev/zero"), tmp_path / ("x" * 300)):
        with pytest.raises(UserError, match=r"cannot be read|larger than"):
            load_params(path)
