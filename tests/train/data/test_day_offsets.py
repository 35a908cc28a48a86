"""Days of images, from dates, from offsets and from a table of the dataset beside."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from lungsev.train.data.datasets import FindingsDataset, GradedImage, load_graded, load_labelled, load_masked
from lungsev.train.data.day_offsets import DaysBeside, day_in, day_of


def image(taken_at: datetime | None = None, day_offset: float | None = None) -> GradedImage:
    return GradedImage("a", Path("a"), "P1", {"reader": (1.0,)}, taken_at=taken_at, day_offset=day_offset)


def test_a_date_goes_before_an_offset_and_differences_are_days() -> None:
    evening, morning = datetime(2020, 3, 1, 18), datetime(2020, 3, 2, 6)
    first, second = day_of(image(evening, 7.0)), day_of(image(morning))
    assert first is not None
    assert second is not None
    assert second - first == 0.5
    assert day_of(image(day_offset=-2.0)) == -2.0
    assert day_of(image()) is None


@pytest.mark.parametrize(("row", "day"), [({"offset": "3"}, 3.0), ({"Day_Offset": "-1,5"}, -1.5), ({"day": "3"}, None)])
def test_a_row_says_its_day_in_one_of_two_columns(row: dict[str, str], day: float | None) -> None:
    assert day_in(row) == day


def test_the_dataset_beside_says_days_of_images_and_only_of_the_same_patient(tmp_path: Path) -> None:
    for name in ("own", "beside", "broken"):
        (tmp_path / name).mkdir()
    rows = "film,patient,day_offset\nA.jpeg,P1,4\nb.png,P2,\nc.png,,1\n"
    (tmp_path / "beside" / "offsets-of-shared-films.csv").write_text(rows)
    (tmp_path / "broken" / "offsets-of-others.csv").write_text("only a header\n")
    days = DaysBeside(tmp_path / "own")
    assert days.find("a.jpg", "P1") == 4.0
    assert days.find("a.jpg", "P9") is None
    assert days.find("b.png", "P2") is days.find("c.png", "") is None


def test_lung_masks_take_days_from_their_index_or_from_beside(tmp_path: Path) -> None:
    root = tmp_path / "lungs"
    for name in ("images/a.png", "images/b.png", "masks/a.png", "masks/b.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "index.csv").write_text("stem,patient,day_offset\na,P1,2\nb,P1,\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "offsets-of-shared-films.csv").write_text("film,patient,day_offset\na.jpg,P1,8\nb.jpg,P1,9\n")
    assert [day_of(found) for found in load_masked(root).images] == [2.0, 9.0]


def test_real_courses_have_days(shared_dir: Path) -> None:
    cxr = shared_dir / "cxr"
    dated = {
        "ralo": load_graded(cxr / "ralo").images,
        "brixia-cohen": load_graded(cxr / "brixia-cohen").images,
        "lung-masks": load_masked(cxr / "lung-masks").images,
        "cohen-more": load_labelled(cxr / "cohen-more").images,
        "cxnet-open": load_labelled(cxr / "cxnet-open").images,
    }
    counted = {name: sum(day_of(image) is not None for image in images) for name, images in dated.items()}
    assert counted["ralo"] == len(dated["ralo"]) == 1915  # one of the 1,916 is an abdomen, which nobody graded
    assert counted["brixia-cohen"] >= 98
    assert counted["lung-masks"] > 200
    assert (counted["cohen-more"], counted["cxnet-open"]) == (43, 36)


def test_real_findings_are_read_with_the_patients_of_their_tables(shared_dir: Path) -> None:
    cxr = shared_dir / "cxr"
    more, open_images = load_labelled(cxr / "cohen-more"), load_labelled(cxr / "cxnet-open")
    assert isinstance(more, FindingsDataset)
    assert isinstance(open_images, FindingsDataset)
    assert (len(more.images), len(open_images.images)) == (53, 62)
    assert {image.patient[0] for image in more.images} == {"P"}
    assert {image.patient[:2] for image in open_images.images if image.patient.startswith("CX")} == {"CX"}
    assert {image.findings["COVID-19"] for image in open_images.images} == {1}
    assert {image.findings.get("Lung Opacity") for image in open_images.images} == {0, 1, None}
