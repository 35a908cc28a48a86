"""The soup: copies that never saw the images they are measured on, and one network at the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lungsev.config import load_model
from lungsev.errors import ConfigError
from lungsev.networks.checkpoint import load_alignment, load_network, load_segmentation, save_checkpoint
from lungsev.phantom import make_phantom
from lungsev.train.data import crop_bank
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.splits import Split, split_images
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks import soup as module
from lungsev.train.tasks.pretraining import PretrainSettings, run_pretraining
from lungsev.train.tasks.severity import SeverityRunSettings, reader_target
from lungsev.train.tasks.soup import SoupSettings, run_soup

TINY_BACKBONE = {"network.backbone": "mobilenetv3_small_050", "network.crop_px": 32, "network.pretrained": "none"}


@pytest.fixture
def settings(
    alignment_run: Run, phantom_dataset: Callable[[str], Path], cache_dir: Path
) -> Callable[..., SoupSettings]:
    def make(**changes: object) -> SoupSettings:
        overrides: dict[str, object] = {
            **TINY_BACKBONE,
            "data.root": str(phantom_dataset("cohen")),
            "data.cache": str(cache_dir),
            "data.workers": 0,
            "data.split.folds": 2,
            "alignment": str(alignment_run.path),
            "augmentations": 3,
            "repeats": 1,
            "network.dim": 0,
            "network.position_aware": False,
            "loop.epochs": 1,
            "loop.batch_size": 4,
            "loop.accelerator": "cpu",
            "loop.loggers": [],
            "network.oversample": 1,
        }
        return load_model(SoupSettings, None, {**overrides, **changes})

    return make


@pytest.fixture(scope="module")
def labelled_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with one label each: clear and ill phantoms."""
    root = tmp_path_factory.mktemp("labelled")
    (root / "images").mkdir()
    lines = ["stem,finding,patient"]
    for seed in range(10):
        image = make_phantom(seed, grades=[3 * (seed % 2)] * 6, size_px=96)
        cv2.imwrite(str(root / "images" / f"image{seed}.png"), (image.pixels * 255).astype(np.uint8))
        lines.append(f"image{seed},{'ill' if seed % 2 else 'clear'},p{seed // 2}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def test_every_image_is_graded_by_a_network_that_never_saw_its_patient(
    settings: Callable[..., SoupSettings], tmp_path: Path
) -> None:
    chosen = settings()
    run = open_run("soup", chosen, out=tmp_path / "run")
    metrics = run_soup(chosen, run)
    tested: list[str] = []
    for fold in range(2):
        split = Split.load(run.path / f"fold-{fold}" / "splits.json")
        assert split.shared_patients == 0
        tested += split.parts["test"]
    predictions = json.loads((run.path / "predictions-test.json").read_text())
    assert sorted(tested) == sorted(predictions["names"])
    assert len(set(tested)) == len(tested)
    assert metrics["results"]["test"]["images"] == len(tested)


def test_one_picture_of_two_patients_lies_in_one_fold(
    settings: Callable[..., SoupSettings], phantom_dataset: Callable[[str], Path], tmp_path: Path
) -> None:
    root = tmp_path / "cohen"
    shutil.copytree(phantom_dataset("cohen"), root)
    images = {image.name: image for image in load_graded(root).images}
    parts = split_images(list(images.values()), "kfold", folds=2, fold=0, validation=0.0).parts
    one = images[parts["test"][0]]
    other = next(image for name in parts["train"] if (image := images[name]).path.suffix == one.path.suffix)
    shutil.copyfile(one.path, other.path)
    chosen = settings(**{"data.root": str(root)})
    run = open_run("soup", chosen, out=tmp_path / "run")
    run_soup(chosen, run)
    for fold in range(2):
        held = Split.load(run.path / f"fold-{fold}" / "splits.json").parts["test"]
        assert (one.name in held) == (other.name in held)


def test_what_ships_is_the_mean_of_copies_trained_on_all_images(
    settings: Callable[..., SoupSettings], tmp_path: Path
) -> None:
    chosen = settings(repeats=2)
    run = open_run("soup", chosen, out=tmp_path / "run")
    metrics = run_soup(chosen, run)
    network = load_network(run.path)
    assert not list(run.path.rglob("*.ckpt"))
    copies = [torch.load(run.path / "all" / f"copy-{n}" / "network.pt", weights_only=True) for n in range(2)]
    name = "scheme_heads.brixia.classify.weight"
    assert not torch.equal(copies[0][name], copies[1][name])
    torch.testing.assert_close(network.severity.state_dict()[name], (copies[0][name] + copies[1][name]) / 2)
    assert float(network.severity.scheme_heads["brixia"].temperature) == pytest.approx(metrics["temperature"]["brixia"])
    assert network.severity.scale.deviation.min() > 0
    with torch.no_grad():
        outputs = network(torch.rand(1, 1, 512, 512))
    assert outputs["probabilities.brixia"].shape == (1, 6, 4)


