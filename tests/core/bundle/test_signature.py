"""A bundle from elsewhere is opened only with the signature of a trusted key, or when that is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lungsev.bundle.archive import Bundle, default_bundle_path, demand_trust, read_bundle, sign_bundle, verify_bundle
from lungsev.bundle.contents import SIGNATURE_FILE
from lungsev.bundle.zoo import user_zoo
from lungsev.bundle.zoo_changes import add_bundle
from lungsev.errors import BundleError, ConfigError

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519


def make_key(folder: Path, name: str, kind: str = "ed25519") -> Path:
    """Write a pair of keys; the private one is returned, the public one goes to trusted/."""
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    private = folder / f"{name}.key"
    encoding = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (folder / "trusted").mkdir(exist_ok=True)
    public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "trusted" / f"{name}.pem").write_bytes(public)
    return private


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LUNGSEV_ALLOW_UNSIGNED", raising=False)
    monkeypatch.setenv("LUNGSEV_TRUSTED_KEYS", str(tmp_path / "trusted"))
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "copy"))


def test_unsigned_is_refused_unless_asked_for(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match=r"is not signed; .* --allow-unsigned"):
        demand_trust(read_bundle(copy))
    assert demand_trust(read_bundle(copy), allow_unsigned=True) == "not asked for"
    failed = verify_bundle(copy)[-1]
    assert (failed.name, failed.passed) == ("signature", False)
    monkeypatch.setenv("LUNGSEV_ALLOW_UNSIGNED", "1")
    assert all(check.passed for check in verify_bundle(copy))


def test_what_the_user_added_by_checksum_needs_no_signature(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    add_bundle(copy, tmp_path / "site", "chest")
    with pytest.raises(BundleError, match="not signed"):
        demand_trust(read_bundle(copy))
    add_bundle(copy, user_zoo(), "chest")
    assert "added by you" in demand_trust(read_bundle("chest"))
    sums = (user_zoo() / "chest@1" / "SHA256SUMS").read_text().splitlines(keepends=True)
    (user_zoo() / "chest@1" / "SHA256SUMS").write_text("".join(reversed(sums)))
    with pytest.raises(BundleError, match="not signed"):
        demand_trust(read_bundle(user_zoo() / "chest@1"))


def test_the_packaged_bundle_needs_no_signature(copy: Path) -> None:
    assert demand_trust(read_bundle()) == "packaged with lungsev"
    assert read_bundle().path == default_bundle_path()


def test_the_packaged_bundle_is_known_under_a_relative_path_and_through_a_link(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(default_bundle_path())
    monkeypatch.chdir(default_bundle_path().parent)
    for path in (Path("default"), Path("../bundle/default"), tmp_path / "link"):
        assert demand_trust(read_bundle(path)) == "packaged with lungsev"
    other = Path(shutil.copytree(default_bundle_path(), tmp_path / "default"))
    with pytest.raises(BundleError, match="not signed"):
        demand_trust(read_bundle(other))


@pytest.mark.parametrize("zipped", [False, True])
def test_a_signed_bundle_keeps_its_name_and_is_trusted(copy: Path, tmp_path: Path, zipped: bool) -> None:
    before = read_bundle(copy)
    if zipped:
        shutil.make_archive(str(copy), "zip", copy)
        copy = copy.with_suffix(".zip")
    key = make_key(tmp_path, "maker")
    assert sign_bundle(copy, key).sha256 == before.sha256
    assert demand_trust(read_bundle(copy)) == "by maker.pem"
    first = read_bundle(copy).file_bytes(SIGNATURE_FILE)
    assert sign_bundle(copy, key).file_bytes(SIGNATURE_FILE) == first
    sign_bundle(copy, make_key(tmp_path, "hospital"))
    (tmp_path / "trusted" / "maker.pem").unlink()
    assert demand_trust(read_bundle(copy)) == "by hospital.pem"


def test_a_signature_by_a_stranger_or_of_other_files_is_refused(copy: Path, tmp_path: Path) -> None:
    sign_bundle(copy, make_key(tmp_path, "maker"))
    (tmp_path / "trusted" / "maker.pem").rename(tmp_path / "maker.pem")
    with pytest.raises(
        BundleError, match=r"is signed by key \w{16}, which is not trusted here .* holds no public keys\)"
    ):
        demand_trust(read_bundle(copy))
    (tmp_path / "maker.pem").rename(tmp_path / "trusted" / "maker.pem")
    sums = (copy / "SHA256SUMS").read_text().splitlines(keepends=True)
    (copy / "SHA256SUMS").write_text("".join(reversed(sums)))  # still right, but not what was signed
    with pytest.raises(BundleError, match=r"maker\.pem that is not of its files"):
        demand_trust(read_bundle(copy))
    (copy / SIGNATURE_FILE).write_text("ed25519 nonsense\n")
    with pytest.raises(BundleError, match="no list of signatures"):
        demand_trust(read_bundle(copy))


def test_keys_that_are_none_are_named(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.key .*openssl genpkey"):
        sign_bundle(copy, tmp_path / "absent.key")
    with pytest.raises(ConfigError, match="another kind, expected Ed25519"):
        sign_bundle(copy, make_key(tmp_path, "curve", "ec"))
    sign_bundle(copy, make_key(tmp_path, "maker"))
    with pytest.raises(ConfigError, match=r"curve\.pem is a key of another kind"):
        demand_trust(read_bundle(copy))


def test_what_was_changed_after_a_trusted_key_signed_it_is_refused_even_where_unsigned_is_allowed(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUNGSEV_ALLOW_UNSIGNED", "1")
    sign_bundle(copy, make_key(tmp_path, "maker"))
    assert demand_trust(read_bundle(copy)) == "not asked for"
    sums = (copy / "SHA256SUMS").read_text().splitlines(keepends=True)
    (copy / "SHA256SUMS").write_text("".join(reversed(sums)))
    with pytest.raises(BundleError, match=r"maker\.pem that is not of its files"):
        demand_trust(read_bundle(copy))
    (tmp_path / "trusted" / "maker.pem").write_text("no key")
    assert demand_trust(read_bundle(copy)) == "not asked for"
