"""The loader of params.yaml: plain YAML, checked by a schema, a mistake as one line."""

import json
import re
import shlex
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from unlearning.base.errors import UserError, nearest
from unlearning.base.reading import composed, read_text, refuse_conflict
from unlearning.settings.types import Section

PARAMS_FILE = Path("params.yaml")
MOST_BYTES = 2**20
CUT = "..."  # in place of the end of a long value
TEXT = "tag:yaml.org,2002:str"
# Truth values and numbers in YAML 1.1, which PyYAML reads, but words in YAML 1.2, which DVC reads and writes.
WORDS = re.compile(r"(?i)yes|no|on|off|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")

Schema = TypeVar("Schema", bound=Section)


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


def load(schema: type[Schema], path: Path = PARAMS_FILE) -> Schema:
    """Return the section of params.yaml that this schema describes; the others are not looked at.

    Raises: UserError with one line that names the key, its value, what is allowed and the likely fix.
    """
    values, node = read(path)
    if schema.key:
        if schema.key not in values:
            raise UserError(
                f"{path}: key {schema.key!r} is missing: restore it from the committed file"
            )
        return validated(schema, values[schema.key], node, path)
    own = {key: value for key, value in values.items() if key in schema.model_fields}
    return validated(schema, own, node, path)


def validated(schema: type[Schema], values: Any, node: yaml.MappingNode, path: Path) -> Schema:
    """Return the values as the schema has them. `node`: the whole file as it is written. Raises: as `load`."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(error, schema, node, path)) from None


def read(path: Path) -> tuple[dict[Any, Any], yaml.MappingNode]:
    """Return keys and values, unchecked, and the same as they are written. Raises: UserError."""
    try:
        return parse(read_text(path, MOST_BYTES), path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run from the project's root") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None


def parse(text: str, path: Path) -> tuple[dict[Any, Any], yaml.MappingNode]:
    """Return what `read` does, of a text. Raises: UserError that names `path`."""
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


def _explain(
    error: ValidationError, schema: type[Section], node: yaml.MappingNode, path: Path
) -> str:
    """Return one line about the first mistake and the number of the others."""
    # Unknown keys first: a misspelt key is also a missing one, and only its own name helps.
    first, *others = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    location = (schema.key, *first["loc"]) if schema.key else first["loc"]
    key = ".".join(str(part) for part in location)
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        return (
            f"{path}: unknown key {_shown(key)}{nearest(key, known_keys(schema, schema.key))}{more}"
        )
    if first["type"] == "missing":
        return f"{path}: key {key!r} is missing: restore it from the committed file{more}"
    allowed = first["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    advice = ""
    shown = _shown(first["input"])
    if isinstance(first["input"], dict) and shown.endswith(CUT):
        # A long section as a whole: its first keys are not what is wrong with it.
        return f"{path}: {key}: {allowed}{more}"
    if first["type"] == "list_type" and not isinstance(first["input"], dict):
        advice = f", such as [{'' if first['input'] is None else shown}]"
    if first["type"] == "string_type" and not isinstance(first["input"], list | dict):
        names = node
        for part in location[:2]:
            names = next(value for name, value in names.value if name.value == part)
        advice = _quoting(location, names)
    return f"{path}: {key} is {shown}, but {allowed}{advice}{more}"


def _quoting(location: tuple[int | str, ...], names: yaml.Node) -> str:
    """Return what to type for a name that YAML reads as something else; "" if it is none.

    `names` is what stands in the file under forget.classes, data.classes or forget.where.
    """
    if location[:2] == ("forget", "classes"):
        wrong = names.value[location[2]]
        if not all(isinstance(name, yaml.ScalarNode) for name in names.value) or not wrong.value:
            return ""
        line = f"- {_in_yaml(wrong)}"
        override = f"forget.classes=[{','.join(map(_in_override, names.value))}]"
    elif location[:2] in (("data", "classes"), ("forget", "where")):
        pairs = [pair for pair in names.value if not all(each.tag == TEXT for each in pair)]
        key, name = pairs[0]
        if not all(isinstance(each, yaml.ScalarNode) and each.value for each in (key, name)):
            return ""
        line = f"{_in_yaml(key)}: {_in_yaml(name)}"
        # `-S` knows no other keys, and leaves a key that it finds as it is.
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key.value) and key.tag == TEXT
        override = f"{location[0]}.{location[1]}.{key.value}={_in_override(name)}" if plain else ""
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
    return text if len(text) <= 60 else text[:57] + CUT


def known_keys(schema: type[BaseModel], prefix: str = "") -> list[str]:
    """Return every key of a schema that stands under `prefix`, nested ones joined by dots."""
    keys = []
    for name, field in schema.model_fields.items():
        keys.append(f"{prefix}.{name}" if prefix else name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += known_keys(field.annotation, keys[-1])
    return keys
