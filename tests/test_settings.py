"""params.yaml is checked to the last key, and a mistake is told in one line that names the fix."""

import copy
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from unlearning.base.errors import UserError
from unlearning.settings.forget import ForgetParams
from unlearning.settings.whole import load_params

COMMITTED = Path(__file__).parents[1] / "params.yaml"
# The project's keys with the values that tests rely on; other test files start from it too.
VALID: dict[str, Any] = yaml.safe_load(COMMITTED.read_text(encoding="utf-8")) | {
    "lr": 0.0002,
    "device": "cpu",
    "forget": {
        "equal_pixels": "withdraw",
        "near_copies": "list",
        "files": None,
        "where": {},
        "fraction": None,
        "seed": 0,
        "labels": "given",
        "previous": [],
        "classes": ["elephant"],
    },
    "data": {
        "source": "folder",
        "path": "photos",
        "download": False,
        "classes": {},
        "image_size": 32,
        "on_bad_image": "skip",
        "images_per_class": 10,
        "seed": 0,
    },
    "split": {"validation": 0.2, "test": 0.2, "seed": 0},
}


def write_params(folder: Path, **changes: Any) -> Path:
    """Write VALID to `folder`/params.yaml, changed at keys such as data__image_size."""
    values = copy.deepcopy(VALID)
    for key, value in changes.items():
        *sections, name = key.split("__")
        part = values
        for section in sections:
            part = part[section]
        part[name] = value
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def forgetting(**values: Any) -> ForgetParams:
    """Return the forget section of VALID with these values."""
    return ForgetParams(**VALID["forget"] | values)


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_params(path)
    return str(caught.value)


def test_the_projects_own_parameters_are_valid():
    """Must fail if a key is added to the file or to the schema alone."""
    assert load_params(COMMITTED).model_dump() == yaml.safe_load(COMMITTED.read_text())


def test_valid_parameters_come_back_as_written(tmp_path):
    """Must fail if a section is left out of the schema, or a value is changed on the way."""
    assert load_params(write_params(tmp_path)).model_dump() == VALID


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("lr", -0.1, "greater than 0"),
        ("lr", 0, "greater than 0"),
        ("lr", float("nan"), "finite number"),
        ("lr", float("inf"), "finite number"),
        ("lr", "fast", "valid number"),
        ("lr", True, "valid number"),
        ("lr", [0.1], "valid number"),
        ("lr", None, "valid number"),
        ("epochs", 0, "greater than or equal to 1"),
        ("epochs", 1.5, "valid integer"),
        ("epochs", True, "valid integer"),
        ("epochs", "3", "valid integer"),
        ("batch_size", 1, "greater than or equal to 2"),
        ("cost", 0, "auto or a number above 0 and at most 1"),
        ("cost", 1.1, "auto or a number above 0 and at most 1"),
        ("cost", float("nan"), "auto or a number above 0 and at most 1"),
        ("cost", True, "auto or a number above 0 and at most 1"),
        ("beta1", 1, "less than 1"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**32, "less than 4294967296"),
        ("recipe", "articel", "'adversarial', 'article', 'delete' or 'euk'"),
        ("device", "gpu", "'auto', 'cpu' or 'cuda'"),
        ("precision", "fp16", "'auto', 'fp32' or 'bf16'"),
        ("data__image_size", 0, "auto or a whole number from 32 to 1024"),
        ("data__source", "web", "'synthetic', 'folder', 'table', 'cifar10'"),
        ("data__path", "", "at least 1 character"),
        ("data__path", 3, "valid string"),
        ("data__on_bad_image", "ignore", "'skip' or 'fail'"),
        ("data__classes", ["dog"], "valid dictionary"),
        ("data__images_per_class", 9, "greater than or equal to 10"),
        ("split__test", 0, "greater than 0"),
        ("split__test", 1.2, "less than 1"),
        (
            "model__mean",
            [123.7, 116.3, 103.5],
            "mean.0 is 123.7, but it must be less than or equal to 1",
        ),
        ("model__mean", [-0.1], "greater than or equal to 0"),
        ("model__std", [58.4, 57.1, 57.4], "std.0 is 58.4, but it must be less than or equal to 1"),
        ("model__std", [0], "greater than 0"),
        ("forget__classes", "elephant", "valid list, such as ['elephant']"),
        ("retrain__seeds", None, "valid list, such as []"),
        ("retrain__seeds", 3, "valid list, such as [3]"),
        ("forget__classes", [""], "at least 1 character"),
        ("retrain__seeds", [1, 1], "once"),
        ("gate__forget_accuracy", 2, "less than or equal to 1"),
        ("gate__retain_loss", 3, "less than or equal to 1"),
        ("gate__js_excess", 0.7, "less than or equal to 0.693"),
        ("gate__membership_excess", 0.6, "less than or equal to 0.5"),
        ("gate__few_shot_excess", 15, "less than or equal to 1"),
        ("gate__cost_ratio", -0.1, "greater than or equal to 0"),
    ],
)
def test_an_impossible_value_is_refused_with_its_key_and_what_is_allowed(
    tmp_path, key, value, allowed
):
    """Must fail if the bound or the type of this key is dropped from the schema."""
    message = refusal(write_params(tmp_path, **{key: value}))
    assert key.split("__")[0] in message
    assert key.split("__")[-1] in message
    assert allowed in message


