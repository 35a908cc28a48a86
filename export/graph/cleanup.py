"""Clean-up of ONNX models with the passes of onnx-ir."""

from __future__ import annotations

import onnx
import onnx_ir
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    DeduplicateInitializersPass,
    LiftConstantsToInitializersPass,
    NameFixPass,
    RemoveUnusedNodesPass,
)

_CONSTANTS = LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)


def clean_traced(model: onnx_ir.Model) -> onnx.ModelProto:
    """Return a traced model without stack traces (they hold paths of this machine), with unique names.

    Constant operations become weights, equal weights become one, and what no output needs is removed.
    """
    passes = (
        ClearMetadataAndDocStringPass(),
        _CONSTANTS,
        RemoveUnusedNodesPass(),
        DeduplicateInitializersPass(),
        NameFixPass(),
    )
    return onnx_ir.to_proto(onnx_ir.passes.Sequential(*passes)(model).model)


def without_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a rewritten model without operations and weights that no output needs.

    They would be shipped to every device, and ONNX Runtime would warn of them at every start. Stated types and shapes
    of results are dropped too, since the rewriting may have changed them.
    """
    del model.graph.value_info[:]
    clean = onnx_ir.to_proto(RemoveUnusedNodesPass()(onnx_ir.from_proto(model)).model)
    del clean.graph.value_info[:]  # onnx-ir states weights among them
    return clean


def with_named_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with Constant operations as weights, so that each precision can have its own copy."""
    return onnx_ir.to_proto(_CONSTANTS(onnx_ir.from_proto(model)).model)
