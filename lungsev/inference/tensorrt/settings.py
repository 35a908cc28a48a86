"""Settings of TensorRT engines: how they are built and where they are kept, the same for `engine`, `watch`, `score`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lungsev.bundle.manifest import Precision
from lungsev.bundle.zoo import find_bundle
from lungsev.config import load_model


class EngineSettings(BaseModel):
    """Choices of the operator; None lets lungsev choose. An engine built with a choice serves where none is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    precision: Precision | None = None  # None: fp16 where the bundle has it
    workspace_mib: int | None = Field(default=None, ge=16)  # None: a quarter of the free memory, at most 1024
    level: int | None = Field(default=None, ge=0, le=5)  # 0: built in seconds, slower; None: the library's default
    # Compute capability, e.g. "8.9": the engine serves every card of it (TensorRT-RTX only); None: this very card.
    capability: str | None = Field(default=None, pattern=r"^\d{1,2}\.\d$")
    cache: Path | None = None  # folder, which may be read-only; None: $LUNGSEV_CACHE, or the user's cache folder
    build_minutes: float = Field(default=60.0, gt=0)  # a build that takes longer is stopped


AUTOMATIC = EngineSettings()


class _Model(BaseModel):
    bundle: Path | None = None
    zoo: Path | None = None
    engine: EngineSettings = AUTOMATIC


class _SettingsFile(BaseModel):
    """What a settings file says of engines; the other parts are the bedside's."""

    model: _Model = _Model()


def read_engine_settings(
    config: Path | None, bundle: Path | None, options: Mapping[str, Any]
) -> tuple[Path | None, EngineSettings]:
    """Read bundle and engine settings from a settings file of the bedside, under explicit options.

    Args:
        config: The file; None is none.
        bundle: Explicit bundle.
        options: Explicit engine settings by name; None counts as not given.

    Returns:
        Where the bundle is (None is the packaged one), and the settings.

    Raises:
        ConfigError: Names the file and the key.
    """
    overrides = {"model.bundle": bundle, **{f"model.engine.{name}": value for name, value in options.items()}}
    model = load_model(_SettingsFile, config, overrides).model
    return (None if model.bundle is None else find_bundle(model.bundle, model.zoo)), model.engine