def test_what_ships_may_find_lungs_otherwise_than_what_was_measured(
    settings: Callable[..., SoupSettings], alignment_run: Run, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(alignment_run.path, other)
    network, network_settings = load_alignment(other)
    network.theta.bias.data += 0.25
    lungs, lung_settings = load_segmentation(other)
    save_checkpoint(other, network_settings, network, lung_settings, lungs)
    chosen = settings(repeats=1, final_alignment=str(other))
    run = open_run("soup", chosen, out=tmp_path / "run")
    run_soup(chosen, run)
    torch.testing.assert_close(load_network(run.path).alignment.theta.bias, network.theta.bias)


def test_a_stopped_run_takes_over_the_copies_it_had(
    settings: Callable[..., SoupSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings()
    run = open_run("soup", chosen, out=tmp_path / "run")
    run_soup(chosen, run)
    first = json.loads((run.path / "predictions-test.json").read_text())["probabilities"]
    (run.path / "network.pt").unlink()
    monkeypatch.setattr(module, "fit", None)  # training again would fail
    run_soup(chosen, run)
    again = json.loads((run.path / "predictions-test.json").read_text())["probabilities"]
    np.testing.assert_allclose(again, first, atol=1e-4)


def test_a_bank_that_does_not_fit_is_refused_before_it_is_filled(
    settings: Callable[..., SoupSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop_bank, "BANK_LIMIT_BYTES", 1000)
    chosen = settings()
    with pytest.raises(ConfigError, match="set augmentations lower"):
        run_soup(chosen, open_run("soup", chosen, out=tmp_path / "run"))


def test_the_first_reader_weighs_more_and_a_lone_one_everything() -> None:
    from lungsev.schemes import load_scheme
    from lungsev.train.data.datasets import GradedImage

    scheme = load_scheme("brixia")
    readings = {"S": (1.0,) * 6, "J": (2.0,) * 6}
    chosen, generator = SeverityRunSettings(first_reader=0.65), np.random.default_rng(0)
    both = reader_target(GradedImage("a", Path("a"), "p", readings), scheme, chosen, generator)
    np.testing.assert_allclose(both[0], [0, 0.65, 0.35, 0], atol=1e-6)
    alone = reader_target(GradedImage("a", Path("a"), "p", {"S": (1.0,) * 6}), scheme, chosen, generator)
    np.testing.assert_allclose(alone[0], [0, 1, 0, 0], atol=1e-6)


def test_pretraining_leaves_a_backbone_that_the_soup_takes_over(
    settings: Callable[..., SoupSettings],
    labelled_images: Path,
    phantom_dataset: Callable[[str], Path],
    alignment_run: Run,
    cache_dir: Path,
    tmp_path: Path,
) -> None:
    overrides = {
        **TINY_BACKBONE,
        "data.root": str(labelled_images),
        "data.cache": str(cache_dir),
        "data.workers": 0,
        "lungs": str(phantom_dataset("lungs")),
        "alignment": str(alignment_run.path),
        "loop.epochs": 1,
        "loop.batch_size": 4,
        "loop.accelerator": "cpu",
        "loop.loggers": [],
        "network.oversample": 1,
        "validation": 0.3,
    }
    chosen = load_model(PretrainSettings, None, overrides)
    run = open_run("pretrain", chosen, out=tmp_path / "pretrain")
    metrics = run_pretraining(chosen, run)
    assert metrics["classes"] == ["clear", "ill"]
    assert 0 <= metrics["validation"]["accuracy"] <= 1
    assert run.is_finished
    state = torch.load(run.network, weights_only=True)
    soup_settings = settings(repeats=1, freeze_norms=True, **{"initial.encoder_weights": str(run.network)})
    soup_run = open_run("soup", soup_settings, out=tmp_path / "run")
    run_soup(soup_settings, soup_run)
    backbone = load_network(soup_run.path).severity.backbone.state_dict()
    moved = 0
    for key, value in backbone.items():
        short = key.removeprefix("net.")
        if "running" in key:
            assert torch.equal(value, state[short]), key
        moved += key.endswith("weight") and not torch.equal(value, state[short])
    assert moved > 0


def test_weights_of_another_backbone_are_refused(settings: Callable[..., SoupSettings], tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pt")
    chosen = settings(**{"initial.encoder_weights": str(tmp_path / "other.pt")})
    with pytest.raises(ConfigError, match="fits the backbone in 0 of"):
        run_soup(chosen, open_run("soup", chosen, out=tmp_path / "run"))
