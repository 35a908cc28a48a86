"""Settings of TensorRT engines: how they are built and where they are kept, the same for `engine`, `watch`, `score`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from lungsev.bundle.manifest import Precision


class EngineSettings(BaseModel):
    """Choices of the operator; None lets lungsev choose. An engine built with a choice serves where none is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    precision: Precision | None = None  # None: fp16 where the bundle has it
    workspace_mib: int | None = Field(default=None, ge=16)  # None: a quarter of the free memory, at most 1024
    level: int | None = Field(default=None, ge=0, le=5)  # 0: built in seconds, slower; None: the library's default
    # Compute capability, e.g. "8.9": the engine serves every card of it (TensorRT-RTX only); None: this very card.
    capability: str | None = Field(default=None, pattern=r"^\d{1,2}\.\d$")
    cache: Path | None = (
        None  # folder of the engines, which may be read-only; None: $LUNGSEV_CACHE, or the user's cache
    )
    build_minutes: float = Field(default=60.0, gt=0)  # a build that takes longer is stopped


AUTOMATIC = EngineSettings()
