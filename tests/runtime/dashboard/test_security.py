"""Tokens, cookies and forms of the dashboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from dashboard_browser import TOKEN

from lungsev.errors import LungsevError

pytest.importorskip("fastapi")

from fastapi import Request

from lungsev.runtime.dashboard.security import COOKIE, HEADERS, Access, keep_token, read_token


def test_a_token_file_must_be_private_and_long(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n", encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(LungsevError, match="chmod 600"):
        read_token(path)
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    path.write_text("short", encoding="utf-8")
    with pytest.raises(LungsevError, match="at least 16"):
        read_token(path)
    with pytest.raises(LungsevError, match="cannot read"):
        read_token(tmp_path / "none")


def test_a_folder_keeps_its_token_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    token = keep_token(tmp_path)
    assert len(token) >= 32
    assert keep_token(tmp_path) == token
    assert keep_token(tmp_path / "other") != token
    assert (tmp_path / "dashboard.token").stat().st_mode & 0o777 == 0o600
    with pytest.raises(LungsevError, match="cannot write"):
        keep_token(tmp_path / "none")


def request(**headers: str) -> Request:
    """A request with these headers; `_` in a name is `-`."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": pairs})


def test_the_cookie_or_the_token_as_a_bearer_opens() -> None:
    access = Access(TOKEN)
    assert access.allows(request(cookie=f"{COOKIE}={access.session}"))
    assert access.allows(request(authorization=f"Bearer {TOKEN}"))
    assert access.allows(request(authorization=f"bearer  {TOKEN} "))
    for refused in (
        request(), request(cookie=f"{COOKIE}={TOKEN}"), request(cookie=f"{COOKIE}={access.form}"),
        request(cookie=f"other={access.session}"), request(authorization=f"Basic {TOKEN}"),
        request(authorization=TOKEN), request(authorization="Bearer "),
    ):  # fmt: skip
        assert not access.allows(refused)


def test_session_and_form_values_come_from_the_token_and_differ() -> None:
    access, again, other = Access(TOKEN), Access(TOKEN), Access(TOKEN + "x")
    assert (access.session, access.form) == (again.session, again.form)
    assert len({access.session, access.form, other.session, other.form, TOKEN}) == 5
    assert access.is_token(TOKEN)
    assert not access.is_token(TOKEN + "x")
    assert not access.is_token("schlüssel\ud800")


def test_a_form_is_genuine_from_the_same_host_or_without_an_origin() -> None:
    access = Access(TOKEN)
    assert access.is_genuine(request(host="ward:8080"), access.form)
    assert access.is_genuine(request(host="ward:8080", origin="https://ward:8080"), access.form)
    assert not access.is_genuine(request(host="ward:8080", origin="https://ward:8081"), access.form)
    assert not access.is_genuine(request(host="ward:8080", origin="null"), access.form)
    assert not access.is_genuine(request(host="ward:8080"), access.session)


PROXY_HOST = {"host": "10.0.0.5:8080"}  # a proxy that puts the dashboard's own address in place of the browser's


@pytest.mark.parametrize(
    ("headers", "genuine"),
    [
        ({"origin": "https://ward.example", **PROXY_HOST}, True),
        ({"origin": "https://ward.example", "host": "ward.example"}, True),  # a proxy that keeps it
        ({"origin": "http://10.0.0.5:8080", **PROXY_HOST}, True),  # past the proxy
        ({"origin": "http://ward.example", **PROXY_HOST}, False),
        ({"origin": "https://ward.example:8443", **PROXY_HOST}, False),
        ({"origin": "https://ward.example.evil.example", **PROXY_HOST}, False),
        ({"origin": "https://evil.example", **PROXY_HOST}, False),
        ({"origin": "https://evil.example", "x_forwarded_host": "ward.example", **PROXY_HOST}, False),
        ({"origin": "null", **PROXY_HOST}, False),
        ({"origin": ""}, False),
    ],
)
def test_behind_a_proxy_the_public_address_is_an_origin_and_a_forged_one_is_not(
    headers: dict[str, str], genuine: bool
) -> None:
    access = Access(TOKEN, "https://ward.example")
    assert access.is_genuine(request(**headers), access.form) == genuine
    assert not access.is_genuine(request(**headers), access.session)


def test_without_a_public_address_the_host_that_the_proxy_was_asked_for_counts() -> None:
    access = Access(TOKEN)
    behind = {"origin": "https://ward.example", **PROXY_HOST}
    assert not access.is_genuine(request(**behind), access.form)
    assert access.is_genuine(request(x_forwarded_host="ward.example", **behind), access.form)
    assert access.is_genuine(request(x_forwarded_host="ward.example, inner.example", **behind), access.form)
    assert not access.is_genuine(request(x_forwarded_host="inner.example, ward.example", **behind), access.form)


def test_headers_forbid_foreign_content() -> None:
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert HEADERS["X-Frame-Options"] == "DENY"


def test_a_token_of_sixteen_characters_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("x" * 16, encoding="utf-8")
    path.chmod(0o600)
    assert read_token(path) == "x" * 16
    path.write_bytes(b"\xff" * 20)
    with pytest.raises(LungsevError, match="cannot read the token file"):
        read_token(path)
