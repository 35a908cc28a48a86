"""Types of the converted model; skipped where OpenVINO is not installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from severity_graph import IMAGE, severity_graph
from tiny_bundle import tiny_manifest

from lungsev.inference.bfloat16 import graph
from lungsev.inference.bfloat16.graph import Bfloat16Graph, round_bits, rounded, to_bfloat16
from lungsev.inference.openvino import compile_model


def test_values_are_rounded_to_the_nearest_with_ties_to_even() -> None:
    half = 2.0**-8  # half a step above 1
    values = np.array([1.0, 1 + half, 1 + 3 * half, 1 + 0.9 * half, -(1 + 1.1 * half), 0.0, np.inf], np.float32)
    assert rounded(values).tolist() == [1.0, 1.0, 1 + 4 * half, 1.0, -(1 + 2 * half), 0.0, np.inf]
    assert np.isnan(rounded(np.array([np.nan], np.float32))).all()
    assert round_bits(np.ones((2, 3), np.float32)).tolist() == [[0x3F80] * 3] * 2
    assert round_bits(np.float32(1.0)).shape == ()  # type: ignore[arg-type]


class TestConverted:
    @pytest.fixture(autouse=True)
    def openvino(self) -> None:
        pytest.importorskip("openvino", reason='pip install "lungsev[openvino]"', exc_type=ImportError)

    @staticmethod
    def types(converted: Bfloat16Graph) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for operation in converted.first.get_ordered_ops():
            if operation.get_output_size():
                found.setdefault(operation.get_type_name(), []).append(operation.get_output_element_type(0).to_string())
        return found

    def test_convolutions_of_the_severity_network_are_bfloat16_and_everything_else_is_fp32(self) -> None:
        types = self.types(to_bfloat16(severity_graph(), 0))
        assert types["Convolution"] == ["f32", "bf16", "bf16", "bf16"]  # the first makes the lungs
        assert set(types["Relu"]) == {"bf16"}
        assert set(types["GridSample"]) == set(types["Softmax"]) == {"f32"}

    def test_normalisation_and_softmax_stay_fp32(self) -> None:
        types = self.types(to_bfloat16(severity_graph(normalised=True), 0))
        assert types["MVN"] == ["f32"]  # OpenVINO's name of it
        assert set(types["Softmax"]) == {"f32"}
        assert types["Convolution"][1:] == ["bf16"] * 3

    def test_first_layers_stay_fp32_as_asked(self) -> None:
        assert self.types(to_bfloat16(severity_graph(), 2))["Convolution"] == ["f32", "f32", "f32", "bf16"]
        none = to_bfloat16(severity_graph(), 3)
        assert none.half_layers == none.half_share == 0
        one = to_bfloat16(severity_graph(), 2)
        assert (one.half_layers, one.layers > 4) == (1, True)
        assert 0 < one.half_share < to_bfloat16(severity_graph(), 0).half_share < 1

    def test_inputs_and_outputs_are_float32_and_both_types_meet_in_a_conversion(self) -> None:
        model = to_bfloat16(severity_graph(), 1).first
        assert {port.get_element_type().to_string() for port in (*model.inputs, *model.outputs)} == {"f32"}
        converts = [o for o in model.get_ordered_ops() if o.get_type_name() == "Convert"]
        assert sorted({o.get_output_element_type(0).to_string() for o in converts}) == ["bf16", "f32"]
        weights = [o for o in model.get_ordered_ops() if o.get_type_name() == "Constant"]
        assert "bf16" in {o.get_output_element_type(0).to_string() for o in weights}

    @pytest.mark.parametrize("emulated", [False, True])
    def test_outputs_of_bfloat16_operations_keep_their_names_and_are_float32(
        self, monkeypatch: pytest.MonkeyPatch, emulated: bool
    ) -> None:
        monkeypatch.setattr(graph, "find_islands", lambda *_: {})  # as if costly products made the outputs
        converted = to_bfloat16(severity_graph(), 0, emulated)
        assert set(self.types(converted)["Softmax"]) == {"f32" if emulated else "bf16"}
        assert set(converted.first_outputs) == {output.name for output in tiny_manifest().outputs}
        assert set(converted.again_outputs) == {"severity_map.brixia", "probabilities.brixia"}
        compiled = compile_model(converted.first, 1)
        assert {output.get_element_type().to_string() for output in compiled.outputs} == {"f32"}
        found = dict(zip(converted.first_outputs, map(np.array, compiled([IMAGE]).values()), strict=False))
        np.testing.assert_allclose(found["probabilities.brixia"].sum(axis=-1), 1, atol=0.02)
        if emulated:
            for name in converted.again_outputs:
                np.testing.assert_array_equal(found[name], rounded(found[name]))

    def test_an_output_that_is_another_name_of_a_result_has_its_own(self) -> None:
        model = onnx.load_from_string(severity_graph())
        for node in model.graph.node:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    names[index] = "aaa" if name == "theta" else name
        model.graph.node.append(helper.make_node("Identity", ["aaa"], ["theta"], name="other"))
        converted = to_bfloat16(model.SerializeToString(), 0)
        assert "theta" in converted.first_outputs
        assert converted.half_layers == 3  # the warp is still found behind theta

    def test_written_out_it_has_no_bfloat16_and_rounds_every_result(self) -> None:
        converted = to_bfloat16(severity_graph(), 0, emulated=True)
        assert {kind for kinds in self.types(converted).values() for kind in kinds} <= {"f32", "i64", "i32", "boolean"}
        model = converted.first
        ends = [o for o in model.get_ordered_ops() if o.get_type_name() == "Subtract" and self.is_rounding(o)]
        whole = len(model.outputs)
        model.add_outputs([end.output(0) for end in ends])
        results = [np.array(values) for values in compile_model(model, 1)([IMAGE]).values()]
        assert len(results) - whole == len(ends) == 6  # what enters, three convolutions, two activations
        for values in results[whole:]:
            np.testing.assert_array_equal(values, rounded(values))
        assert any(not np.array_equal(values, rounded(values)) for values in results[:whole])

    @staticmethod
    def is_rounding(operation: Any) -> bool:
        spread, part = (value.get_node() for value in operation.input_values())
        if part.get_type_name() != "Subtract":
            return False
        factors = [value.get_node() for value in spread.input_values()]
        return any(f.get_type_name() == "Constant" and f.data.size == 1 and f.data.item() == 2**16 + 1 for f in factors)
