"""Region-wise pneumonia severity on portable chest X-rays, at the bedside."""

import os

__version__ = "0.1.0"

# ONNX Runtime 1.32 and newer reports to its maker over the network unless told before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
