"""Score schemes: the ones built in, and what a scheme file may not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lungsev.errors import ConfigError
from lungsev.schemes import Scheme, builtin_schemes, load_scheme, main_scheme


@pytest.mark.parametrize(
    ("name", "regions", "grades", "total_max"),
    [("brixia", 6, (0, 1, 2, 3), 18), ("inha", 4, (1, 2, 3, 4, 5), 20), ("mbrixia", 12, (0, 1, 2, 3), 36),
     ("ralo", 2, (0, 1, 2, 3, 4), 8), ("rale", 4, (0, 1, 2, 3, 4, 6, 8, 9, 12), 48)],
)  # fmt: skip
def test_built_in_schemes_are_the_published_ones(
    name: str, regions: int, grades: tuple[int, ...], total_max: int
) -> None:
    scheme = load_scheme(name)
    assert (scheme.name, scheme.num_regions, scheme.grades, scheme.total_max) == (name, regions, grades, total_max)
    assert name in builtin_schemes()


@pytest.mark.parametrize("name", builtin_schemes())
def test_right_regions_lie_on_the_images_left_and_mirror_onto_the_left_ones(name: str) -> None:
    scheme = load_scheme(name)
    for index, region in enumerate(scheme.regions):
        _, x0, _, x1 = region.box
        middle = (x0 + x1) / 2
        assert region.side == ("both" if middle == 0.5 else "right" if middle < 0.5 else "left")
        partner = scheme.regions[scheme.flip_permutation[index]]
        assert {region.side, partner.side} in ({"right", "left"}, {"both"})
        assert scheme.flip_permutation[scheme.flip_permutation[index]] == index


def test_a_scheme_without_symmetry_has_no_flip_permutation() -> None:
    with pytest.raises(ValueError, match="no partner on the other side"):
        _ = Scheme.model_validate(a_scheme(regions=[a_region("A", [0, 0, 1, 0.3])])).flip_permutation


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(builtin_schemes()), st.integers(1, 40), st.integers(1, 40))
def test_pooling_rows_average(name: str, rows: int, columns: int) -> None:
    scheme = load_scheme(name)
    weights = scheme.pooling_matrix(rows, columns)
    assert weights.shape == (scheme.num_regions, rows * columns)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)


def test_pooling_counts_a_cell_by_the_share_the_box_covers() -> None:
    scheme = Scheme.model_validate(a_scheme(regions=[a_region("A", [0.0, 0.0, 0.375, 1.0])]))
    np.testing.assert_allclose(scheme.pooling_matrix(4, 1)[0], [2 / 3, 1 / 3, 0, 0], rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_pooling_a_ramp_gives_the_middle_of_the_box_on_any_grid(slope: float, offset: float) -> None:
    scheme = load_scheme("brixia")
    rows = 40  # a multiple of ten, so that no box cuts a cell
    ramp = np.repeat(slope * (np.arange(rows) + 0.5) / rows + offset, rows)
    pooled = scheme.pooling_matrix(rows, rows) @ ramp
    middles = [slope * (region.box[0] + region.box[2]) / 2 + offset for region in scheme.regions]
    np.testing.assert_allclose(pooled, middles, atol=1e-5)


def test_a_scheme_file_of_ones_own_is_loaded_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(a_scheme()), encoding="utf-8")
    assert load_scheme(path).name == "mine"
    assert load_scheme(str(path)).num_regions == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grades": [0, 2, 1]}, "ascend"),
        ({"grades": [0]}, "grades"),
        ({"grade_names": ["none"]}, "grade_names"),
        ({"name": "Mine!"}, "name"),
        ({"surprise": 1}, "surprise"),
        ({"regions": []}, "regions"),
    ],
)
def test_a_faulty_scheme_names_the_file_and_the_fault(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(a_scheme(**change)), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as error:
        load_scheme(path)
    assert "mine.yaml" in str(error.value)


@pytest.mark.parametrize(
    "regions",
    [
        [{"code": "A", "name": "a", "side": "right", "box": [0.5, 0.0, 0.5, 1.0]}],
        [{"code": "A", "name": "a", "side": "right", "box": [0.0, 0.0, 1.2, 1.0]}],
        [{"code": "A B", "name": "a", "side": "right", "box": [0.0, 0.0, 1.0, 1.0]}],
        [{"code": "A", "name": "a", "side": "up", "box": [0.0, 0.0, 1.0, 1.0]}],
        [{"code": "A", "name": "a", "side": "both", "box": [0.0, 0.0, 1.0, 1.0]}] * 2,
    ],
)
def test_faulty_regions_are_refused(regions: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError):
        Scheme.model_validate(a_scheme(regions=regions))


def test_an_unknown_name_lists_what_is_built_in() -> None:
    with pytest.raises(ConfigError, match=", ".join(builtin_schemes())):
        load_scheme("brixa")


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_scheme(tmp_path / "none.yaml")


def a_region(code: str, box: list[float]) -> dict[str, Any]:
    return {"code": code, "name": f"zone {code}", "side": "right" if box[1] < 0.5 else "left", "box": box}


def a_scheme(**changes: Any) -> dict[str, Any]:
    scheme: dict[str, Any] = {
        "name": "mine",
        "title": "My score",
        "source": "here",
        "grades": [0, 1],
        "grade_names": ["none", "some"],
        "regions": [a_region("R", [0.0, 0.0, 1.0, 0.5]), a_region("L", [0.0, 0.5, 1.0, 1.0])],
    }
    return {**scheme, **changes}


def test_a_zone_is_the_box_where_none_is_given_and_stays_in_a_file() -> None:
    plain = Scheme.model_validate(a_scheme(regions=[a_region("A", [0.1, 0.0, 0.6, 0.5])]))
    assert plain.regions[0].zone == plain.regions[0].box
    own = {**a_region("A", [0.1, 0.0, 0.6, 0.5]), "zone": [0.2, 0.0, 0.5, 0.5]}
    scheme = Scheme.model_validate(a_scheme(regions=[own]))
    assert (scheme.regions[0].zone, scheme.regions[0].box) == ((0.2, 0.0, 0.5, 0.5), (0.1, 0.0, 0.6, 0.5))
    assert Scheme.model_validate(scheme.model_dump(mode="json")) == scheme
    np.testing.assert_array_equal(scheme.pooling_matrix(8, 8), plain.pooling_matrix(8, 8))
    with pytest.raises(ValueError, match="zone of region A"):
        Scheme.model_validate(a_scheme(regions=[{**own, "zone": [0.5, 0.0, 0.5, 0.5]}]))


def test_brixias_zones_are_thirds_of_a_lung_without_overlap() -> None:
    zones = {region.code: region.zone for region in load_scheme("brixia").regions}
    for codes in ("ABC", "DEF"):
        edges = [(zones[code][0], zones[code][2]) for code in codes]
        assert edges == [
            (0.0, pytest.approx(1 / 3)),
            (pytest.approx(1 / 3), pytest.approx(2 / 3)),
            (pytest.approx(2 / 3), 1.0),
        ]
        assert edges[0][1] == edges[1][0]
        assert edges[1][1] == edges[2][0]
    boxes = [region.box for region in load_scheme("brixia").regions][:3]
    assert [box[:3:2] for box in boxes] == [(0.0, 0.4), (0.3, 0.7), (0.6, 1.0)], "what is pooled stays as published"


@pytest.mark.parametrize(("names", "shown"), [(["ralo", "brixia"], "brixia"), (["ralo", "inha"], "ralo")])
def test_brixia_is_the_main_scheme_of_several(names: list[str], shown: str) -> None:
    assert main_scheme(names) == main_scheme(dict.fromkeys(names)) == shown


def test_the_grades_of_a_product_are_made_from_its_factors() -> None:
    rale = load_scheme("rale")
    assert rale.grade_names[0] == "extent 0"
    assert rale.grade_names[rale.grades.index(4)] == "extent 2, density 2 or extent 4, density 1"
    pairs = [(extent, density) for extent in range(5) for density in (1, 2, 3)]
    assert [rale.grades[index] for index in rale.product_indices] == [extent * density for extent, density in pairs]
    again = Scheme.model_validate(rale.model_dump(mode="json"))
    assert again == rale


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factors": [{"name": "extent", "grades": [0, 1]}]}, "two factors or more"),
        ({"factors": [{"name": "extent", "grades": [0, 1]}] * 2}, "of different names"),
        ({"grades": [0, 1, 2], "grade_names": ["a", "b", "c"]}, "not the products of the factors"),
        ({"factors": [{"name": "a", "grades": [1, 0]}, {"name": "b", "grades": [1, 2]}]}, "must ascend"),
        (
            {"factors": [{"name": "a", "grades": [0, 1], "grade_names": ["x"]}, {"name": "b", "grades": [1, 2]}]},
            "names",
        ),
    ],
)
def test_factors_that_make_no_scale_are_refused(changes: dict[str, Any], message: str) -> None:
    data = {**load_scheme("rale").model_dump(mode="json", exclude={"grades", "grade_names"}), **changes}
    with pytest.raises(ValueError, match=message):
        Scheme.model_validate(data)