def test_fractions_that_leave_nothing_to_train_on_are_refused(tmp_path):
    """Must fail if only each fraction is bounded, not their sum."""
    message = refusal(write_params(tmp_path, split__validation=0.5, split__test=0.5))
    assert "split" in message
    assert "sum must be below 1" in message


@pytest.mark.parametrize(
    ("key", "meant"), [("learning_rate", None), ("bach_size", "batch_size"), ("Lr", "lr")]
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path, key, meant):
    """Must fail if unknown keys are ignored, or if the suggestion is made up."""
    message = refusal(write_params(tmp_path, **{key: 1}))
    assert f"unknown key {key!r}" in message
    assert meant is None or f"did you mean {meant!r}?" in message


def test_a_misspelt_key_is_told_as_such(tmp_path):
    """Must fail if the right key is called missing before the wrong one is called unknown."""
    path = write_params(tmp_path)
    text = re.sub(r"^batch_size", "bach_size", path.read_text(), flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    assert "unknown key 'bach_size', did you mean 'batch_size'?" in refusal(path)


def test_of_a_long_section_only_what_is_wrong_is_shown(tmp_path):
    """Must fail if its first keys, which are none of the mistake, are shown before it."""
    message = refusal(write_params(tmp_path, forget__classes=[]))
    assert "params.yaml: forget: it asks for nothing: name classes" in message


def test_an_unknown_key_in_a_section_is_suggested_with_its_section(tmp_path):
    """Must fail if nested keys are not known to the suggestion."""
    message = refusal(write_params(tmp_path, data__imagesize=64))
    assert message.endswith("unknown key 'data.imagesize', did you mean 'data.image_size'?")


def test_a_missing_key_is_named(tmp_path):
    """Must fail if the schema has a default where the file must speak."""
    values = {key: value for key, value in VALID.items() if key != "lr"}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert "'lr' is missing" in refusal(path)


@pytest.mark.parametrize(
    ("text", "number"), [("1e-05", 1e-5), ("1E5", 1e5), ("2.5e-4", 2.5e-4), ("1", 1.0)]
)
def test_an_exponent_without_a_dot_is_a_number(tmp_path, text, number):
    """Must fail if PyYAML's reading of 1e-05 as a string reaches the schema: DVC's -S writes it."""
    path = write_params(tmp_path)
    path.write_text(path.read_text().replace("lr: 0.0002", f"lr: {text}"), encoding="utf-8")
    lr = load_params(path).lr
    assert lr == number
    assert type(lr) is float


def test_several_mistakes_are_counted(tmp_path):
    """Must fail if the others are not counted: a person mends one and believes to be done."""
    assert refusal(write_params(tmp_path, lr=-1, epochs=0)).endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"lr: [1, 2", "not valid YAML"),
        (b"- 1\n- 2\n", "keys and values, not list"),
        (b"", "keys and values, not NoneType"),
        (b"lr: \xff", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_refused(tmp_path, content, said):
    """Must fail if a parser's own exception escapes."""
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    assert said in refusal(path)


def test_a_missing_file_is_refused(tmp_path):
    """Must fail if FileNotFoundError escapes."""
    assert "does not exist: run from the project's root" in refusal(tmp_path / "params.yaml")


READ_AS_SOMETHING_ELSE = [
    "7", "007", "-1", "+1", "null", "~", "0x1F", "0b11", "2024-01-01", "true", "False", ".5", "1.0",
    "1_000", ".inf", ".nan",
]  # fmt: skip


def with_lines(folder: Path, old: str, new: str) -> Path:
    """Return the committed parameters with one piece replaced, as a file in `folder`."""
    text = COMMITTED.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = folder / "params.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def advice(path: Path) -> tuple[str, str | None]:
    """Return the line and the argument of -S that the refusal tells a person to type."""
    found = re.search(
        r"write (.*?) in params\.yaml(?:, or say dvc exp run -S (.*))?$", refusal(path)
    )
    assert found
    return found[1], shlex.split(found[2])[0] if found[2] else None


@pytest.mark.parametrize("name", READ_AS_SOMETHING_ELSE)
def test_a_class_that_yaml_takes_for_no_name_is_refused_with_what_to_type(tmp_path, name):
    """Must fail if the number's value (31) is shown for its name (0x1F), or the advice is read as 31 again."""
    path = with_lines(tmp_path, "  - elephant\n", f"  - cow\n  - {name}\n")
    line, override = advice(path)
    apply_overrides(path, [override])
    assert load_params(path).forget.classes == ["cow", name]
    path = with_lines(tmp_path, "  - elephant\n", f"  - cow\n  {line}\n")
    assert load_params(path).forget.classes == ["cow", name]

    path = with_lines(tmp_path, "classes: {}\n", f"classes:\n    cane: dog\n    gatto: {name}\n")
    line, override = advice(path)
    apply_overrides(path, [override])
    assert load_params(path).data.classes == {"cane": "dog", "gatto": name}
    path = with_lines(tmp_path, "classes: {}\n", f"classes:\n    cane: dog\n    {line}\n")
    assert load_params(path).data.classes == {"cane": "dog", "gatto": name}

    path = with_lines(tmp_path, "classes: {}\n", f"classes:\n    cane: dog\n    {name}: cat\n")
    line, override = advice(path)
    assert override is None  # -S leaves a key as it stands
    path = with_lines(tmp_path, "classes: {}\n", f"classes:\n    cane: dog\n    {line}\n")
    assert load_params(path).data.classes == {"cane": "dog", name: "cat"}

    path = with_lines(tmp_path, "  where: {}\n", f"  where:\n    year: {name}\n")
    line, override = advice(path)
    apply_overrides(path, [override, "forget.classes=[]"])
    assert load_params(path).forget.where == {"year": name}
    path = with_lines(tmp_path, "  where: {}\n", f"  where:\n    {line}\n")
    apply_overrides(path, ["forget.classes=[]"])
    assert load_params(path).forget.where == {"year": name}


@pytest.mark.parametrize("name", ["no", "Yes", "ON", "off", "y", "12:30", "1:2:3", "1e3", "0o17"])
def test_words_that_dvc_writes_without_quotes_are_names(tmp_path, name):
    """Must fail if PyYAML's older rules make a truth value or a number of what DVC takes for a word."""
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text(encoding="utf-8"), encoding="utf-8")
    apply_overrides(path, [f'forget.classes=["{name}"]', f'+data.classes.x="{name}"'])
    params = load_params(path)
    assert params.forget.classes == [name]
    assert params.data.classes == {"x": name}
    path = with_lines(tmp_path, "classes: {}\n", f"classes:\n    {name}: {name}\n")
    assert load_params(path).data.classes == {name: name}


