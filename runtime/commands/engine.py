"""`lungsev-run engine`: build the TensorRT engine of this device before the first image needs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from lungsev.bundle.archive import Precision, read_bundle
from lungsev.inference.tensorrt.engine import EngineRequest, prepare_engine
from lungsev.runtime.console import open_console


def engine_command(
    bundle: Path | None,
    precision: str | None,
    workspace_mib: int | None,
    cache: Path | None,
    fresh: bool,
    json_output: bool,
) -> None:
    """Build, compare with the FP32 graph, keep. Takes minutes; afterwards every start takes seconds.

    Raises:
        BackendError: No TensorRT or GPU is here, the engine cannot be built, or it differs from the graph.
    """
    notes = open_console(stderr=True)
    request = EngineRequest(
        precision=cast("Precision | None", precision), workspace_mib=workspace_mib, fresh=fresh, cache_dir=cache
    )
    engine = prepare_engine(read_bundle(bundle), request, say=notes.print, progress=_Steps(notes.print))
    if json_output:
        print(json.dumps({"path": str(engine.path), "build_seconds": engine.build_seconds, "parity": engine.parity}))
        return
    console = open_console()
    console.print(f"engine for {engine.key.device}: {engine.path}")
    console.print(f"{engine.key.precision}, {engine.half_layers} of {engine.layers} layers in half precision")


class _Steps:
    """Says each phase of a build once, and every tenth of it."""

    def __init__(self, say: object) -> None:
        assert callable(say)
        self._say = say
        self._last = ("", -1)

    def __call__(self, phase: str, share: float) -> None:
        step = (phase, int(share * 10))
        if step != self._last:
            self._last = step
            self._say(f"{phase}: {share:.0%}")
