from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from web_server import Web

from lungsev.errors import LungsevError, UnreadableImageError
from lungsev.runtime.cluster import dicomweb as dicomweb_module
from lungsev.runtime.cluster.dicomweb import Access, DicomWeb, read_access
from lungsev.runtime.cluster.sources import Item, NotFetchedError

OBJECT = bytes(128) + b"DICM\r\n\r\n--\r\n" + bytes(range(256))
ITEM = Item("x", "/studies/1.2/series/1.3/instances/1.4")
RELATED = 'multipart/related; type="application/dicom"; boundary='


def found(study: str = "1.2", series: str = "1.3", instance: str = "1.4", modality: str | None = "DX") -> dict:
    values = {"0020000D": study, "0020000E": series, "00080018": instance, "00080060": modality}
    return {tag: {"vr": "UI", "Value": [value]} for tag, value in values.items() if value is not None}


def server(web: Web, search: str = "", access: Access = Access()) -> DicomWeb:  # noqa: B008
    return DicomWeb(web.url.removesuffix("/studies") + f"/dicom-web/{search}", access, pause_seconds=0.0)


def paged(instances: dict[str, list[dict]]) -> Callable[[str, dict[str, str]], tuple[int, bytes]]:
    def answer(path: str, query: dict[str, str]) -> tuple[int, bytes]:
        assert path == "/dicom-web/instances"
        start = int(query["offset"])
        return 200, json.dumps(instances[query["Modality"]][start : start + min(3, int(query["limit"]))]).encode()

    return answer


def test_every_instance_of_every_page_is_listed_once(web: Web) -> None:
    digital = [found(instance=f"1.4.{number}") for number in range(1, 8)]
    web.answer_to = paged({"DX": digital, "CR": [found(instance="1.5", modality="CR")]})
    source = server(web, "?StudyDate=20240101-20240630")
    items = list(source.images())
    assert [item.place for item in items] == [
        *(f"/studies/1.2/series/1.3/instances/1.4.{number}" for number in range(1, 8)),
        "/studies/1.2/series/1.3/instances/1.5",
    ]
    assert items[0].name == f"{source.name}{items[0].place}"
    assert all("StudyDate=20240101-20240630" in path for path, _, _ in web.requests)
    assert all(headers["Accept"] == "application/dicom+json" for _, headers, _ in web.requests)


def test_a_search_may_name_its_modalities(web: Web) -> None:
    web.answer_to = paged({"RF": [], "XA": [found(modality=None)]})
    assert len(list(server(web, "?Modality=RF,XA").images())) == 1


def test_only_valid_uids_become_part_of_a_url(web: Web) -> None:
    bad = ["../../etc", "1.2/x", "1..2", "1", "", "1.02", "1.2?x", "1." + "2" * 64, "1.2\n", "1.2\0/../x"]
    entries = [
        *(found(instance=uid) for uid in bad),
        *(found(study=uid) for uid in bad),
        found(modality="CT"),
        found(instance="1.4\0"),
    ]
    web.answer_to = paged({"DX": entries, "CR": []})
    source = server(web)
    assert [item.place for item in source.images()] == [ITEM.place]
    assert source.left_out == {"without valid UIDs": 2 * len(bad), "of another modality": 1}


@pytest.mark.parametrize("value", [None, 5, [], {}, [["1.2"]], [{"a": "1.2"}], [None, 7]])
def test_values_that_are_no_text_are_no_uids(web: Web, value: object) -> None:
    entry = {**found(), "0020000D": {"vr": "UI", "Value": value}}
    assert list(server(web).items([entry], "DX")) == []


def test_a_server_that_does_not_page_does_not_loop_for_ever(web: Web) -> None:
    web.answer_to = lambda path, query: (200, json.dumps([found()]).encode())
    with pytest.raises(LungsevError, match="does not know `offset`"):
        list(server(web).images())


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"", "401: check the token"),
        (302, b"", "a redirect, which is not followed"),
        (503, b"", "503; run the same command again later"),
        (200, b"<html>log in</html>", "no result of a search: check the URL"),
    ],
)
def test_a_search_that_fails_says_why(web: Web, status: int, body: bytes, words: str) -> None:
    web.status, web.answer = status, body
    with pytest.raises(LungsevError, match=words):
        list(server(web).images())
    assert len(web.requests) == (3 if status == 503 else 1)


def test_nothing_found_is_an_empty_listing(web: Web) -> None:
    web.status = 204
    assert list(server(web).images()) == []


