from __future__ import annotations

from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from lungsev.config import load_model
from lungsev.errors import ConfigError
from lungsev.runtime.settings import BedsideSettings, DashboardSettings, SiteSettings


def test_the_shipped_file_shows_every_setting_with_its_default() -> None:
    with resources.as_file(resources.files("lungsev.configs") / "runtime" / "bedside.yaml") as path:
        shipped = load_model(BedsideSettings, path).model_dump()
        import yaml

        written = yaml.safe_load(path.read_text())
    default = BedsideSettings().model_dump()
    for folder in ("incoming", "out"):
        assert shipped["watch"].pop(folder) is not None
        default["watch"].pop(folder)
    assert shipped == default
    for name, section in default.items():
        if isinstance(section, dict):
            assert set(section) <= set(written[name]), name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("watch: {setle_seconds: 3}", "setle_seconds"),
        ("watch: {originals: burn}", "watch.originals"),
        ("outputs: [overlay]", "reference form"),
        ("listen: {allowed_addresses: [ward]}", "listen.allowed_addresses"),
        ("listen: {tls_key: key.pem}", "belong together"),
        ("dashboard: {tls_certificate: cert.pem}", "belong together"),
        ("dashboard: {public_url: ward.example}", "expected an address like https://lungsev.ward.example"),
        ("dashboard: {public_url: 'ftp://ward.example'}", "expected an address like"),
        ("dashboard: {public_url: 'https://me:word@ward.example'}", "expected an address like"),
        ("dashboard: {public_url: 'https://ward.example:x'}", "expected an address like"),
        ("dashboard: {public_url: 'https://ward.example/lungsev'}", "a host name of its own"),
        ("destinations: [{name: a, kind: folder, path: /x, sends: [dicom_sr]}]", "not among outputs: add it"),
    ],
)
def test_a_mistake_names_its_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bedside.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_model(BedsideSettings, path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_options_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bedside.yaml"
    path.write_text("watch: {incoming: /a, settle_seconds: 3}")
    settings = load_model(BedsideSettings, path, {"watch.incoming": Path("/b"), "watch.out": None})
    assert settings.watch.incoming == Path("/b")
    assert settings.watch.settle_seconds == 3


def test_where_dicom_results_go_rejection_notes_go_too() -> None:
    web = {"kind": "stow", "name": "web", "url": "https://pacs.example/studies", "sends": ["dicom_sr"]}
    hook = {"kind": "webhook", "name": "hook", "url": "https://hub.example", "sends": ["json"]}
    settings = BedsideSettings(outputs=("json", "dicom_sr"), destinations=(web, hook))
    assert settings.outputs == ("json", "dicom_sr", "dicom_ko")
    assert [destination.sends for destination in settings.destinations] == [("dicom_sr", "dicom_ko"), ("json",)]
    assert BedsideSettings(outputs=("json", "dicom_ko", "dicom_sc")).outputs == ("json", "dicom_ko", "dicom_sc")


def test_json_is_written_first() -> None:
    assert BedsideSettings(outputs=("overlay", "json", "csv")).outputs == ("json", "overlay", "csv")


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://Ward.example/", "https://ward.example"),
        ("https://ward.example:443", "https://ward.example"),
        ("http://ward.example:443", "http://ward.example:443"),
        ("http://[fd00::1]:8080/", "http://[fd00::1]:8080"),
    ],
)
def test_a_public_address_is_kept_as_browsers_name_an_origin(written: str, origin: str) -> None:
    assert DashboardSettings(public_url=written).public_url == origin


def test_the_sites_zone_must_be_known() -> None:
    assert SiteSettings(timezone="Europe/Rome").zone == ZoneInfo("Europe/Rome")
    assert SiteSettings().zone is None
    with pytest.raises(ValidationError, match="expected a time zone like Europe/Rome"):
        SiteSettings(timezone="Europe/Atlantis")
