"""Settings from YAML files and options. An explicit option goes before the file, the file before the default.

YAML is bounded in size, depth and by its aliases: PyYAML raises many types on a value that is no date or number,
follows nesting as deep as it goes, and gives a few lines of aliases back as billions of values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from lungsev.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

MAX_YAML_BYTES = 1 << 20  # the manifest that ships with lungsev has 0.2 MB
_MAX_VALUES = 100_000  # as above: 8,000
_MAX_DEPTH = 50
# Of a text that is explained: the clearer parser takes time in the square of the nesting.
_MOST_CHARACTERS, _MOST_BRACKETS = 10_000, 300
_SURROGATES = re.compile("[\ud800-\udfff]")
_LONGEST_NUMBER = 100  # characters: Python reads numbers to the base of 60 in the square of their length
_TEXT = "tag:yaml.org,2002:str"
_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml takes a seventh of the time, where PyYAML has it


def load_model(
    model: type[Model],
    path: Path | None,
    overrides: Mapping[str, Any] | None = None,
    read: Callable[[Path], dict[str, Any]] | None = None,
) -> Model:
    """Read a settings class from a YAML file, then apply explicit options.

    Args:
        model: Settings class; unknown keys are refused when it forbids extras.
        path: YAML file, or None for the defaults alone.
        overrides: Dotted key path to value, e.g. {"data.batch_size": 8}. A value of None counts as not given.
        read: Reads the file; None is `read_yaml`.

    Raises:
        ConfigError: Names the file and the key path.
    """
    data = (read or read_yaml)(path) if path is not None else {}
    for key, value in (overrides or {}).items():
        if value is not None:
            _set_dotted(data, key, value)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(error, model, path)) from None


def read_yaml(path: Path, *, own: bool = False) -> dict[str, Any]:
    """Read a YAML mapping with the safe loader.

    Args:
        path: The file.
        own: A file that lungsev wrote, in which paths keep bytes that are no UTF-8, as `os.fsdecode` has them.

    Raises:
        ConfigError: The file is missing, or is not a YAML mapping.
    """
    try:
        with path.open("rb") as stream:
            data = parse_yaml(stream.read(4 * MAX_YAML_BYTES + 1), own=own)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not valid YAML: byte {error.start} is no UTF-8; save it as plain text") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {_explain_yaml(error)}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds a {type(data).__name__}, expected a mapping of settings")
    return data


def parse_yaml(data: bytes | str, *, own: bool = False) -> Any:
    """Return the value of a YAML document, None where it is empty.

    Args:
        data: UTF-8 or text.
        own: As in `read_yaml`.

    Raises:
        yaml.YAMLError: It is not YAML, a key comes twice, a value is no value of its type, or it is too large.
        UnicodeDecodeError: It is not UTF-8.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    if len(text) > MAX_YAML_BYTES:
        raise yaml.YAMLError(f"it is larger than {MAX_YAML_BYTES >> 20} MiB")
    if _SURROGATES.search(text):
        raise yaml.YAMLError("it holds a character that is none")
    kind = _OwnLoader if own and "\\u" in text else _Loader
    loader = kind(text)
    try:
        _check_nesting(text, kind)
        node = loader.get_single_node()
        _check_extent(node)
        return None if node is None else loader.construct_document(node)
    except _RefusedError:
        raise
    except yaml.YAMLError as error:
        raise _clearer(text, error) from None
    except MemoryError:
        raise
    except Exception:
        raise _yaml_error("this value cannot be read", loader.place or loader.get_mark()) from None
    finally:
        loader.dispose()


def _clearer(text: str, error: yaml.YAMLError) -> yaml.YAMLError:
    """Return what PyYAML's own parser finds wrong, which it says in clearer words than libyaml."""
    if len(text) > _MOST_CHARACTERS or text.count("[") + text.count("{") > _MOST_BRACKETS:
        return error
    try:
        for _ in yaml.parse(text, Loader=yaml.SafeLoader):
            pass
    except yaml.YAMLError as clearer:
        return clearer
    except Exception:
        return error
    return error


def _check_nesting(text: str, parser: type[Any]) -> None:
    """Refuse what is nested too deeply before anything follows it down."""
    depth = 0
    for event in yaml.parse(text, Loader=parser):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise _yaml_error(f"it is nested deeper than {_MAX_DEPTH} levels", event.start_mark)


def _check_extent(root: yaml.Node | None) -> None:
    """Count what a document and all that its aliases refer to come to, before any of it is made."""
    extents: dict[int, tuple[int, int]] = {}  # of each node, by its id: values, depth

    def extent(node: yaml.Node) -> tuple[int, int]:
        if id(node) not in extents:
            extents[id(node)] = _MAX_VALUES, 0  # for an alias in it to the node itself, which would never end
            children: list[yaml.Node] = [] if isinstance(node, yaml.ScalarNode) else node.value
            if isinstance(node, yaml.MappingNode):
                children = [child for pair in node.value for child in pair]
            found = [extent(child) for child in children]
            values, depth = 1 + sum(values for values, _ in found), 1 + max((depth for _, depth in found), default=0)
            if values > _MAX_VALUES or depth > _MAX_DEPTH:
                raise _yaml_error("it repeats itself by its aliases, or holds too many values", node.start_mark)
            extents[id(node)] = values, depth
        return extents[id(node)]

    if root is not None:
        extent(root)


