"""DICOMweb server as a source: a search for instances (QIDO-RS) in pages, each instance retrieved alone (WADO-RS)."""

from __future__ import annotations

import base64
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from lungsev.errors import LungsevError, UnreadableImageError
from lungsev.reading.limits import MIB
from lungsev.runtime.cluster.sources import Item, NotFetchedError
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError
from lungsev.runtime.delivery.stow_answer import element_values, read_dicom_json
from lungsev.runtime.delivery.web import WebAnswer, check_web_status, read_secret, request

TOKEN, TOKEN_FILE = "LUNGSEV_DICOMWEB_TOKEN", "LUNGSEV_DICOMWEB_TOKEN_FILE"
USER, PASSWORD = "LUNGSEV_DICOMWEB_USER", "LUNGSEV_DICOMWEB_PASSWORD"

_STUDY, _SERIES, _INSTANCE, _MODALITY = "0020000D", "0020000E", "00080018", "00080060"
_RADIOGRAPHS = "DX,CR"
_PAGE_INSTANCES = 500
_LONGEST_PAGE = 32 * MIB
_SEARCH_SECONDS, _RETRIEVE_SECONDS = 120.0, 300.0
_ENVELOPE_BYTES = 64 * 1024  # of a multipart answer, around the object in it
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")  # PS3.5 9.1
_UID_LENGTH = 64
_ACCEPTED = (
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    'multipart/related; type="application/dicom"',
)
_NOT_ACCEPTABLE, _NO_CONTENT, _GONE = 406, 204, (404, 410)
_EXPECTED = "expected a DICOMweb server like dicomweb+https://pacs.example/dicom-web?StudyDate=20240101-20240630"


@dataclass(frozen=True)
class Access:
    """How lungsev shows a server who it is: a bearer token, a file with one that others renew, or a password."""

    token: str = field(default="", repr=False)
    token_file: Path | None = None
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def headers(self) -> dict[str, str]:
        """Return the header of a request; a token file is read again each time. Raises SendLaterError."""
        if self.token_file is not None or self.token:
            return {"Authorization": f"Bearer {read_secret(self.token_file) if self.token_file else self.token}"}
        if self.user:
            pair = f"{self.user}:{self.password}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}
        return {}


def read_access(environment: Mapping[str, str] | None = None) -> Access:
    """Read the access to DICOMweb servers from environment variables; none of them set is a server without a lock."""
    given = os.environ if environment is None else environment
    file = given.get(TOKEN_FILE)
    return Access(given.get(TOKEN, ""), Path(file) if file else None, given.get(USER, ""), given.get(PASSWORD, ""))


