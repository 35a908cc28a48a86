from __future__ import annotations

import json
import logging
import threading
import warnings
from pathlib import Path

import pytest

from lungsev.errors import BackendError
from lungsev.runtime.logs import describe_error, logging_to


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "watch.jsonl").read_text().splitlines()]


def test_every_line_is_json_and_names_the_image(tmp_path: Path) -> None:
    with logging_to(tmp_path, "info", console=False):
        logging.getLogger("lungsev.runtime.x").info("image %s ended", "2026-1", extra={"image": "2026-1", "ms": 12})
    (line,) = lines(tmp_path)
    assert (line["image"], line["ms"], line["level"]) == ("2026-1", 12, "info")


def test_the_text_of_errors_of_other_libraries_is_not_logged(tmp_path: Path) -> None:
    def reads_a_tag() -> None:
        raise ValueError("invalid value 'CANARY^PATIENT'")

    with logging_to(tmp_path, "info", console=False):
        log = logging.getLogger("lungsev.runtime.x")
        try:
            reads_a_tag()
        except ValueError:
            log.exception("an image failed")
        logging.getLogger("pydicom").warning("CANARY in PatientName")
        logging.getLogger("pynetdicom").error("CANARY")
        warnings.warn("CANARY in a warning", stacklevel=1)
        log.error("device", exc_info=BackendError("the device is gone"))
    text = (tmp_path / "watch.jsonl").read_text()
    assert "CANARY" not in text
    assert "ValueError at test_logs.py" in text
    assert "the device is gone" in text


def test_a_thread_that_dies_is_logged_without_the_text_of_its_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def die() -> None:
        raise AttributeError("no attribute 'CANARY'")

    with logging_to(tmp_path, "info", console=False):
        thread = threading.Thread(target=die, name="reactor")
        thread.start()
        thread.join()
    (line,) = lines(tmp_path)
    assert line["message"] == "thread reactor ended by an error"
    assert str(line["error"]).startswith("AttributeError at test_logs.py")
    assert "CANARY" not in capfd.readouterr().err + json.dumps(line)


def test_an_os_error_is_described_by_its_number_and_not_its_path() -> None:
    text = describe_error(FileNotFoundError(2, "No such file", "/in/CANARY^PATIENT.dcm"))
    assert text == "FileNotFoundError errno 2"


def test_logging_is_restored_at_the_end(tmp_path: Path) -> None:
    own = logging.getLogger("lungsev")
    before = (list(own.handlers), own.level, own.propagate)
    with logging_to(tmp_path, "debug", console=False):
        assert own.handlers != before[0]
    assert (list(own.handlers), own.level, own.propagate) == before
