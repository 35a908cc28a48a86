"""An image is read once with all that is known of it; who is measured by one source trains in no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joint_runs import NETWORK, write_ralo

from lungsev.config import load_model
from lungsev.errors import ConfigError, DatasetError
from lungsev.networks.settings import SeveritySettings
from lungsev.train.data.crop_bank import MAPS
from lungsev.train.runs import Run
from lungsev.train.tasks.joint.settings import JointSettings
from lungsev.train.tasks.joint.sources import load_sources, order_of_schemes, token_maps

WHOLE = np.eye(3)[:2]
RALO = {"root": "ralo", "schemes": ["ralo_opacity", "ralo"]}


def settings_of(root: Path, *sources: dict[str, Any], **more: object) -> JointSettings:
    return load_model(
        JointSettings, None, {"data": str(root), "cache": str(root / "cache"), "sources": list(sources), **more}
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    write_ralo(folder / "ralo", 8)
    write_ralo(folder / "again", 8)
    return folder


def test_two_scores_of_an_image_are_one_image_and_an_unread_one_is_unknown(root: Path, tmp_path: Path) -> None:
    (source,) = load_sources(settings_of(root, RALO), Run(tmp_path))
    assert len(source.images) == 8
    assert set(source.graded) == {"ralo", "ralo_opacity"}
    readings = [image.readings if image else None for image in source.graded["ralo_opacity"]]
    last = readings[-1]
    assert last is not None
    assert len(last) == 1  # the first reader said nothing of the last image's opacity
    assert source.train == tuple(range(8))


def test_patients_whom_one_source_measures_are_left_out_of_the_training_of_others(root: Path, tmp_path: Path) -> None:
    held = {**RALO, "split": {"protocol": "holdout", "test": 0.3}}
    other = {**RALO, "root": "again"}
    first, second = load_sources(settings_of(root, held, other), Run(tmp_path))
    tested = {first.images[row].patient for row in first.parts["test"]}
    assert tested
    assert not tested & {second.images[row].patient for row in second.train}
    assert len(second.train) == 8 - len(first.parts["test"])
    measured = {**other, "share": 0.0}
    with pytest.raises(DatasetError, match="of a patient whom another source measures"):
        load_sources(settings_of(root, RALO, measured), Run(tmp_path / "measured"))


def test_the_first_scheme_of_the_network_that_is_taught_is_the_main_one(root: Path, tmp_path: Path) -> None:
    settings = settings_of(root, RALO, **{"network.schemes": ["brixia", "ralo"]})
    sources = load_sources(settings, Run(tmp_path))
    assert list(order_of_schemes(sources, settings)) == ["ralo", "ralo_opacity"]
    tied = settings_of(root, RALO, tie={})
    assert list(order_of_schemes(sources, tied)) == ["brixia", "ralo_opacity", "ralo"]
    other = replace(sources[0], schemes={"brixia": tied_to_four_grades(sources[0].schemes["ralo"])})
    with pytest.raises(ConfigError, match="different scores by brixia"):
        order_of_schemes([other], tied)


def tied_to_four_grades(scheme: Any) -> Any:
    return scheme.model_copy(update={"name": "brixia"})


def test_a_map_is_the_share_of_each_tokens_cell_and_unknown_where_most_of_it_is() -> None:
    network = SeveritySettings.model_validate(NETWORK)
    places = np.zeros((512, 512), np.float32)
    places[:, :256] = 1.0
    places[:128] = np.nan
    found = token_maps({"lung": places}, WHOLE, network)
    lung = found[MAPS.index("lung")]
    assert lung.shape == (4, 4)
    assert np.isnan(lung[0]).all()
    np.testing.assert_allclose(lung[1:], np.tile([1, 1, 0, 0], (3, 1)), atol=0.02)
    assert np.isnan(np.delete(found, MAPS.index("lung"), axis=0)).all()
    shifted = np.array([[1.0, 0, 1.0], [0, 1.0, 0]])  # half of the frame lies beside the canvas
    beside = token_maps({"lung": np.ones((512, 512), np.float32)}, shifted, network)[MAPS.index("lung")]
    np.testing.assert_allclose(beside, np.tile([1, 1, 0, 0], (4, 1)), atol=0.02)