class _Checks:
    """Makes values that are values of their type, and no mapping with a key twice.

    Attributes:
        place: Of the value that is being made.
        no_text: Characters that are none.
    """

    place: yaml.Mark | None = None
    no_text = re.compile("[\0\ud800-\udfff]")

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make the value of a node."""
        self.place = node.start_mark
        if isinstance(node, yaml.ScalarNode):
            if node.tag != _TEXT and len(node.value) > _LONGEST_NUMBER:
                raise _yaml_error("this number is too long", node.start_mark)
            if self.no_text.search(node.value):
                raise _yaml_error("this text holds a character that is none", node.start_mark)
        return super().construct_object(node, deep)  # type: ignore[misc]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make the mapping of a node; YAML would silently take the last of two equal keys."""
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise _yaml_error(f"{key.value} comes twice; remove one", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)  # type: ignore[misc]


class _Loader(_Checks, _Parser):  # type: ignore[valid-type, misc]
    pass


class _OwnLoader(_Checks, yaml.SafeLoader):
    """Takes bytes of paths that are no UTF-8 as `os.fsdecode` has them, which libyaml does not."""

    no_text = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")


class _RefusedError(yaml.MarkedYAMLError):
    """YAML that is refused here, not by its parser."""


def _yaml_error(problem: str, mark: Any) -> _RefusedError:
    return _RefusedError(problem=problem, problem_mark=mark)


def _explain_yaml(error: yaml.YAMLError) -> str:
    """Return the line and column, and what is wrong there."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    if problem is not None and "'\\t'" in problem:
        problem = "found a tab; indent with spaces"
    return f"{place}{problem or ' '.join(str(error).split())}"


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse `key.path=value` arguments of the command line into overrides; values are YAML.

    Raises:
        ConfigError: An argument has no `=`, or its value is not YAML.
    """
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator or not key:
            raise ConfigError(f"found {assignment!r}, expected KEY=VALUE, e.g. data.batch_size=8")
        try:
            overrides[key] = parse_yaml(value, own=True)
        except yaml.YAMLError:
            raise ConfigError(f"the value of {key} is not valid YAML: {value!r}") from None
    return overrides


def _set_dotted(data: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        child = data.get(parent)
        if not isinstance(child, dict):
            child = data[parent] = {}
        data = child
    data[last] = value


def _explain(error: ValidationError, model: type[BaseModel], path: Path | None) -> str:
    source = str(path) if path is not None else "the options"
    errors: dict[str, list[Any]] = {}  # by key: a value that may be of several types has one error for each
    for found in error.errors(include_url=False):
        errors.setdefault(".".join(_key_path(model, found["loc"])) or model.__name__, []).append(found)
    key, same = next(iter(errors.items()))
    first = same[0]
    if first["type"] == "extra_forbidden":
        keys = _known_keys(model, tuple(first["loc"])[:-1])
        message = f"unknown key; known here: {', '.join(keys) or 'none'}"
    elif first["type"] in ("value_error", "missing"):
        message = first["msg"].removeprefix("Value error, ")
    else:
        wanted = [_expected(found["msg"]) for found in same]
        message = f"found {_shown(first['input'])}, expected {' or '.join(dict.fromkeys(wanted))}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{source}: {key}: {message}{more}"


def _expected(message: str) -> str:
    """Turn pydantic's `Input should be a valid integer, unable to parse ...` into what is expected."""
    text = re.sub(r", (unable to parse|got) .*", "", message).removeprefix("Input should be ")
    plain = {"a valid tuple": "a list", "Keys should be strings": "a name as the key"}
    return "a mapping of settings" if "dictionary or instance" in text else plain.get(text, text)


def _key_path(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys of a location, without the names of types that pydantic adds where there are several."""
    path: list[str] = []
    current: Any = model
    for part in location:
        if isinstance(part, int):
            path.append(str(part))
        elif _is_model(current):
            path.append(part)
            field = current.model_fields.get(part)
            current = None if field is None else _inner_model(field.annotation)
    return path


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the field names at a location, through nested models and lists of them."""
    current: Any = model
    for part in location:
        if isinstance(part, int) or not _is_model(current) or part not in current.model_fields:
            continue
        current = _inner_model(current.model_fields[part].annotation)
    return list(current.model_fields) if _is_model(current) else []


def _inner_model(annotation: Any) -> Any:
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((candidate for candidate in candidates if _is_model(candidate)), None)


def _is_model(value: Any) -> bool:
    # list[int] is a type on Python 3.10, but no class.
    return isinstance(value, type) and get_origin(value) is None and issubclass(value, BaseModel)
