"""Outputs by name."""

from __future__ import annotations

from collections.abc import Sequence

from lungsev.errors import ConfigError

from .contract import Output
from .json_file import JsonFile
from .overlay_png import OverlayPng

DEFAULT_OUTPUTS = ("json", "overlay")


def open_outputs(names: Sequence[str] = DEFAULT_OUTPUTS) -> tuple[Output, ...]:
    """The outputs of these names, each once, in the order given.

    Raises:
        ConfigError: A name is unknown.
        MissingExtraError: A format needs an extra that is not installed.
    """
    known: dict[str, type] = {"json": JsonFile, "overlay": OverlayPng}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"output {unknown[0]!r} is unknown; known are {', '.join(known)}")
    return tuple(known[name]() for name in dict.fromkeys(names))
