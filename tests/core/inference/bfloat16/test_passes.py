"""Both passes by OpenVINO; skipped where it is not installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from severity_graph import IMAGE, severity_graph

from lungsev.errors import BackendError, MissingExtraError
from lungsev.inference.bfloat16.passes import OpenVinoPasses
from lungsev.inference.onnxruntime import open_session


class TestInstalled:
    @pytest.fixture(autouse=True)
    def openvino(self) -> None:
        pytest.importorskip("openvino", reason='pip install "lungsev[openvino]"', exc_type=ImportError)

    def test_the_first_is_near_fp32_and_the_second_is_it(self) -> None:
        session = open_session(severity_graph())
        names = [output.name for output in session.get_outputs()]
        expected = dict(zip(names, session.run(names, {"image": IMAGE}), strict=True))
        passes = OpenVinoPasses(severity_graph(), 0, threads=1, emulated=True)
        once, handed = passes.first(IMAGE)
        twice = passes.again(handed)
        assert set(once) == set(expected)
        assert set(twice) == {"probabilities.brixia", "severity_map.brixia"}
        for name in ("theta", "lung_mask"):
            np.testing.assert_allclose(once[name], expected[name], atol=1e-4, err_msg=name)
        for name, values in twice.items():
            np.testing.assert_allclose(values, expected[name], atol=5e-4, err_msg=name)
            assert 5e-4 < np.abs(once[name] - expected[name]).max() < 0.1
        assert passes.half_share > 0

    def test_outputs_are_the_caller_s_and_a_closed_one_is_refused(self) -> None:
        passes = OpenVinoPasses(severity_graph(), 1, threads=1)
        kept, _ = passes.first(IMAGE)
        before = kept["theta"].copy()
        passes.first(IMAGE * 0.5)
        np.testing.assert_array_equal(kept["theta"], before)
        passes.close()
        with pytest.raises(BackendError, match="closed"):
            passes.first(IMAGE)

    def test_what_is_no_graph_or_cannot_be_converted_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(BackendError, match="OpenVINO refuses the graph"):
            OpenVinoPasses(b"no graph", 0)
        monkeypatch.setattr("openvino.opset13", None)  # of another release
        with pytest.raises(BackendError, match="does not convert the graph: 'NoneType'"):
            OpenVinoPasses(severity_graph(), 0)


def test_without_openvino_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"lungsev\[openvino\]"):
        OpenVinoPasses(severity_graph(), 0)
