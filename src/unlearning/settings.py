"""The schema of params.yaml: every value a person may change, its type and its range.

Strict: an unknown key, a wrong type or an impossible value is refused before any stage runs.
The knobs of the game stand at the top level, as people sweep them (`dvc exp run -S lr=0.0005`);
the rest has a section per stage. A stage is handed only its own part, see `tests/test_pipeline.py`.
"""

import json
import math
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from unlearning.errors import UserError, nearest
from unlearning.reading import composed, read_text, refuse_conflict

PARAMS_FILE = Path("params.yaml")
MOST_BYTES = 2**20
TEXT = "tag:yaml.org,2002:str"
# Truth values and numbers in YAML 1.1, which PyYAML reads, but words in YAML 1.2, which DVC reads and writes.
WORDS = re.compile(r"(?i)yes|no|on|off|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


def _exponent_to_float(value: object) -> object:
    """Turn '1e-05' into a number: PyYAML reads an exponent without a dot as a string."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


Number = Annotated[float, BeforeValidator(_exponent_to_float), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(gt=0, lt=1)]
Share = Annotated[Number, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
ImageSize = Annotated[int, Field(ge=32, le=1024)]
Name = Annotated[str, AfterValidator(composed)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataParams(_Strict):
    """Where the images come from and how they are packed."""

    source: Literal["synthetic", "folder"]
    path: Annotated[str, Field(min_length=1)]
    classes: dict[Name, Name]
    image_size: ImageSize
    on_bad_image: Literal["skip", "fail"]
    images_per_class: Annotated[int, Field(ge=10, le=100_000)]
    seed: Seed


class SplitParams(_Strict):
    """Shares of the images held out from training, per class."""

    validation: Fraction
    test: Fraction
    seed: Seed

    @model_validator(mode="after")
    def _leave_images_to_train_on(self) -> "SplitParams":
        if self.validation + self.test >= 1:
            raise ValueError(
                "validation + test must leave images to train on: their sum must be below 1"
            )
        return self


class ForgetParams(_Strict):
    """What is to be forgotten, and what becomes of its copies under classes to keep."""

    equal_pixels: Literal["withdraw", "keep"]
    near_copies: Literal["list", "withdraw"]
    classes: Annotated[
        list[Annotated[str, Field(min_length=1), AfterValidator(composed)]], Field(min_length=1)
    ]


class OriginalParams(_Strict):
    """Recipe of the classifier that must forget, and of the models retrained without the forget set.

    Batch normalisation takes a variance over each batch: one image has none.
    """

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    lr: Positive
    weight_decay: NonNegative
    seed: Seed


class RetrainParams(_Strict):
    """The reference: models that never saw the forget set, one per seed."""

    seeds: list[Seed]

    @model_validator(mode="after")
    def _name_each_seed_once(self) -> "RetrainParams":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("each seed must stand once")
        return self


class GateParams(_Strict):
    """The limits of `unlearning gate`; none: that figure is not checked.

    No limit may lie above what its figure can reach: 2 for 2 percent would never be broken.
    """

    forget_accuracy: Share | None
    retain_loss: Share | None
    js_excess: Annotated[Number, Field(ge=0, le=math.log(2))] | None
    membership_excess: Annotated[Number, Field(ge=0, le=0.5)] | None
    few_shot_excess: Share | None
    cost_ratio: NonNegative | None


class ReportParams(_Strict):
    """What the report shows."""

    forget_images: Annotated[int, Field(ge=0, le=100)]


class GameParams(_Strict):
    """The knobs of the adversarial game; they stand at the top level of params.yaml."""

    recipe: Literal["adversarial", "article"]
    seed: Seed
    lr: Positive
    epochs: Count
    batch_size: Count
    weight_decay: NonNegative
    beta1: Annotated[Number, Field(ge=0, lt=1)]
    beta2: Annotated[Number, Field(ge=0, lt=1)]
    forget_images: Count
    adversary: Literal["best_response", "discriminator", "none"]
    adversary_weight: NonNegative
    retain_weight: NonNegative
    teacher_weight: NonNegative
    feature_weight: NonNegative


class Params(GameParams):
    """The whole of params.yaml."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "bf16"]
    forget: ForgetParams
    data: DataParams
    split: SplitParams
    original: OriginalParams
    report: ReportParams
    retrain: RetrainParams
    gate: GateParams

    @property
    def game(self) -> GameParams:
        """The knobs of the game alone, as the library takes them."""
        return GameParams(**{key: getattr(self, key) for key in GameParams.model_fields})


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader without three things that hide what a file says.

    A key that stands twice: PyYAML takes the last. An alias: a few hundred bytes stand for gigabytes.
    A word that DVC takes for a word and PyYAML for a truth value or a number, such as no and 12:30.
    """

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and implicit[0] and WORDS.fullmatch(value):
            return TEXT
        return super().resolve(kind, value, implicit)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()
            raise yaml.YAMLError(f"*{alias.anchor} is an alias: write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        keys = (key for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for name in (composed(key.value) for key in keys):
            if name in seen:
                raise yaml.YAMLError(f"key {_shown(name)} stands twice")
            seen.add(name)
        return super().construct_mapping(node, deep)


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Return the checked parameters.

    Raises: UserError with one line that names the key, its value, what is allowed and the likely fix.
    """
    try:
        text = read_text(path, MOST_BYTES)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run from the project's root") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    values, node = _parse(text, path)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(error, path, node)) from None


def parse_params(text: str, path: Path) -> dict[Any, Any]:
    """Return the keys and values of a params.yaml, unchecked. Raises: UserError that names `path`."""
    return _parse(text, path)[0]


def _parse(text: str, path: Path) -> tuple[dict[Any, Any], yaml.MappingNode]:
    """Return keys and values, and the same as they were written."""
    refuse_conflict(text, path)
    try:
        loader = _PlainLoader(text)
        node = loader.get_single_node()
        values = loader.construct_document(node) if node else None
    # PyYAML's parsers raise all sorts: ValueError, KeyError, AttributeError, RecursionError, ...
    except Exception as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold keys and values, not {type(values).__name__}")
    return values, node


def _explain(error: ValidationError, path: Path, node: yaml.MappingNode) -> str:
    """Return one line about the first mistake and the number of the others."""
    # Unknown keys first: a misspelt key is also a missing one, and only its own name helps.
    first, *others = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        return f"{path}: unknown key {_shown(key)}{nearest(key, known_keys())}{more}"
    if first["type"] == "missing":
        return f"{path}: key {key!r} is missing: restore it from the committed file{more}"
    allowed = first["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    advice = ""
    if first["type"] == "string_type" and not isinstance(first["input"], list | dict):
        names = node
        for part in first["loc"][:2]:
            names = next(value for name, value in names.value if name.value == part)
        advice = _quoting(first["loc"], names)
    return f"{path}: {key} is {_shown(first['input'])}, but {allowed}{advice}{more}"


def _quoting(location: tuple[int | str, ...], names: yaml.Node) -> str:
    """Return what to type for a class whose name YAML reads as something else; "" if it is none.

    `names` is what stands in the file under forget.classes or data.classes.
    """
    if location[:2] == ("forget", "classes"):
        wrong = names.value[location[2]]
        if not all(isinstance(name, yaml.ScalarNode) for name in names.value) or not wrong.value:
            return ""
        line = f"- {_in_yaml(wrong)}"
        override = f"forget.classes=[{','.join(map(_in_override, names.value))}]"
    elif location[:2] == ("data", "classes"):
        pairs = [pair for pair in names.value if not all(each.tag == TEXT for each in pair)]
        folder, name = pairs[0]
        if not all(isinstance(each, yaml.ScalarNode) and each.value for each in (folder, name)):
            return ""
        line = f"{_in_yaml(folder)}: {_in_yaml(name)}"
        # `-S` knows no other keys, and leaves a key that it finds as it is.
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", folder.value) and folder.tag == TEXT
        override = f"data.classes.{folder.value}={_in_override(name)}" if plain else ""
    else:
        return ""
    words = f", or say dvc exp run -S {shlex.quote(override)}" if override else ""
    return f"; quotes make it a name: write {line} in {PARAMS_FILE}{words}"


def _in_yaml(name: yaml.ScalarNode) -> str:
    return json.dumps(name.value, ensure_ascii=False)


def _in_override(name: yaml.ScalarNode) -> str:
    """Return a name as a string of Hydra's grammar, in which a backslash stands for itself."""
    return '"' + name.value.replace('"', '\\"') + '"'


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write out a number of thousands of digits
        return f"a {type(value).__name__} too long to be shown"
    return text if len(text) <= 60 else text[:57] + "..."


def known_keys(model: type[BaseModel] = Params, prefix: str = "") -> list[str]:
    """Return every key of params.yaml, nested ones joined by dots."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys.extend(known_keys(field.annotation, f"{prefix}{name}."))
    return keys
