"""The inspector's layers are counted by the precision that they read."""

from __future__ import annotations

import json
from types import SimpleNamespace

from lungsev.inference.tensorrt.layers import count_products, inspect_layers


def layer(kind: str, precision: str, key: str = "Format/Datatype", **more: str) -> dict[str, object]:
    return {
        "Name": "x",
        "LayerType": kind,
        "Inputs": [{"Name": "half_life", "Dimensions": [1], key: precision}],
        **more,
    }


def counted(*layers: object) -> tuple[int, int] | None:
    return count_products(json.dumps({"Layers": layers, "Bindings": []}))


def test_convolutions_and_matrix_products_count_by_what_they_read() -> None:
    assert counted(
        layer("CaskConvolution", "Channel major FP16 format where channel % 8 == 0"),
        layer("CaskConvolution", "Row major linear FP32"),
        layer("gemm", "Half", key="Datatype"),
        layer("kgen", "Half"),  # a pointwise kernel
        layer("Myelin", "Half", TacticName="sm80_xmma_gemm_f16f16_f16f32"),
    ) == (3, 4)


def test_a_name_says_nothing_about_precision() -> None:
    assert counted(layer("gemm", "Float")) == (0, 1)


def test_plain_names_and_damage_cannot_be_counted() -> None:
    assert counted("conv1 + relu1", "gemm2") is None
    assert counted() is None
    assert count_products("not JSON") is None
    assert count_products("[]") is None


def test_an_engine_without_an_inspector_is_not_counted() -> None:
    assert inspect_layers(SimpleNamespace(LayerInformationFormat=None), SimpleNamespace()) is None
    silent = SimpleNamespace(create_engine_inspector=lambda: None)
    assert inspect_layers(SimpleNamespace(LayerInformationFormat=None), silent) is None
