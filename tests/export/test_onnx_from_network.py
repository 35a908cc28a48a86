"""The traced graph is clean, and what TensorRT would misread is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from lungsev.errors import ParityError
from lungsev.export.bundle_from_run import Exported
from lungsev.export.deployable import Deployable
from lungsev.export.fuse_batchnorm import fuse_batchnorm
from lungsev.export.onnx_from_network import check_graph, onnx_from_network, with_metadata
from lungsev.inference.onnxruntime import open_session
from lungsev.networks.bsnet import BsNet
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.settings import AlignmentSettings, SeveritySettings
from lungsev.schemes import load_scheme

pytestmark = pytest.mark.timeout(400)  # the one export of the session: 17 s of CPU, minutes on a busy machine


class Normalised(nn.Module):
    """Batch normalisation after a convolution that is used twice, and before one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.before, self.last = nn.BatchNorm2d(8), nn.Conv2d(8, 1, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        left, right = (self.norm(self.conv(side)).relu() for side in (image, image.flip(-1)))
        return {"lung_mask": self.last(self.before(torch.cat([left, right], dim=1)))}


class Encoder(nn.Module):
    """Three levels of stride 4, 8 and 16, as a backbone offers them."""

    reductions = (4, 8, 16)

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.ModuleList(nn.Conv2d(a, b, s, s) for a, b, s in ((1, 4, 4), (4, 6, 2), (6, 8, 2)))
        self.net.feature_info = SimpleNamespace(channels=lambda: [4, 6, 8])

    def levels(self, image: Tensor) -> list[Tensor]:
        """Canvas [N, 1, S, S] -> feature maps, finest first."""
        found = [image]
        for layer in self.net:
            found.append(layer(found[-1]).tanh())
        return found[1:]


class Aligned(nn.Module):
    """BS-Net behind a mask and a theta that depend on the image."""

    def __init__(self) -> None:
        super().__init__()
        backbone: Any = Encoder()
        self.bsnet = BsNet(backbone, [load_scheme("inha")], 64, 4, 4, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        turn = image.mean(dim=(1, 2, 3)).reshape(-1, 1)
        theta = torch.cat([turn + 0.3, 0 * turn, turn * 0.2, 0 * turn, turn + 0.2, -turn * 0.1], 1).reshape(-1, 2, 3)
        mask = (image * 4 - 1).sigmoid()
        outputs = {"lung_mask": mask, "theta": theta}
        for name, (probabilities, severity_map) in self.bsnet(image, mask, theta, upright=True).items():
            outputs |= {f"probabilities.{name}": probabilities, f"severity_map.{name}": severity_map}
        return outputs


@pytest.mark.slow
def test_bsnet_becomes_a_graph_that_says_what_it_says() -> None:
    torch.manual_seed(0)
    network = Aligned()
    with torch.no_grad():
        for classifier in network.bsnet.scheme_heads["inha"].classifiers:
            classifier[-1].weight.mul_(20)
    deployable = Deployable(network, 64)
    session = open_session(onnx_from_network(deployable))
    answers = []
    for seed in (0, 1):
        image = np.random.default_rng(seed).random((1, 1, 4, 4), np.float32).repeat(16, 2).repeat(16, 3)
        found = dict(zip(deployable.output_names, session.run(deployable.output_names, {"image": image}), strict=True))
        with torch.inference_mode():
            expected = network(torch.from_numpy(image))
        assert {name: value.shape for name, value in found.items()} == deployable.output_shapes
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value.numpy(), atol=1e-5, err_msg=name)
        answers.append(found["probabilities.inha"])
    assert np.abs(answers[0] - answers[1]).max() > 0.01


@pytest.fixture(scope="module")
def normalised() -> Normalised:
    torch.manual_seed(0)
    network = Normalised()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 1, 16, 16) * 3)
    return network.eval()


@pytest.fixture(scope="module")
def traced(normalised: Normalised) -> bytes:
    fused, image = copy.deepcopy(normalised), torch.rand(1, 1, 16, 16)
    fuse_batchnorm(fused, image)
    return onnx_from_network(Deployable(fused, 16), {"lungsev.name": "small"})


