"""Settings: explicit option over file over default, and errors that name the key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from lungsev.bundle.archive import default_bundle_path
from lungsev.bundle.contents import MANIFEST_FILE
from lungsev.config import MAX_YAML_BYTES, load_model, parse_assignments, parse_yaml, read_yaml
from lungsev.errors import ConfigError


class Data(BaseModel):
    model_config = ConfigDict(extra="forbid")
    batch_size: int = Field(default=4, ge=1)
    names: list[str] = Field(default_factory=list)


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    weight: float = 1.0


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    seed: int = 0
    data: Data = Field(default_factory=Data)
    items: list[Item] = Field(default_factory=list)


def settings_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_option_beats_file_beats_default(tmp_path: Path) -> None:
    path = settings_file(tmp_path, "seed: 7\ndata: {batch_size: 8}\n")
    assert load_model(Settings, None).data.batch_size == 4
    assert load_model(Settings, path).data.batch_size == 8
    both = load_model(Settings, path, {"data.batch_size": 16})
    assert (both.data.batch_size, both.seed) == (16, 7)


def test_an_option_of_none_counts_as_not_given(tmp_path: Path) -> None:
    assert load_model(Settings, settings_file(tmp_path, "seed: 7"), {"seed": None}).seed == 7


def test_an_option_creates_the_section_it_needs() -> None:
    assert load_model(Settings, None, {"data.names": ["a"]}).data.names == ["a"]


@pytest.mark.parametrize("text", ["", "# nothing but a remark\n"])
def test_an_empty_file_gives_the_defaults(tmp_path: Path, text: str) -> None:
    assert load_model(Settings, settings_file(tmp_path, text)) == Settings()


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("sead: 1", "sead", "known here: seed, data, items"),
        ("data: {batchsize: 8}", "data.batchsize", "known here: batch_size, names"),
        ("items: [{weight: 1}, {wait: 2}]", "items.1.wait", "known here: weight"),
        ("data: {batch_size: 0}", "data.batch_size", "greater than or equal to 1"),
        ("data: {batch_size: many}", "data.batch_size", "integer"),
    ],
)
def test_a_wrong_key_is_named_with_its_file_and_what_is_known(tmp_path: Path, text: str, key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_model(Settings, settings_file(tmp_path, text))
    for part in ("settings.yaml", f" {key}: ", hint):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_more_faults_than_one_are_counted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(and 1 more\)"):
        load_model(Settings, settings_file(tmp_path, "a: 1\nb: 2"))


def test_a_wrong_option_is_blamed_on_the_options() -> None:
    with pytest.raises(ConfigError, match=r"^the options: data\.batch_size"):
        load_model(Settings, None, {"data.batch_size": -1})


@pytest.mark.parametrize("content", [b"a: [1", b"- 1\n- 2", b"\xff\xfe\x00", b"!!python/object/apply:os.system ['id']"])
def test_what_is_no_mapping_of_settings_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"settings\.yaml"):
        read_yaml(path)


def test_a_missing_file_and_a_folder_are_config_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            read_yaml(path)


def test_assignments_are_yaml_values() -> None:
    assert parse_assignments(["a.b=8", "c=[1, 2]", "d=x=y", "e="]) == {"a.b": 8, "c": [1, 2], "d": "x=y", "e": None}


@pytest.mark.parametrize("word", ["batch_size", "=8", "a=[1"])
def test_what_is_no_assignment_is_a_config_error(word: str) -> None:
    with pytest.raises(ConfigError):
        parse_assignments([word])


@settings(max_examples=40, deadline=None)
@given(st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True), st.integers())
def test_integers_survive_the_way_through_an_assignment(key: str, value: int) -> None:
    assert parse_assignments([f"{key}={value}"]) == {key: value}


def yaml_refusal(text: str | bytes) -> yaml.YAMLError:
    with pytest.raises(yaml.YAMLError) as caught:
        parse_yaml(text)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "a: 2026-99-99",
        "a: 0000-00-00T00:00:00Z",
        "a: 2001-12-14t21:59:43.10-99:99",
        "a: 0b_",
        "a: " + "9" * 5000,
        "a: 1" + ":59" * 20_000,
        "a: !!bool maybe",
        "a: !!int maybe",
        "a: !!timestamp maybe",
        "a: !!map [1]",
        "a: !!python/object:os.system x",
        'a: "\\UFFFFFFFF"',
        'a: "\\ud800"',
        'a: "\\0"',
        "? [a]\n: 1",
        "a: 1\nb: 2\na: 3",
    ],
)
def test_a_value_that_is_none_of_its_type_is_refused_at_its_place(text: str) -> None:
    assert getattr(yaml_refusal(text), "problem_mark", None) is not None


@pytest.mark.parametrize(
    "text", ["[" * 2000, "{a: " * 2000, "- " * 2000 + "x", "a: &a [*a]", "a: &a {b: *a}", "&a [[*a]]"]
)
def test_nesting_without_end_is_refused(text: str) -> None:
    yaml_refusal(text)


def test_aliases_that_add_up_to_billions_are_refused_before_anything_is_made() -> None:
    lists = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
    )
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200))
    for text in (lists, merges, chain):
        assert "aliases" in str(yaml_refusal(text))


def test_more_than_a_person_writes_is_not_looked_at() -> None:
    assert "1 MiB" in str(yaml_refusal("#" * (MAX_YAML_BYTES + 1)))


def test_aliases_merges_and_dates_mean_what_yaml_says() -> None:
    text = "a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, z: 2026-11-28}\nc: *a\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml(b"") is None
    with pytest.raises(UnicodeDecodeError):
        parse_yaml(b"\xff")


def test_the_manifest_that_ships_with_lungsev_fits_many_times() -> None:
    assert (default_bundle_path() / MANIFEST_FILE).stat().st_size < MAX_YAML_BYTES / 4


def test_paths_of_our_own_files_keep_bytes_that_are_no_utf_8() -> None:
    text = yaml.safe_dump({"root": os.fsdecode(b"caf\xe9")})
    assert parse_yaml(text, own=True) == {"root": os.fsdecode(b"caf\xe9")}
    for refused, own in ((text, False), ('root: "\\ud800"', True)):
        with pytest.raises(yaml.YAMLError, match="character"):
            parse_yaml(refused, own=own)


@pytest.mark.parametrize("opening", ["[", "[1,", "{a: ", "- "])
def test_a_document_nested_without_end_is_refused_before_anything_follows_it_down(opening: str) -> None:
    for count in (60, 2_000, 30_000):
        assert yaml_refusal("a: " + opening * count if opening != "- " else opening * count)
