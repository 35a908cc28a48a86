"""Precision of an engine's layers, by TensorRT's engine inspector: what was built, not what was asked for."""

from __future__ import annotations

import json
import re
from typing import Any

_PRODUCT = re.compile(r"conv|corr|gemm|matmul|matrix|fully_?connected", re.IGNORECASE)  # Myelin: correlation
_HALF = re.compile(r"half|fp16|float16|f16", re.IGNORECASE)


def inspect_layers(trt: Any, engine: Any) -> tuple[int, int] | None:
    """Count the convolutions and matrix products of a loaded engine: (those that read half precision, all).

    Returns:
        None where the library has no inspector, or it names no layer with its tensors.
    """
    if not hasattr(engine, "create_engine_inspector") or not hasattr(trt, "LayerInformationFormat"):
        return None
    inspector = engine.create_engine_inspector()
    if inspector is None:
        return None
    return count_products(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def count_products(information: str) -> tuple[int, int] | None:
    """Count the products in the inspector's JSON; None where it holds none with their tensors.

    Layers are objects only where the engine was built with detailed profiling verbosity, else plain names.
    """
    try:
        layers = json.loads(information)["Layers"]
    except (ValueError, KeyError, TypeError):
        return None
    products = [
        layer
        for layer in layers
        if isinstance(layer, dict)
        and layer.get("Inputs")
        and _PRODUCT.search(" ".join(str(layer.get(key, "")) for key in ("LayerType", "ParameterType", "TacticName")))
    ]
    return (sum(map(_reads_half, products)), len(products)) if products else None


def _reads_half(layer: dict[str, Any]) -> bool:
    kinds = [
        str(value)
        for tensor in layer["Inputs"]
        if isinstance(tensor, dict)
        for key, value in tensor.items()
        if key not in ("Name", "Dimensions", "Location")
    ]
    return any(_HALF.search(kind) for kind in kinds)
