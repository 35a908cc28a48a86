from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from lungsev.errors import LungsevError, MissingExtraError
from lungsev.runtime.dashboard import serve as serve_module
from lungsev.runtime.dashboard.serve import check_tls_files, serve_dashboard
from lungsev.runtime.settings import BedsideSettings, DashboardSettings


def test_without_the_packages_it_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="bedside"):
        serve_dashboard(tmp_path, BedsideSettings())


def test_a_missing_folder_a_wrong_certificate_and_a_taken_port_are_one_line_each(
    out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fastapi")
    with pytest.raises(LungsevError, match="expected the one that watch writes to"):
        serve_dashboard(tmp_path / "absent", BedsideSettings())
    (tmp_path / "tls.pem").write_text("no certificate")
    wrong = DashboardSettings(port=0, tls_certificate=tmp_path / "tls.pem", tls_key=tmp_path / "tls.pem")
    with pytest.raises(LungsevError, match=r"cannot use .*tls\.pem; expected PEM files"):
        serve_dashboard(out, BedsideSettings(dashboard=wrong))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LungsevError, match=f"cannot listen on 127.0.0.1 port {port}: .*choose another --port"):
            serve_dashboard(out, BedsideSettings(dashboard=DashboardSettings(port=port)))


@pytest.mark.parametrize(
    ("settings", "address", "warns"),
    [
        ({}, "http://127.0.0.1:8080/?token=abc", False),
        ({"host": "::1"}, "http://[::1]:8080/?token=abc", False),
        ({"host": "localhost"}, "http://localhost:8080/?token=abc", False),
        ({"host": "0.0.0.0"}, "http://0.0.0.0:8080/?token=abc", True),
        ({"host": "0.0.0.0", "tls_certificate": "a", "tls_key": "b"}, "https://0.0.0.0:8080/?token=abc", False),
        ({"public_url": "https://ward.example/"}, "https://ward.example/?token=abc", False),
    ],
)
def test_the_address_is_printed_and_an_open_one_is_warned_of(
    settings: dict[str, str], address: str, warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_module._greet(DashboardSettings.model_validate(settings), 8080, "abc")
    printed = capsys.readouterr()
    assert printed.out == f"dashboard: {address}\n"
    assert printed.err.startswith("warning: other machines can reach") == warns


def test_a_key_with_a_password_is_refused_without_asking_for_it(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the files of this test and is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run(
        [*command, "-passout", "pass:word", "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    check_tls_files(DashboardSettings())
    with pytest.raises(LungsevError, match="without a password"):
        check_tls_files(DashboardSettings(tls_certificate=certificate, tls_key=key))
    with pytest.raises(LungsevError, match="No such file"):
        check_tls_files(DashboardSettings(tls_certificate=tmp_path / "absent", tls_key=key))
