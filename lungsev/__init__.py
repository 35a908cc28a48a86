"""Region-wise pneumonia severity on portable chest X-rays, at the bedside.

    import lungsev

    model = lungsev.load()
    report = model.score("image.dcm")    # lungsev.Report; also bytes or an array [rows, columns]

`import lungsev` loads nothing else; the first use of a name does. See `lungsev.model`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lungsev.model import Model, load
    from lungsev.report import SeverityReport as Report

__version__ = "0.1.0"
__all__ = ["Model", "Report", "__version__", "load"]

# ONNX Runtime 1.32 and newer reports to its maker over the network unless told before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name in ("Model", "load"):
        from lungsev import model

        return getattr(model, name)
    if name == "Report":
        from lungsev.report import SeverityReport

        return SeverityReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
