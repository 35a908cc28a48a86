"""YAML from strangers is refused with a place and in a moment, whatever PyYAML would have made of it."""

from __future__ import annotations

import pytest
import yaml

from lungsev.bundle.archive import default_bundle_path
from lungsev.bundle.contents import MANIFEST_FILE
from lungsev.yaml_text import MAX_YAML_BYTES, parse_yaml


def refusal(text: str | bytes) -> yaml.YAMLError:
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
    assert getattr(refusal(text), "problem_mark", None) is not None


@pytest.mark.parametrize(
    "text", ["[" * 2000, "{a: " * 2000, "- " * 2000 + "x", "a: &a [*a]", "a: &a {b: *a}", "&a [[*a]]"]
)
def test_nesting_without_end_is_refused(text: str) -> None:
    refusal(text)


def test_aliases_that_add_up_to_billions_are_refused_before_anything_is_made() -> None:
    lists = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
    )
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200))
    for text in (lists, merges, chain):
        assert "aliases" in str(refusal(text))


def test_more_than_a_person_writes_is_not_looked_at() -> None:
    assert "1 MiB" in str(refusal("#" * (MAX_YAML_BYTES + 1)))


def test_aliases_merges_and_dates_mean_what_yaml_says() -> None:
    text = "a: &a {x: 1, y: [1, 2]}\nb: {<<: *a, z: 2026-11-28}\nc: *a\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml(b"") is None
    with pytest.raises(UnicodeDecodeError):
        parse_yaml(b"\xff")


def test_the_manifest_that_ships_with_lungsev_fits_many_times() -> None:
    assert (default_bundle_path() / MANIFEST_FILE).stat().st_size < MAX_YAML_BYTES / 4
