"""The configs that come with lungsev: `configs/train/*.yaml`, found by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from lungsev.errors import ConfigError


def built_in_configs() -> tuple[str, ...]:
    """Names of the built-in training configs, as `brixia/paper_resnet34`."""
    root = _folder()
    return tuple(sorted(str(path.relative_to(root).with_suffix("")) for path in root.rglob("*.yaml")))


def built_in_or_path(name: str) -> Path:
    """A YAML file by path, or a built-in config by name.

    Raises:
        ConfigError: Neither exists.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path
    found = _folder() / f"{name}.yaml"
    if not found.is_file():
        raise ConfigError(
            f"config {name!r} is unknown; give the path of a .yaml file, or one of {', '.join(built_in_configs())}"
        )
    return found


def default_config(command: str) -> Path | None:
    """The config a command uses when none is named; None: the defaults of its settings class."""
    path = _folder() / f"{command}.yaml"
    return path if path.is_file() else None


def _folder() -> Path:
    """setuptools installs packages unzipped, so the resources are files."""
    return Path(str(resources.files("lungsev.configs"))) / "train"