class DicomWeb:
    """The instances of a DICOMweb server that match a search; DX and CR unless the search names a modality.

    Args:
        address: URL of the service with the search in its query (PS3.18 8.3.4), for example
            `https://pacs.example/dicom-web?StudyDate=20240101-20240630`.
        access: How to show the server who lungsev is.
        pause_seconds: Before the second attempt at a page; doubles.

    Raises:
        LungsevError: The address is none.
    """

    def __init__(self, address: str, access: Access, pause_seconds: float = 2.0) -> None:
        try:
            parts = urlsplit(address)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LungsevError(f"found no address of a server after dicomweb+, {_EXPECTED}")
        if parts.username or parts.password:
            raise LungsevError(f"found a user name or password in the URL, expected none: set {USER} and {PASSWORD}")
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        search = dict(parse_qsl(parts.query))
        if wrong := {"limit", "offset"} & {key.lower() for key in search}:
            raise LungsevError(f"found {min(wrong)} in the search, expected none: pages are asked for one by one")
        self._modalities = search.pop("Modality", "") or _RADIOGRAPHS
        self._search, self._access, self._pause_seconds = search, access, pause_seconds
        self.name = f"dicomweb+{self._base}"
        self.left_out: Counter[str] = Counter()

    def images(self) -> Iterator[Item]:
        """Yield the instances, a page in memory at a time; raises LungsevError."""
        for modality in self._modalities.split(","):
            offset, before = 0, None
            while page := self._page(modality.strip(), offset):
                if page == before:
                    raise LungsevError(f"{self.name} sends the same page again: it does not know `offset`")
                yield from self.items(page, modality.strip())
                offset, before = offset + len(page), page

    def items(self, page: list[dict[str, Any]], modality: str) -> Iterator[Item]:
        """Yield the instances of a page, if their UIDs are such: they become part of a URL."""
        for dataset in page:
            uids = [_text(dataset, tag) for tag in (_STUDY, _SERIES, _INSTANCE)]
            if not all(len(uid) <= _UID_LENGTH and _UID.fullmatch(uid) for uid in uids):
                self.left_out["without valid UIDs"] += 1
            elif _text(dataset, _MODALITY) not in ("", modality):
                self.left_out["of another modality"] += 1
            else:
                place = "/studies/{}/series/{}/instances/{}".format(*uids)
                yield Item(f"{self.name}{place}", place)

    def fetch(self, item: Item, most_bytes: int) -> bytes:
        """Return an instance as a DICOM file; raises NotFetchedError and UnreadableImageError."""
        try:
            answer = self._retrieve(item, most_bytes)
            if answer.status in _GONE:
                raise NotFetchedError("the server no longer has the object", final=True)
            check_web_status(answer.status)
            data = only_part(answer)
        except SendRefusedError as error:
            raise NotFetchedError(str(error), final=True) from None
        except SendLaterError as error:
            raise NotFetchedError(str(error)) from None
        if len(data) > most_bytes:
            raise UnreadableImageError("too_large", f"the file is larger than the limit of {most_bytes // MIB} MiB")
        return data

    def _retrieve(self, item: Item, most_bytes: int) -> WebAnswer:
        for accepted in _ACCEPTED:
            headers = {**self._access.headers(), "Accept": accepted}
            url = f"{self._base}{item.place}"
            answer = request(
                url, "GET", None, headers, timeout_seconds=_RETRIEVE_SECONDS, most_bytes=most_bytes + _ENVELOPE_BYTES
            )
            if answer.status != _NOT_ACCEPTABLE:
                break
        return answer

    def _page(self, modality: str, offset: int) -> list[dict[str, Any]]:
        query = urlencode({"Modality": modality, **self._search, "limit": _PAGE_INSTANCES, "offset": offset})
        for attempt in (1, 2, 3):
            try:
                return self._ask(f"{self._base}/instances?{query}")
            except SendLaterError as error:
                if attempt == 3:
                    raise LungsevError(
                        f"cannot search {self.name}: {error}; run the same command again later"
                    ) from None
                time.sleep(self._pause_seconds * 2 ** (attempt - 1))
            except SendRefusedError as error:
                raise LungsevError(f"cannot search {self.name}: {error}") from None
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, url: str) -> list[dict[str, Any]]:
        headers = {**self._access.headers(), "Accept": "application/dicom+json"}
        return read_page(request(url, "GET", None, headers, timeout_seconds=_SEARCH_SECONDS, most_bytes=_LONGEST_PAGE))


def read_page(answer: WebAnswer) -> list[dict[str, Any]]:
    """Return the instances of an answer to a search (PS3.18 8.3.4.4); none is the end.

    Raises:
        SendLaterError, SendRefusedError: It is none.
    """
    check_web_status(answer.status)
    page = read_dicom_json(answer.body) if answer.status != _NO_CONTENT and answer.body else []
    if page is None:
        raise SendRefusedError("what the server answered is no result of a search: check the URL")
    return page


def _text(dataset: dict[str, Any], tag: str) -> str:
    """Return the first text of an element; empty where it has none."""
    return next((value.strip(" \0") for value in element_values(dataset, tag) if isinstance(value, str)), "")


def only_part(answer: WebAnswer) -> bytes:
    """Return the object of an answer with one part (PS3.18 8.6.1.2), or of one without parts.

    Raises:
        SendLaterError: It is cut off.
        SendRefusedError: It has no part, or several.
    """
    kind = answer.content_type.strip()
    if not kind.lower().startswith("multipart/"):
        if kind.lower().startswith("application/dicom") and not kind.lower().startswith("application/dicom+"):
            return answer.body
        raise SendRefusedError("what the server answered is no DICOM object: check the URL")
    found = re.search(r'boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', kind, re.IGNORECASE)
    if found is None:
        raise SendRefusedError("the answer of the server names no boundary between its parts")
    line = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    start = 0 if answer.body.startswith(line) else answer.body.find(b"\r\n" + line) + 2
    begin = answer.body.find(b"\r\n\r\n", start)
    end = answer.body.find(b"\r\n" + line, begin + 4)
    if begin < 0 or end < 0:
        raise SendLaterError("the answer of the server is cut off")
    if answer.body[end + 2 + len(line) :][:2] != b"--":
        raise SendRefusedError("the answer of the server has several objects, expected one")
    return answer.body[begin + 4 : end]
