"""What the three DICOM results share: patient and study of the image, own series, no loss to a bad header."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pydicom
import pytest
from dicom_results import open_output, written
from pydicom.dataset import Dataset
from standing_reports import SIGNER, in_state

from lungsev.errors import LungsevError, SkippedImageError, UnreadableImageError
from lungsev.moment import Moment
from lungsev.pipeline import ScoredRadiograph
from lungsev.reading.read import read_radiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.dicom_file import document_time

pytest.importorskip("highdicom")
FORMATS = ["dicom_sr", "dicom_pr", "dicom_sc"]
EVIL_NAME = "=CMD^\u202e<script>alert(1)</script>"


@pytest.fixture(scope="module")
def scored(make_scored_dicom) -> ScoredRadiograph:
    return make_scored_dicom()


@pytest.mark.parametrize("name", FORMATS)
def test_it_joins_the_images_patient_and_study_in_a_series_of_its_own(name, scored, tmp_path: Path) -> None:
    source, result = pydicom.dcmread(scored.source), written(name, scored, tmp_path)
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
        assert result[keyword].value == source[keyword].value
    assert result.SeriesInstanceUID != source.SeriesInstanceUID
    assert result.SOPInstanceUID != source.SOPInstanceUID
    assert result.Manufacturer == "lungsev"


@pytest.mark.parametrize("name", FORMATS)
def test_its_uid_follows_from_the_image_and_the_model(name, scored, tmp_path: Path) -> None:
    first, second = (written(name, scored, tmp_path) for _ in range(2))
    assert first.SOPInstanceUID == second.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    newer = replace(scored, report=replace(scored.report, model=replace(scored.report.model, version="9.9.9")))
    assert written(name, newer, tmp_path).SOPInstanceUID != first.SOPInstanceUID


def test_the_three_results_of_an_image_differ_in_their_uids(scored, tmp_path: Path) -> None:
    results = [written(name, scored, tmp_path) for name in FORMATS]
    assert len({result.SOPInstanceUID for result in results}) == 3
    assert len({result.SeriesInstanceUID for result in results}) == 3


@pytest.mark.parametrize("name", FORMATS)
def test_dropped_back_into_the_folder_it_is_not_scored(name, scored, tmp_path: Path) -> None:
    output = open_output(name)
    path = output.write(scored, tmp_path / f"image{output.suffix}")
    with pytest.raises((SkippedImageError, UnreadableImageError)):
        read_radiograph(path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed: make validate-dicom")
def test_the_fields_own_validator_finds_no_error(name, scored, tmp_path: Path) -> None:
    output = open_output(name)
    path = output.write(scored, tmp_path / f"image{output.suffix}")
    result = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, timeout=60)
    complaints = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("Error")]
    assert not complaints


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_that_lacks_what_every_object_needs_still_gets_a_result(
    name, make_scored_dicom, tmp_path: Path
) -> None:
    def strip(dataset: Dataset) -> None:
        for keyword in ("PatientBirthDate", "AccessionNumber", "StudyID", "ReferringPhysicianName", "StudyTime"):
            if keyword in dataset:
                delattr(dataset, keyword)

    result = written(name, make_scored_dicom(edit=strip), tmp_path)
    assert "PatientBirthDate" in result
    assert not result.AccessionNumber


def spoil_name(dataset: Dataset) -> None:
    dataset.PatientName = ["Two", "Names"]


def spoil_window(dataset: Dataset) -> None:
    del dataset.WindowWidth


def spoil_rescale(dataset: Dataset) -> None:
    dataset.RescaleSlope = "1"
    if "RescaleIntercept" in dataset:
        del dataset.RescaleIntercept


def spoil_dates(dataset: Dataset) -> None:
    dataset.PatientBirthDate, dataset.PatientSex = "01.02.1950", "?"
    del dataset.PatientOrientation, dataset.ImagerPixelSpacing


@pytest.mark.parametrize("spoil", [spoil_name, spoil_window, spoil_rescale, spoil_dates])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of the values spoilt here
def test_what_is_wrong_in_an_images_header_costs_no_result(name, spoil, make_scored_dicom, tmp_path: Path) -> None:
    scored = make_scored_dicom(edit=spoil)
    header = pydicom.dcmread(scored.source)
    result = written(name, scored, tmp_path)
    assert result.PatientName == header.PatientName
    assert result.StudyInstanceUID == header.StudyInstanceUID


@pytest.mark.parametrize("name", FORMATS)
def test_a_hostile_name_is_carried_over_as_it_is(name, make_scored_dicom, tmp_path: Path) -> None:
    def rename(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = EVIL_NAME

    assert str(written(name, make_scored_dicom(edit=rename), tmp_path).PatientName) == EVIL_NAME


@pytest.mark.parametrize("name", FORMATS)
def test_images_without_a_score_get_none_and_scored_pictures_say_why(name, make_scored, failed, tmp_path: Path) -> None:
    assert open_output(name).write(failed, tmp_path / "image.dcm") is None
    with pytest.raises(LungsevError):
        open_output(name).write(make_scored(), tmp_path / "image.dcm")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_changed_after_it_was_scored_is_refused(name, make_scored_dicom, tmp_path: Path) -> None:
    scored = make_scored_dicom()
    dataset = pydicom.dcmread(scored.source)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.save_as(scored.source)
    with pytest.raises(UnreadableImageError, match="changed"):
        open_output(name).write(scored, tmp_path / "image.dcm")
    scored.source.unlink()
    with pytest.raises(UnreadableImageError, match="cannot be read again"):
        open_output(name).write(scored, tmp_path / "image.dcm")


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_with_half_a_header_has_results_too(name, make_scored_dicom, tmp_path: Path) -> None:
    def edit(dataset: Dataset) -> None:
        for keyword in ("ImagerPixelSpacing", "PatientOrientation", "StudyTime", "AccessionNumber"):
            if keyword in dataset:
                delattr(dataset, keyword)
        dataset.PatientSex = "U"
        dataset.add_new("PatientBirthDate", "LO", "d14a028c2a3a2bc9")
        dataset.add_new("StudyID", "LO", "26eae465a3069d7d94e44c519d9c7aae")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom warns of odd names and ids
        result = written(name, make_scored_dicom(edit=edit), tmp_path)
    assert result.PatientID
    assert not result.PatientBirthDate
    assert not result.PatientSex


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 144", "GB18030"])
@pytest.mark.parametrize("name", FORMATS)
def test_names_in_any_character_set_survive_beside_a_signer_in_another(
    name, charset, make_scored_dicom, tmp_path: Path
) -> None:
    given = {"ISO_IR 144": "Иванов^Иван", "GB18030": "王^小东", "ISO_IR 100": "Müller^Jörg"}[charset]

    def rename(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = charset
        dataset.PatientName = given

    result = written(name, in_state(make_scored_dicom(edit=rename), "corrected"), tmp_path)
    assert str(result.PatientName) == given
    if name == "dicom_sr":
        said = result.VerifyingObserverSequence[0].VerifyingObserverName
    else:
        said = result.ContentCreatorName if name == "dicom_pr" else result.DerivationDescription
    assert SIGNER in str(said)


@pytest.mark.parametrize("name", FORMATS)
def test_the_character_set_of_the_image_is_kept_where_nothing_else_is_said(
    name, make_scored_dicom, tmp_path: Path
) -> None:
    def rename(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 100", "Müller^Jörg"

    result = written(name, make_scored_dicom(edit=rename), tmp_path)
    assert (result.SpecificCharacterSet, str(result.PatientName)) == ("ISO_IR 100", "Müller^Jörg")


@pytest.mark.parametrize(
    ("stated", "acquired", "expected"),
    [
        ("-0500", Moment("2026-11-22T08:15", "minute", "+01:00", "value"), "-0500"),
        ("", Moment("2026-11-22T08:15", "minute", "+05:30", "site"), "+0530"),
        ("odd", Moment("2026-11-22", "day"), "+0300"),
        ("+9900", None, "+0300"),
    ],
)
def test_one_offset_holds_for_every_time_of_a_result(make_scored_dicom, stated, acquired, expected: str) -> None:
    scored = make_scored_dicom()
    header = Dataset()
    header.TimezoneOffsetFromUTC = stated
    now = document_time(header, replace(scored.report, acquired=acquired), timezone(timedelta(hours=3)))
    assert now.strftime("%z") == expected
    assert abs(datetime.now(timezone.utc) - now) < timedelta(minutes=10)


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_of_an_image_with_an_offset_keeps_it_and_its_clock_agrees(name, make_scored_dicom, tmp_path) -> None:
    scored = make_scored_dicom(edit=lambda dataset: setattr(dataset, "TimezoneOffsetFromUTC", "-1100"))
    result = written(name, scored, tmp_path)
    assert result.TimezoneOffsetFromUTC == "-1100"
    day, time = (
        result.get("ContentDate", result.get("InstanceCreationDate")),
        result.get("ContentTime", result.get("InstanceCreationTime")),
    )
    moment = datetime.strptime(f"{day}{time}-1100", "%Y%m%d%H%M%S%z")
    assert abs(datetime.now(timezone.utc) - moment) < timedelta(minutes=10)


@pytest.mark.parametrize("name", FORMATS)
def test_the_issuer_that_the_settings_name_is_in_the_result(name, scored, tmp_path: Path) -> None:
    patient = replace(scored.report.patient, issuer="SITE")
    named = replace(scored, report=replace(scored.report, patient=patient))
    assert written(name, named, tmp_path).IssuerOfPatientID == "SITE"


def test_the_faulty_inputs_have_every_result_or_a_reason(shared_dir: Path, tmp_path: Path) -> None:
    """Files without a preamble, with a long UID, with a backslash in an id, and with offsets."""
    folder = shared_dir / "faults" / "dicom"
    expected = {
        "13_no_preamble": None,
        "13_uid_of_72_characters": "72 characters",
        "02_id_with_backslash_a": "backslash",
        "02_issuer_b": None,
        "06_offset_second": None,
    }
    for stem, reason in expected.items():
        radiograph = read_radiograph(folder / f"{stem}.dcm")
        report = SeverityReport("skipped", radiograph.image, reason="test", patient=radiograph.image.patient)
        scored = ScoredRadiograph(report, radiograph, source=folder / f"{stem}.dcm")
        if reason is not None:
            with pytest.raises(LungsevError, match=reason):
                written("dicom_sc", scored, tmp_path)
            continue
        result = written("dicom_sc", scored, tmp_path)
        assert (result.PatientID, result.get("IssuerOfPatientID")) == (report.patient.id, report.patient.issuer)
