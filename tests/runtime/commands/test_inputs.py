from __future__ import annotations

import os
from pathlib import Path

import pytest

from lungsev.report import ImageInfo, SeverityReport
from lungsev.runtime.commands.inputs import ResultNames, find_images
from lungsev.system import sha256_of_file


def touch(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_report(path: Path, image: Path) -> SeverityReport:
    report = SeverityReport("skipped", ImageInfo(sha256=sha256_of_file(image)), reason="no_chest")
    path.write_text(report.to_json())
    return report


def test_files_and_folders_may_be_mixed_and_each_image_comes_once(tmp_path: Path) -> None:
    a, b, c = touch(tmp_path / "a"), touch(tmp_path / "ward" / "b"), touch(tmp_path / "ward" / "deep" / "c")
    found = find_images([tmp_path / "ward", a, b, tmp_path / "absent"])
    assert found.images == (b, c, a)
    assert found.missing == (tmp_path / "absent",)


def test_a_folder_gives_no_unfinished_hidden_or_special_files(tmp_path: Path) -> None:
    for name in (".DS_Store", "x.part", "y.tmp", "z.dcm.crdownload", ".git/z"):
        touch(tmp_path / name)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    found = find_images([tmp_path])
    assert found.images == ()
    assert found.unfinished == 4


def test_results_kept_beside_the_images_are_no_images(tmp_path: Path) -> None:
    image, picture = touch(tmp_path / "image.dcm"), touch(tmp_path / "scan.png")
    touch(tmp_path / "image.dcm.json")
    touch(tmp_path / "image.dcm.png")
    assert find_images([tmp_path], results=tmp_path).images == (image, picture)


def test_json_files_elsewhere_are_inputs_and_reports_only_in_the_folder_of_results(tmp_path: Path) -> None:
    note = touch(tmp_path / "ward" / "note.json")
    touch(tmp_path / "ward" / "out" / "image.dcm.json")
    assert find_images([tmp_path / "ward"], results=tmp_path / "ward" / "out").images == (note,)


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    touch(tmp_path / "archive" / "image.dcm")
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "link.dcm").symlink_to(tmp_path / "archive" / "image.dcm")
    (tmp_path / "ward" / "folder").symlink_to(tmp_path / "archive")
    assert find_images([tmp_path / "ward"]).images == (tmp_path / "ward" / "link.dcm",)


def test_names_keep_the_file_name_and_get_a_number_when_they_collide(tmp_path: Path) -> None:
    names = ResultNames(tmp_path / "out")
    images = [touch(tmp_path / folder / "image.dcm", folder.encode()) for folder in ("a", "b", "c")]
    assert [names.assign(image)[0] for image in images] == ["image.dcm", "image.dcm.2", "image.dcm.3"]


def test_a_later_run_finds_its_results_again_and_overwrites_nobody_elses(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    mine, theirs = touch(tmp_path / "a" / "image.dcm", b"mine"), touch(tmp_path / "b" / "image.dcm", b"theirs")
    report = write_report(out / "image.dcm.json", mine)
    assert ResultNames(out).assign(mine) == ("image.dcm", report)
    assert ResultNames(out).assign(theirs) == ("image.dcm.2", None)


@pytest.mark.parametrize("content", ["", "[]", '{"schema_version": 1}', '{"schema_version": 7}', "no json"])
def test_a_file_that_is_no_report_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "image.dcm.json").write_text(content)
    image = touch(tmp_path / "in" / "image.dcm")
    assert ResultNames(tmp_path).assign(image) == ("image.dcm.2", None)


def test_a_name_as_long_as_the_file_system_takes_still_gets_results(tmp_path: Path) -> None:
    long, other = "é" * 127, "é" * 126 + "x"
    names = ResultNames(tmp_path / "out")
    assigned = [names.assign(touch(tmp_path / name))[0] for name in (long, other)]
    assert len(set(assigned)) == 2
    for name in assigned:
        touch(tmp_path / "out" / f"{name}.json")
