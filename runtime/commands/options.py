"""Options that several commands share: one spelling and one help text each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BundleOption = Annotated[
    Path | None,
    typer.Option(
        "--bundle", help="Model: folder, .zip, or a name from `lungsev-run models`. Default: the packaged one."
    ),
]
_BACKENDS = "auto, onnxruntime, tensorrt, openvino or bfloat16."

BackendOption = Annotated[str, typer.Option("--backend", help=_BACKENDS)]
# For commands with a settings file: None leaves the choice to the file.
BackendOverride = Annotated[str | None, typer.Option("--backend", help=_BACKENDS)]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads of the network. Default: as many as this process may use."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per image to standard output.")]
OutFolder = Annotated[Path, typer.Option("--out", "-o", help="The folder that watch or score wrote to.")]
IncomingArgument = Annotated[Path | None, typer.Argument(help="Folder that images arrive in.")]
WatchOutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder for everything lungsev writes. Default: lungsev-out beside INCOMING."),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file of settings, for example configs/runtime/bedside.yaml.")
]
