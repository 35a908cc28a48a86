from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from lungsev.runtime.tls import server_context


def test_without_a_certificate_there_is_no_tls(tmp_path: Path) -> None:
    assert server_context(None, None, None) is None
    with pytest.raises(FileNotFoundError):
        server_context(tmp_path / "cert.pem", tmp_path / "key.pem", None)
    (tmp_path / "cert.pem").write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        server_context(tmp_path / "cert.pem", tmp_path / "cert.pem", None)


def test_peers_show_a_certificate_where_authorities_are_named(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate of this test and is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    for authorities, expected in ((None, ssl.CERT_NONE), (certificate, ssl.CERT_REQUIRED)):
        context = server_context(certificate, key, authorities)
        assert context is not None
        assert context.verify_mode == expected
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