def test_a_quote_in_another_name_survives_the_advice(tmp_path):
    """Must fail if the argument of -S is not quoted for the shell or for Hydra."""
    names = ["it's", 'a "b"', "a b"]
    listed = "".join(f"  - {name}\n" for name in names)
    path = with_lines(tmp_path, "  - elephant\n", listed + "  - 7\n")
    _, override = advice(path)
    apply_overrides(path, [override])
    assert load_params(path).forget.classes == [*names, "7"]


@pytest.mark.parametrize("item", ["[7]", "{a: 7}", "", '""'])
def test_what_is_no_name_at_all_gets_no_such_advice(tmp_path, item):
    """Must fail if a list or an empty item ends in a traceback or in a name that nobody meant."""
    said = refusal(with_lines(tmp_path, "  - elephant\n", f"  - {item}\n  - [8]\n"))
    assert "quotes" not in said
    if item != '""':  # a class's empty name is found with the folders
        said = refusal(with_lines(tmp_path, "classes: {}\n", f"classes:\n    cat: {item}\n"))
        assert "quotes" not in said


def test_names_are_compared_in_one_unicode_form(tmp_path):
    """Must fail if a name typed in one form misses the folder that has the other, or stands twice unseen."""
    decomposed, composed = "e\u0301", "\xe9"
    path = write_params(
        tmp_path, forget__classes=[decomposed], data__classes={decomposed: decomposed}
    )
    params = load_params(path)
    assert params.forget.classes == [composed]
    assert params.data.classes == {composed: composed}
    twice = write_params(tmp_path, data__classes={decomposed: "a", composed: "b"})
    assert "stands twice" in refusal(twice)
