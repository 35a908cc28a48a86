"""The TensorRT library of this machine, and what it can do, by its attributes rather than its version.

`tensorrt` comes with JetPack or from NVIDIA's index, `tensorrt_rtx` from PyPI; both are extras, no dependency.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from lungsev.errors import BackendError

Flavour = Literal["tensorrt", "tensorrt_rtx"]
FLAVOURS: tuple[Flavour, ...] = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True)
class TensorRTLibrary:
    """An imported TensorRT.

    Attributes:
        trt: The module, which NVIDIA's documents call `tensorrt`.
        strongly_typed: Precision is read from the graph; false on TensorRT 8 (JetPack 5), where FP16 is a request.
    """

    trt: Any
    flavour: Flavour
    version: str
    strongly_typed: bool

    @property
    def is_rtx(self) -> bool:
        """Whether it is TensorRT-RTX."""
        return self.flavour == "tensorrt_rtx"


def load_tensorrt(flavour: Flavour | None = None) -> TensorRTLibrary:
    """Import TensorRT, or TensorRT-RTX where that is what the machine has.

    Raises:
        BackendError: There is none, it cannot be loaded, or it is too old.
    """
    failures = []
    for name in FLAVOURS if flavour is None else (flavour,):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != name:
                failures.append(f"{name} is installed but cannot be loaded ({error})")
            continue
        except (ImportError, OSError, RuntimeError) as error:  # a shared library is missing or of another version
            failures.append(f"{name} is installed but cannot be loaded ({error})")
            continue
        return describe_library(module, name)
    if failures:
        raise BackendError(f"{'; '.join(failures)}; install it again for this system's CUDA version")
    raise BackendError(f"{missing_message()}; or run with --backend onnxruntime")


def describe_library(module: ModuleType | Any, flavour: Flavour) -> TensorRTLibrary:
    """Describe an imported module.

    Raises:
        BackendError: It is too old, or a placeholder of that name.
    """
    version = str(getattr(module, "__version__", "of unknown version"))
    if not hasattr(module, "Builder"):
        raise BackendError(
            f"the installed {flavour} package {version} is only a placeholder; TensorRT comes with JetPack or from "
            "NVIDIA's own index, TensorRT-RTX from PyPI as tensorrt-rtx-cu13"
        )
    if not hasattr(module.ICudaEngine, "num_io_tensors") or not hasattr(module.IExecutionContext, "execute_async_v3"):
        raise BackendError(
            f"{flavour} {version} is too old: it has no named tensors (execute_async_v3); use JetPack 6.1 or newer, "
            "TensorRT 10.3 or newer, or run with --backend onnxruntime"
        )
    # TensorRT 11 has only strong typing and neither flag.
    flags = getattr(module, "NetworkDefinitionCreationFlag", None)
    strongly_typed = hasattr(flags, "STRONGLY_TYPED") or not hasattr(module.BuilderFlag, "FP16")
    return TensorRTLibrary(module, flavour, version, strongly_typed)


def missing_message(
    tegra_release: Path = Path("/etc/nv_tegra_release"), system_libraries: Path = Path("/usr/lib")
) -> str:
    """Return why there is no TensorRT here, and what to do, in one sentence."""
    in_venv = sys.prefix != sys.base_prefix
    outside = any(system_libraries.glob("python3*/dist-packages/tensorrt"))
    if in_venv and outside:
        return (
            "TensorRT is installed on this system but this virtual environment does not see it; make the environment "
            "again with: python3 -m venv --system-site-packages"
        )
    if tegra_release.exists():
        return (
            "this Jetson has no TensorRT for Python; install it with: sudo apt install python3-libnvinfer "
            "(part of nvidia-jetpack)"
        )
    return (
        'no TensorRT is installed; on a Jetson it comes with JetPack, elsewhere: pip install "lungsev[rtx]" for '
        'GeForce and RTX cards, "lungsev[tensorrt]" for any other'
    )
