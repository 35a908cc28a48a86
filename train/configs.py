"""Finds the built-in configs by name, `configs/train/*.yaml` and `configs/tables/*.yaml`; merges each with its base."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from lungsev.config import read_yaml
from lungsev.errors import ConfigError


def built_in_configs(kind: str = "train") -> tuple[str, ...]:
    """Return the names of the built-in configs of a kind, e.g. `brixia/paper_resnet34` of `train`."""
    root = _folder(kind)
    return tuple(sorted(str(path.relative_to(root).with_suffix("")) for path in root.rglob("*.yaml")))


def built_in_or_path(name: str, kind: str = "train") -> Path:
    """Find a YAML file by path, or a built-in config of a kind by name.

    Raises:
        ConfigError: Neither exists.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path
    found = _folder(kind) / f"{name}.yaml"
    if not found.is_file():
        what = "config" if kind == "train" else kind.removesuffix("s")
        raise ConfigError(
            f"{what} {name!r} is unknown; give the path of a .yaml file, or one of {', '.join(built_in_configs(kind))}"
        )
    return found


def read_config(path: Path, followed: tuple[Path, ...] = (), kind: str = "train") -> dict[str, Any]:
    """Read a YAML file and merge it over its `base:`, another built-in config or path; a section may have one too.

    Raises:
        ConfigError: A file cannot be read, or the bases go round in a circle.
    """
    own = read_yaml(path)
    if kind == "train":
        own = {key: _over_base(value, path, followed) for key, value in own.items()}
    return _over_base(own, path, followed, kind)


def _over_base(own: Any, path: Path, followed: tuple[Path, ...], kind: str = "train") -> Any:
    """Return a section of the file `path` over its base; whatever has none as it is."""
    if not isinstance(own, dict) or "base" not in own:
        return own
    own = dict(own)
    base = own.pop("base")
    source = path.parent / str(base) if str(base).endswith((".yaml", ".yml")) else built_in_or_path(str(base), kind)
    if source in followed:
        raise ConfigError(f"{path}: base {base} leads back to itself, expected a config that builds on another")
    return merged(read_config(source, (*followed, path), kind), own)


def default_config(command: str) -> Path | None:
    """Return the config a command uses when none is named; None: the defaults of its settings class."""
    path = _folder("train") / f"{command}.yaml"
    return path if path.is_file() else None


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return `below` with the values of `above` over it, section by section."""
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both


def _folder(kind: str) -> Path:
    """Setuptools installs packages unzipped, so the resources are files."""
    return Path(str(resources.files("lungsev.configs"))) / kind
