from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest

from lungsev.errors import LungsevError, MissingExtraError
from lungsev.runtime.dashboard import serve as serve_module
from lungsev.runtime.dashboard.serve import serve_dashboard


def test_without_the_packages_it_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="bedside"):
        serve_dashboard(tmp_path, "127.0.0.1", 0, None, None, None)


def test_a_missing_folder_a_lone_certificate_and_a_taken_port_are_one_line_each(
    out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fastapi")
    with pytest.raises(LungsevError, match="expected the one that watch writes to"):
        serve_dashboard(tmp_path / "absent", "127.0.0.1", 0, None, None, None)
    with pytest.raises(LungsevError, match="give both or neither"):
        serve_dashboard(out, "127.0.0.1", 0, None, tmp_path / "tls.pem", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LungsevError, match=f"cannot listen on 127.0.0.1 port {port}: .*choose another --port"):
            serve_dashboard(out, "127.0.0.1", port, None, None, None)


@pytest.mark.parametrize(
    ("host", "encrypted", "address", "warns"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:8080/?token=abc", False),
        ("::1", False, "http://[::1]:8080/?token=abc", False),
        ("localhost", False, "http://localhost:8080/?token=abc", False),
        ("0.0.0.0", False, "http://0.0.0.0:8080/?token=abc", True),
        ("0.0.0.0", True, "https://0.0.0.0:8080/?token=abc", False),
    ],
)
def test_the_address_is_printed_and_an_open_one_is_warned_of(
    host: str, encrypted: bool, address: str, warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_module._greet(host, 8080, "abc", encrypted)
    printed = capsys.readouterr()
    assert printed.out == f"dashboard: {address}\n"
    assert printed.err.startswith("warning: other machines can reach") == warns
