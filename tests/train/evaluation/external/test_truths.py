"""What other people's images say, and how reports are compared with it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from external_images import SIDE_PX, StandIn, report_of, write_picture

from lungsev.errors import DatasetError
from lungsev.train.evaluation.external.truths import load_external, opaque_shares


class LowerHalf:
    """Opaque in the lower half, unknown in the upper third."""

    def read(self, rows: int, columns: int) -> npt.NDArray[np.float32]:
        share = np.zeros((2, rows, columns), np.float32)
        share[:, rows // 2 :] = 1.0
        share[:, : rows // 3] = np.nan
        return share


def test_a_regions_share_is_of_its_own_area_and_of_what_is_known() -> None:
    shares = opaque_shares(LowerHalf(), report_of([0] * 6).scores["brixia"], SIDE_PX, SIDE_PX)
    assert shares[2] == pytest.approx(1.0)
    assert shares[5] == pytest.approx(1.0)
    assert 0.3 < shares[1] < 0.7
    assert shares[0] < 0.2


def test_rsna_classes_are_told_apart_by_the_total(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rows = []
    for number, (grade, seen) in enumerate(
        [(3, "Lung Opacity"), (2, "Lung Opacity"), (2, "No Lung Opacity / Not Normal"), (0, "Normal"), (1, "Normal")]
    ):
        name = f"n{number}-{grade}.png"
        write_picture(tmp_path / "images" / name)
        rows.append(f"{name},N{number},{seen}")
    rows += ["missing-1.png,N8,Normal", "n0-3.png,N9,"]
    (tmp_path / "index.csv").write_text("film,patient,rsna_class\n" + "\n".join(rows) + "\n")
    external = load_external(tmp_path)
    assert (external.name, len(external.images)) == (tmp_path.name, 5)
    measured = external.measure(external.images, [StandIn().score(image.path) for image in external.images])
    assert [(row["title"], row["value"]) for row in measured] == [
        ("brixia: opacity told from normal", 1.0),
        ("brixia: opacity told from all others", pytest.approx((3 + 2.5) / 6, abs=1e-4)),
    ]


def test_grades_of_another_scheme_are_compared_by_their_total(tmp_path: Path) -> None:
    (tmp_path / "scheme.yaml").write_text(
        "name: halves\ntitle: Halves\nsource: test\ngrades: [0, 1, 2]\ngrade_names: [clear, ill, worse]\n"
        "regions:\n  - {code: R, name: right, side: right, box: [0, 0, 1, 0.5]}\n"
        "  - {code: L, name: left, side: left, box: [0, 0.5, 1, 1]}\n"
    )
    rows = ["image;ann-R;ann-L;bob-R;bob-L"]
    for number, (grade, ann, bob) in enumerate([(0, 0, 0), (1, 1, 1), (2, 1, 2), (3, 2, 2), (3, 2, 1), (0, 0, 1)]):
        write_picture(tmp_path / f"g{number}-{grade}.png")
        rows.append(f"g{number}-{grade}.png;{ann};{ann};{bob};{bob}")
    (tmp_path / "mine.csv").write_text("\n".join(rows) + "\n")
    external = load_external(tmp_path)
    assert external.what == "Halves by 2 readers"
    measured = external.measure(external.images, [StandIn().score(image.path) for image in external.images])
    by_title = {row["title"]: row["value"] for row in measured}
    mean = np.array([0, 2, 3, 4, 3, 1])
    assert by_title["brixia: total against the readers' mean total"] == pytest.approx(
        np.corrcoef([0, 6, 12, 18, 18, 0], mean)[0, 1], abs=1e-4
    )
    assert by_title["brixia: totals from 3 against up to 1"] == 1.0
    assert by_title["the second reader against the first"] == pytest.approx(
        np.corrcoef([0, 2, 2, 4, 4, 0], [0, 2, 4, 4, 2, 2])[0, 1], abs=1e-4
    )


def test_outlines_are_compared_region_by_region_and_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    rows = ["film,patient,in_shared"]
    for number, grade in enumerate([0, 1, 2, 3]):
        name = f"o{number}-{grade}"
        write_picture(tmp_path / "images" / f"{name}.png")
        outlined = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        outlined[:, : SIDE_PX * grade // 3] = 1
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), outlined)
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.lungs.png"), np.ones((SIDE_PX, SIDE_PX), np.uint8))
        rows.append(f"{name}.png,P{number},0")
    (tmp_path / "index.csv").write_text("\n".join(rows) + "\n")
    external = load_external(tmp_path)
    measured = external.measure(external.images, [StandIn().score(image.path) for image in external.images])
    assert [row["title"] for row in measured] == [
        "brixia: grade of a region against its opaque share",
        "brixia: total against the mean opaque share",
    ]
    assert measured[0]["images"] == 24
    assert measured[1]["value"] == pytest.approx(1.0, abs=1e-3)


def test_a_folder_without_any_of_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        load_external(tmp_path)
