"""Names in their parts."""

from __future__ import annotations

import pytest

from lungsev.runtime.outputs.person_names import PersonName, split_name, to_person_name


def test_every_representation_is_split_into_its_parts() -> None:
    assert split_name("Yamada^Tarou^T.^Dr.^Jr.=山田^太郎=やまだ^たろう") == [
        PersonName("alphabetic", "Yamada", "Tarou", "T.", "Dr.", "Jr."),
        PersonName("ideographic", "山田", "太郎", "", "", ""),
        PersonName("phonetic", "やまだ", "たろう", "", "", ""),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, []), ("", []), ("^^=", []), ("DOE", [("alphabetic", "DOE")]), ("=山田", [("ideographic", "山田")]),
        ("A^B^C^D^E^F^G=x=y=z", [("alphabetic", "A"), ("ideographic", "x"), ("phonetic", "y")]),
    ],
)  # fmt: skip
def test_names_of_any_form_are_split_without_an_error(text: str | None, found: list) -> None:
    assert [tuple(name[:2]) for name in split_name(text)] == found


def test_a_signature_becomes_one_component_of_a_person_name() -> None:
    assert to_person_name("Łukasz A. Reader") == "Łukasz A. Reader"
    assert to_person_name("A\\B^C=D\nE") == "A B C D E"
    assert len(to_person_name("x" * 70)) == 64
