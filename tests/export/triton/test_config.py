from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fake_triton import read_config

from lungsev.bundle.archive import Bundle
from lungsev.export.triton.config import (
    NETWORKS_BY,
    TritonOptions,
    chosen_network,
    ensemble_config,
    network_config,
    preprocess_config,
    report_config,
)
from lungsev.export.triton.plan import Plan

PAGE = Path(__file__).parents[3] / "docs" / "triton.md"


def dims_of(config: dict[str, list[Any]], key: str) -> dict[str, list[int]]:
    return {tensor["name"][0]: [int(side) for side in tensor["dims"]] for tensor in config[key]}


@pytest.mark.parametrize(("max_batch", "first"), [(8, 1), (1, 0)])
def test_the_network_states_every_tensor_as_the_bundle_does(tiny_bundle: Bundle, max_batch: int, first: int) -> None:
    manifest = tiny_bundle.manifest
    config = read_config(network_config("m", manifest, TritonOptions(max_batch=max_batch), "fp32"))
    shapes = {output.name: list(output.shape[first:]) for output in manifest.outputs}
    assert dims_of(config, "output") == shapes
    assert dims_of(config, "input") == {"image": [1, 1, 512, 512][first:]}
    assert ("dynamic_batching" in config) == (max_batch > 1)
    assert config["max_batch_size"] == [str(max_batch if max_batch > 1 else 0)]


def test_a_plan_and_a_batch_of_one_have_no_batches(tiny_bundle: Bundle) -> None:
    options = TritonOptions("tensorrt", max_batch=8, plan=Path("engine.plan"))
    config = read_config(network_config("lungsev_plan", tiny_bundle.manifest, options, "fp16"))
    assert config["backend"] == ["tensorrt"]
    assert config["max_batch_size"] == ["0"]
    assert config["model_warmup"][0]["batch_size"] == ["0"]


def test_half_precision_on_a_gpu_is_accelerated_with_tensorrt_and_nothing_else_is(tiny_bundle: Bundle) -> None:
    for options, precision in (
        (TritonOptions(), "fp16"),
        (TritonOptions(), "fp32"),
        (TritonOptions(gpu=False), "fp16"),
    ):
        config = read_config(network_config("m", tiny_bundle.manifest, options, precision))
        assert ("optimization" in config) == (options.gpu and precision == "fp16")
        assert config["instance_group"][0]["kind"] == ["KIND_GPU" if options.gpu else "KIND_CPU"]


def test_the_ensemble_uses_the_network_that_the_options_name(tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert chosen_network(tiny_bundle, TritonOptions("python")).name == "lungsev_python"
    assert chosen_network(tiny_bundle, TritonOptions()).name == "lungsev_fp32"  # it has no other
    plan = chosen_network(tiny_bundle, TritonOptions("tensorrt"), Plan(b"plan", "fp16"))
    assert (plan.name, plan.precision) == ("lungsev_plan", "fp16")


@pytest.mark.parametrize("by", NETWORKS_BY)
@pytest.mark.parametrize("max_batch", [1, 4])
def test_every_step_takes_what_an_earlier_one_gives_in_the_same_shape(
    tiny_bundle: Bundle, by: Any, max_batch: int
) -> None:
    options = TritonOptions(by, max_batch=max_batch)
    network = chosen_network(tiny_bundle, options, Plan(b"plan", "fp32") if by == "tensorrt" else None)
    ensemble = read_config(ensemble_config(tiny_bundle, options, network))
    steps = {
        config["name"][0]: config
        for text in (
            preprocess_config(tiny_bundle, options, network),
            network_config(network.name, tiny_bundle.manifest, options, network.precision),
            report_config(tiny_bundle, options, network),
        )
        for config in [read_config(text)]
    }
    known = dims_of(ensemble, "input")
    for step in ensemble["ensemble_scheduling"][0]["step"]:
        config = steps[step["model_name"][0]]
        inputs, outputs = dims_of(config, "input"), dims_of(config, "output")
        assert {entry["key"][0] for entry in step["input_map"]} == set(inputs)
        assert {entry["key"][0] for entry in step["output_map"]} == set(outputs)
        assert all(known[entry["value"][0]] == inputs[entry["key"][0]] for entry in step["input_map"])
        known |= {entry["value"][0]: outputs[entry["key"][0]] for entry in step["output_map"]}
        assert config["max_batch_size"] == ensemble["max_batch_size"]
    assert dims_of(ensemble, "output")["report"] == known["report"]


def test_as_many_workers_as_asked_for_prepare_images(tiny_bundle: Bundle) -> None:
    options = TritonOptions(workers=5)
    for text in (preprocess_config, report_config):
        config = read_config(text(tiny_bundle, options, chosen_network(tiny_bundle, options)))
        assert config["instance_group"] == [{"kind": ["KIND_CPU"], "count": ["5"]}]


def test_the_page_states_the_contract_as_the_configuration_does(tiny_bundle: Bundle) -> None:
    options = TritonOptions()
    ensemble = read_config(ensemble_config(tiny_bundle, options, chosen_network(tiny_bundle, options)))
    rows = re.findall(r"^\| (input|output) \| `(\w+)` \| (\w+) \| \[([\w, ]+)\] \|", PAGE.read_text(), re.MULTILINE)
    expected = [
        (key, tensor["name"][0], tensor["data_type"][0].removeprefix("TYPE_"), ", ".join(["N", *tensor["dims"]]))
        for key in ("input", "output")
        for tensor in ensemble[key]
    ]
    assert [(key, name, kind.replace("BYTES", "STRING"), shape) for key, name, kind, shape in rows] == expected
    parameters = re.findall(r"^\| parameter \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert parameters == [entry["key"][0] for entry in ensemble["parameters"]]
