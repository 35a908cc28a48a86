"""The stages chain: lungs, frame, grades; the result is the fused network, measured on what was held back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, mean_absolute_error

from lungsev.errors import ConfigError
from lungsev.geometry import warp
from lungsev.networks.build import build_severity
from lungsev.networks.checkpoint import load_network
from lungsev.networks.settings import SeveritySettings
from lungsev.schemes import load_scheme
from lungsev.train.data.datasets import GradedImage
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.fitting import fit
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks.severity import (
    SeverityImages,
    SeverityModule,
    SeverityRunSettings,
    load_dataset,
    mixed,
    reader_target,
    run_severity,
)

SettingsMaker = Callable[..., SeverityRunSettings]
SCHEME, NAN = load_scheme("brixia"), float("nan")
BSNET = {
    "network.neck": "bsnet",
    "network.out_indices": [2, 3, 4],
    "network.position_aware": False,
    "network.bsnet.pyramid_width": 8,
    **{f"network.{name}": SeveritySettings.model_fields[name].default for name in ("dim", "oversample")},
}


def test_segmentation_and_alignment_leave_their_measures(segmentation_run: Run, alignment_run: Run) -> None:
    found = segmentation_run.metrics()
    assert 0 <= found["test"]["dice"] <= 1
    assert 0 <= found["test"]["image_check_accuracy"] <= 1
    assert alignment_run.metrics()["test"]["corner_px"] > 0
    assert alignment_run.metrics()["segmentation"] == str(segmentation_run.path)


def test_a_severity_run_leaves_a_network_a_split_predictions_and_metrics(
    severity_settings: SettingsMaker, tmp_path: Any
) -> None:
    settings = severity_settings()
    run = open_run("brixia", settings)
    metrics = run_severity(settings, run)
    assert run.is_finished
    assert run.metrics() == metrics
    predictions = Predictions.load(run.path / "predictions-test.json")
    truth, said = predictions.reference.ravel(), predictions.grades().ravel()
    assert metrics["results"]["test"]["argmax"]["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert metrics["results"]["test"]["argmax"]["mae"] == pytest.approx(mean_absolute_error(truth, said))
    assert predictions.intervals is not None
    totals = predictions.reference.sum(axis=1)
    inside = (predictions.intervals[:, 0] <= totals) & (totals <= predictions.intervals[:, 1])
    assert metrics["results"]["test"]["interval"]["coverage"] == pytest.approx(inside.mean())
    assert predictions.probabilities.shape[1:] == (6, 4)
    assert np.allclose(predictions.probabilities.sum(axis=-1), 1, atol=1e-4)
    assert set(predictions.readings) == {"senior", "junior"}
    assert metrics["results"]["test"]["images"] == len(predictions.names)
    network = load_network(run.path)
    with torch.inference_mode():
        outputs = network(torch.rand(1, 1, 512, 512))
    assert outputs["probabilities.brixia"].shape == (1, 6, 4)
    assert len(run.history()) == 1
    assert run.history()[0]["images_per_second"] > 0
    assert 0 <= run.history()[0]["train/accuracy"] <= 1  # during training, of changed images: docs/deviations.md, 20


def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(
    severity_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    settings = severity_settings({"loop.epochs": 3, "loop.ema": 0.9, "optimizer.warmup_epochs": 0})
    whole = open_run("brixia", settings, out=tmp_path / "whole")
    run_severity(settings, whole)

    stopped = open_run("brixia", settings, out=tmp_path / "stopped")
    original = fit.EpochLines.on_train_epoch_start

    def die_in_the_third_epoch(self: Any, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2:
            raise RuntimeError("killed")
        original(self, trainer, module)

    with monkeypatch.context() as patch:
        patch.setattr(fit.EpochLines, "on_train_epoch_start", die_in_the_third_epoch)
        with pytest.raises(RuntimeError, match="killed"):
            run_severity(settings, stopped)
    assert not stopped.is_finished

    again = open_run("brixia", settings, out=tmp_path / "stopped")
    run_severity(settings, again)
    assert [record["epoch"] for record in again.history()] == [0, 1, 2]
    ends = [torch.load(run.network, weights_only=True) for run in (whole, again)]
    flat = [torch.cat([v.flatten().float() for v in _tensors(end)]) for end in ends]
    assert torch.allclose(flat[0], flat[1], atol=1e-5)


def _tensors(document: Any) -> list[torch.Tensor]:
    if isinstance(document, torch.Tensor):
        return [document]
    return [t for key in sorted(document) for t in _tensors(document[key])] if isinstance(document, dict) else []


def test_an_unfinished_run_of_the_same_settings_is_continued_and_of_others_is_not(
    severity_settings: SettingsMaker,
) -> None:
    settings = severity_settings()
    first = open_run("brixia", settings)
    assert open_run("brixia", settings).path == first.path
    assert open_run("brixia", settings, fresh=True).path != first.path
    assert open_run("brixia", severity_settings({"loop.seed": 3})).path != first.path
    (first.path / "history.jsonl").touch()
    with pytest.raises(ConfigError, match="unfinished run of other settings"):
        open_run("brixia", severity_settings({"loop.seed": 3}), out=first.path)


@pytest.mark.parametrize(
    "overrides",
    [
        {"network.position_aware": False, "network.head": "mlp", "readers": "first"},
        {
            "mixup": 0.4,
            "loss.kappa": 0.5,
            "loss.corn": 0.5,
            "loss.expected_l1": 0.5,
            "loss.label_smoothing": 0.1,
            "network.head": "ordinal",
            "network.mask_attention": True,
            "network.flip_tta": True,
            "balance": True,
            "loop.accumulate": 2,
            "optimizer.name": "sgd",
            "loop.keep": "last",
        },
        {**BSNET, "ensemble": 1, "loss.expected_l1": 0.3, "loop.ema": 0.9},
    ],
    ids=["spatial normalisation only", "every switch", "BS-Net"],
)
def test_recipe_parts_can_be_switched(severity_settings: SettingsMaker, overrides: dict[str, Any]) -> None:
    settings = severity_settings(overrides)
    run = open_run("brixia", settings)
    metrics = run_severity(settings, run)
    assert not run.checkpoints.exists()
    assert metrics["results"]["test"]["images"] > 0


@pytest.mark.slow
def test_portability_starts_from_another_schemes_network(severity_settings: SettingsMaker) -> None:
    source_settings = severity_settings()
    source = open_run("brixia", source_settings)
    run_severity(source_settings, source)
    before = torch.load(source.network, weights_only=True)
    for frozen in ("none", "all_but_heads"):
        settings = severity_settings(
            {"initial.source": str(source.path), "initial.freeze": frozen, "optimizer.lr": 0.01}, layout="inha"
        )
        run = open_run("inha", settings)
        run_severity(settings, run)
        state = dict(_named(torch.load(run.network, weights_only=True)))
        old = dict(_named(before))
        shared = [k for k in old if "severity.project.weight" in k]
        assert shared
        assert all(torch.equal(old[k], state[k]) for k in shared) == (frozen == "all_but_heads")


def test_bsnet_gets_canvas_mask_and_theta_that_a_flip_changes_together(severity_settings: SettingsMaker) -> None:
    settings = severity_settings({**BSNET, "geometry.p": 0.0, "geometry.flip": 1.0, "intensity.p": 0.0})
    canvas = np.tile(np.linspace(0, 1, 512, dtype=np.float32), (512, 1))
    mask = (canvas[::8, ::8] * 255).astype(np.uint8)
    theta = np.array([[[0.8, 0.0, 0.1], [0.0, 0.8, 0.0]]])
    images = [GradedImage("a", Path(), "a", readings={"reader": (0, 1, 2, 3, 3, 3)})]
    cached = [SimpleNamespace(canvas=lambda: canvas)]
    plain, flipped = (
        SeverityImages(images, cached, theta, SCHEME, settings, augmented, mask[None])[0, 0]  # type: ignore[arg-type]
        for augmented in (False, True)
    )
    assert {key: tuple(plain[key].shape) for key in ("image", "mask", "theta", "target")} == {
        "image": (1, 64, 64),
        "mask": (1, 64, 64),
        "theta": (2, 3),
        "target": (6, 4),
    }
    assert torch.equal(plain["theta"], flipped["theta"])
    assert plain["target"].argmax(-1).tolist() == [0, 1, 2, 3, 3, 3]
    assert flipped["target"].argmax(-1).tolist() == [3, 3, 3, 0, 1, 2]
    for key in ("image", "mask"):
        seen, mirrored = (warp(item[key][0].numpy(), theta[0], 32) for item in (plain, flipped))
        np.testing.assert_allclose(mirrored, seen[:, ::-1], atol=0.02)
        assert seen[16, 30] - seen[16, 1] > 0.5


@pytest.mark.parametrize("freeze", [True, False])
def test_bsnets_encoder_learns_only_when_it_may(severity_settings: SettingsMaker, freeze: bool) -> None:
    settings = severity_settings({**BSNET, "network.bsnet.freeze_encoder": freeze})
    network = build_severity(settings.network)
    SeverityModule(network, load_scheme("brixia"), settings).train()
    network.logits(torch.rand(2, 1, 64, 64), torch.ones(2, 1, 64, 64), torch.eye(2, 3).expand(2, 2, 3))[
        "brixia"
    ].sum().backward()
    encoder = [parameter.grad for parameter in network.backbone.parameters()]
    assert all(grad is None for grad in encoder) == freeze
    assert any(part.training for part in network.backbone.modules()) != freeze
    assert all(parameter.grad is not None for parameter in network.pyramid.parameters())
    probe = severity_settings({**BSNET, "initial.freeze": "all_but_heads"})
    SeverityModule(network, load_scheme("brixia"), probe)
    learning = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert learning == {"scheme_heads"}
    with pytest.raises(ConfigError, match="BS-Net aligns features"):
        SeverityModule(network, load_scheme("brixia"), severity_settings({**BSNET, "mixup": 0.2}))


def test_training_on_covid_is_measured_on_other_pneumonias(
    severity_settings: SettingsMaker, phantom_dataset: Callable[[str], Path], tmp_path: Path
) -> None:
    root = shutil.copytree(phantom_dataset("cohen"), tmp_path / "cohen")
    table = root / "patients.csv"
    others = sorted({image.patient for image in load_dataset(severity_settings()).images})[-2:]
    header, *rows = table.read_text().splitlines()
    changed = [row.rpartition(",")[0] + ",Pneumocystis" if row.split(",")[1] in others else row for row in rows]
    table.write_text("\n".join([header, *changed]))
    settings = severity_settings({"data.root": str(root), "data.findings": ["COVID-19"]})
    run = open_run("brixia", settings)
    run_severity(settings, run)
    assert set(Predictions.load(run.path / "predictions-test.json").findings) == {"Pneumocystis"}
    assert set(Predictions.load(run.path / "predictions-train.json").findings) == {"COVID-19"}


def _named(document: Any, prefix: str = "") -> list[tuple[str, torch.Tensor]]:
    if isinstance(document, torch.Tensor):
        return [(prefix, document)]
    if not isinstance(document, dict):
        return []
    return [pair for key, value in document.items() for pair in _named(value, f"{prefix}/{key}")]


@pytest.mark.slow
def test_accumulated_steps_are_one_batch_to_the_last_image(severity_settings: SettingsMaker, tmp_path: Any) -> None:
    """With LayerNorm, since batch statistics are those of a step; the last step of an epoch is a smaller one."""
    ends = []
    for accumulate in (1, 2):
        settings = severity_settings(
            {
                "network.backbone": "convnext_atto",
                "network.out_indices": [2],
                "network.dropout": 0.0,
                "loop.accumulate": accumulate,
                "loop.epochs": 2,
                "loop.ema": 0.0,
                "loop.keep": "last",
                "optimizer.name": "sgd",
                "data.split.validation": 0.0,
            }
        )
        run = open_run("brixia", settings, out=tmp_path / f"accumulate-{accumulate}")
        run_severity(settings, run)
        assert len(json.loads(run.splits.read_text())["parts"]["train"]) % 4 != 0
        ends.append(torch.load(run.network, weights_only=True))
    flat = [torch.cat([value.flatten().float() for value in _tensors(end)]) for end in ends]
    assert torch.allclose(flat[0], flat[1], atol=1e-6)


def partly_read(name: str = "a") -> GradedImage:
    readings = {"ann": (0.0, NAN, NAN), "bob": (2.0, 1.0, NAN)}
    return GradedImage(name, Path(name), name, readings)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"readers": "first"}, [[1, 0, 0, 0], [0] * 4, [0] * 4]),
        ({"readers": "soft"}, [[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0] * 4]),
        ({"readers": "soft", "first_reader": 0.75}, [[0.75, 0, 0.25, 0], [0, 1, 0, 0], [0] * 4]),
    ],
)
def test_a_region_counts_the_readers_who_graded_it(overrides: dict[str, Any], expected: list[Any]) -> None:
    settings = SeverityRunSettings(**overrides)
    target = reader_target(partly_read(), SCHEME, settings, np.random.default_rng(0))
    assert target.tolist() == expected


def test_a_random_reader_leaves_the_regions_unknown_that_this_reader_did_not_grade() -> None:
    settings, generator = SeverityRunSettings(readers="random"), np.random.default_rng(0)
    drawn = {str(reader_target(partly_read(), SCHEME, settings, generator).sum(axis=1).tolist()) for _ in range(20)}
    assert drawn == {"[1.0, 0.0, 0.0]", "[1.0, 1.0, 0.0]"}


def test_a_blend_knows_what_both_images_know() -> None:
    torch.manual_seed(0)
    target = torch.eye(4)[None, :3].repeat(2, 1, 1)
    target[0, 2] = 0
    batch = {"image": torch.rand(2, 1, 4, 4), "target": target, "index": torch.arange(2)}
    blend = mixed(batch, 1.0)
    while torch.allclose(blend["image"], batch["image"]):  # a blend of each image with itself
        blend = mixed(batch, 1.0)
    assert blend["target"].sum(dim=-1).numpy() == pytest.approx(np.array([[1, 1, 0], [1, 1, 0]]))