def test_batch_normalisation_is_fused_or_split_and_the_results_stay(normalised: Normalised, traced: bytes) -> None:
    kinds = [node.op_type for node in onnx.load_from_string(traced).graph.node]
    assert "BatchNormalization" not in kinds
    assert (kinds.count("Conv"), kinds.count("Mul"), kinds.count("Add")) == (3, 1, 1)
    image = np.random.default_rng(0).random((1, 1, 16, 16), dtype=np.float32)
    found = open_session(traced).run(["lung_mask"], {"image": image})[0]
    with torch.inference_mode():
        expected = normalised(torch.from_numpy(image))["lung_mask"].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_kernel_used_twice_is_stored_once(traced: bytes) -> None:
    graph = onnx.load_from_string(traced).graph
    kernels = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    assert len(set(kernels)) == 2
    assert len({numpy_helper.to_array(tensor).tobytes() for tensor in graph.initializer}) == len(graph.initializer)


def test_the_graph_identifies_itself_and_nothing_else(traced: bytes) -> None:
    model = onnx.load_from_string(traced)
    assert model.producer_name == "lungsev"
    assert {entry.key: entry.value for entry in model.metadata_props} == {"lungsev.name": "small"}
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)
    other = onnx.load_from_string(with_metadata(traced, {"a": "b"}))
    assert {entry.key: entry.value for entry in other.metadata_props} == {"a": "b"}


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (lambda m: setattr(m.opset_import[0], "version", 20), "opset 20"),
        (lambda m: set_weight(m, np.nan), "NaN"),
        (lambda m: m.graph.node.add(op_type="RoiAlign", name="roi"), "RoiAlign"),
        (lambda m: m.graph.node.append(onnx.helper.make_node("Resize", [], ["r"], antialias=1)), "antialiasing"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "batch"), "every side"),
    ],
)
def test_a_planted_fault_is_named(exported: Exported, plant: Callable[[onnx.ModelProto], None], message: str) -> None:
    model = onnx.load_from_string(exported.bundle.graph_bytes())
    check_graph(model.SerializeToString())
    plant(model)
    with pytest.raises(ParityError, match=message):
        check_graph(model.SerializeToString())


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_a_grid_sample_that_is_misread_is_named(turning_graph: bytes, mode: str) -> None:
    model = onnx.load_from_string(turning_graph)
    node = next(node for node in model.graph.node if node.op_type == "GridSample")
    next(attribute for attribute in node.attribute if attribute.name == "mode").s = mode.encode()
    with pytest.raises(ParityError, match=f"mode '{mode}'"):
        check_graph(model.SerializeToString())


def set_weight(model: onnx.ModelProto, value: float) -> None:
    weight = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
    weight.CopyFrom(onnx.numpy_helper.from_array(np.full(weight.dims, value, np.float32), weight.name))


def assert_graph_is_network(graph: bytes, network: FusedNetwork) -> None:
    assert "GridSample" in {node.op_type for node in onnx.load_from_string(graph).graph.node}
    image = np.random.default_rng(0).random((1, 1, 512, 512), dtype=np.float32)
    names = ["theta", "probabilities.brixia", "severity_map.brixia"]
    found = open_session(graph).run(names, {"image": image})
    with torch.inference_mode():
        expected = network(torch.from_numpy(image))
    for name, value in zip(names, found, strict=True):
        np.testing.assert_allclose(value, expected[name].numpy(), atol=1e-4)


def test_every_choice_of_the_published_code_is_exported(turning_graph: bytes, published_network: FusedNetwork) -> None:
    assert_graph_is_network(turning_graph, published_network)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["18", "18_sn", "34", "34_sn", "50", "50_sn"])
def test_a_reference_config_is_exported(
    name: str, network_of: Callable[[AlignmentSettings, SeveritySettings], FusedNetwork]
) -> None:
    configs = pytest.importorskip("lungsev.train.configs")
    severity, alignment = (
        configs.read_config(configs.built_in_or_path(config))["network"]
        for config in (f"brixia/reference_resnet{name}", "align/reference")
    )
    network = network_of(
        AlignmentSettings.model_validate({**alignment, "input_px": 16}),
        SeveritySettings.model_validate({**severity, "crop_px": 64, "pretrained": "none"}),
    )
    assert_graph_is_network(onnx_from_network(Deployable(network, 512)), network)