@pytest.mark.parametrize("boundary", ["b", '"b c"', "b; charset=x"])
def test_an_instance_is_the_only_part_of_the_answer(web: Web, boundary: str) -> None:
    line = boundary.partition(";")[0].strip('"').encode()
    web.answer = (
        b"preamble\r\n--" + line + b"\r\nContent-Type: application/dicom\r\n\r\n" + OBJECT + b"\r\n--" + line + b"--"
    )
    web.headers = {"Content-Type": RELATED + boundary}
    assert server(web).fetch(ITEM, 1 << 20) == OBJECT
    ((path, headers, _),) = web.requests
    assert path == "/dicom-web" + ITEM.place
    assert headers["Accept"] == 'multipart/related; type="application/dicom"; transfer-syntax=*'


def test_an_instance_may_come_without_parts(web: Web) -> None:
    web.answer, web.headers = OBJECT, {"Content-Type": "application/dicom"}
    assert server(web).fetch(ITEM, 1 << 20) == OBJECT


def test_a_server_that_knows_no_transfer_syntax_parameter_is_asked_without(web: Web) -> None:
    web.status = 406
    with pytest.raises(NotFetchedError):
        server(web).fetch(ITEM, 1 << 20)
    assert [headers["Accept"] for _, headers, _ in web.requests] == [
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        'multipart/related; type="application/dicom"',
    ]


PART = b"--b\r\n\r\nx\r\n--b"


@pytest.mark.parametrize(
    ("status", "kind", "body", "words", "final"),
    [
        (404, "", b"", "no longer has the object", True),
        (503, "", b"", "503", False),
        (302, "", b"", "redirect", True),
        (200, "text/html", b"log in", "no DICOM object", True),
        (200, "application/dicom+json", b"[]", "no DICOM object", True),
        (200, "multipart/related", PART + b"--", "no boundary", True),
        (200, RELATED + "b", PART[:-5], "cut off", False),
        (200, RELATED + "b", b"", "cut off", False),
        (200, RELATED + "b", PART + b"\r\n\r\ny\r\n--b--", "several objects", True),
    ],
)
def test_what_is_no_instance_is_not_fetched(
    web: Web, status: int, kind: str, body: bytes, words: str, final: bool
) -> None:
    web.status, web.answer, web.headers = status, body, {"Content-Type": kind}
    with pytest.raises(NotFetchedError, match=words) as caught:
        server(web).fetch(ITEM, 1 << 20)
    assert caught.value.final == final


def test_an_answer_is_read_no_further_than_the_limit(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb_module, "_ENVELOPE_BYTES", 10)
    web.headers = {"Content-Type": "application/dicom"}
    web.answer = bytes(105)
    with pytest.raises(UnreadableImageError) as caught:
        server(web).fetch(ITEM, 100)
    assert caught.value.code == "too_large"
    web.answer = bytes(200)
    with pytest.raises(NotFetchedError, match="longer than"):
        server(web).fetch(ITEM, 100)


def test_access_is_read_from_the_environment_and_shown_to_nobody_else(web: Web, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    token = read_access({"LUNGSEV_DICOMWEB_TOKEN": "secret"})
    renewed = read_access({"LUNGSEV_DICOMWEB_TOKEN": "secret", "LUNGSEV_DICOMWEB_TOKEN_FILE": str(file)})
    basic = read_access({"LUNGSEV_DICOMWEB_USER": "Aladdin", "LUNGSEV_DICOMWEB_PASSWORD": "open sesame"})
    assert read_access({}).headers() == {}
    assert token.headers() == {"Authorization": "Bearer secret"}
    assert renewed.headers() == {"Authorization": "Bearer from-file"}
    assert basic.headers() == {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}  # RFC 7617
    assert "secret" not in repr(token)
    assert "sesame" not in repr(basic)
    web.answer, web.headers = OBJECT, {"Content-Type": "application/dicom"}
    pickle.loads(pickle.dumps(server(web, access=token))).fetch(ITEM, 1 << 20)
    assert web.requests[0][1]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ftp://pacs.example/x", "expected a DICOMweb server"),
        ("https:///x", "expected a DICOMweb server"),
        ("https://[x/y", "expected a DICOMweb server"),
        ("https://me:secret@pacs.example/x", "set LUNGSEV_DICOMWEB_USER"),
        ("https://pacs.example/x?limit=5", "found limit in the search"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, words: str) -> None:
    with pytest.raises(LungsevError, match=words) as caught:
        DicomWeb(address, Access())
    assert "secret" not in str(caught.value)
