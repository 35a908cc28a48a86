"""Settings from YAML files and options. An explicit option goes before the file, the file before the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lungsev.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


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


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping with the safe loader.

    Raises:
        ConfigError: The file is missing, or is not a YAML mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds a {type(data).__name__}, expected a mapping of settings")
    return data


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
            overrides[key] = yaml.safe_load(value)
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
    first = error.errors(include_url=False)[0]
    location = tuple(first["loc"])
    key = ".".join(str(part) for part in location) or model.__name__
    if first["type"] == "extra_forbidden":
        message = f"unknown key; known here: {', '.join(_known_keys(model, location[:-1])) or 'none'}"
    else:
        message = first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{source}: {key}: {message}{more}"


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
    return isinstance(value, type) and issubclass(value, BaseModel)
