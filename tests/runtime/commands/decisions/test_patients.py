"""`lungsev-run patients`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from exam_makers import put_report, scored_report
from typer.testing import CliRunner

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.runtime.cli import app
from lungsev.runtime.patients.decisions import read_decisions

SIGNED = ("--by", "AB", "--reason", "identified")
A40 = (
    "MSH|^~\\&|PIX|HOSPITAL|LUNGSEV|WARD|20261122080000||ADT^A40^ADT_A39|MSG1|P|2.5.1\r"
    "EVN|A40|20261122080000\rPID|1||W1^^^||DOE^JANE||19500101|F\rMRG|E7^^^\r"
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    root = tmp_path / "out"
    (root / "reports").mkdir(parents=True)
    for name, patient in (
        ("a1", PatientInfo("E7", name="UNKNOWN^MALE")), ("b1", PatientInfo("W1", name="DOE^JANE")),
        ("b2", PatientInfo("W1", name="SMITH^ANNA", birth_date="1950-01-01")),
    ):  # fmt: skip
        put_report(root, name, replace(scored_report(), patient=patient), with_image=False)
    return root


def invoke(out: Path, *words: str) -> list[str]:
    result = CliRunner().invoke(app, ["patients", *words, "--out", str(out)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def rows(out: Path, *words: str) -> list[dict[str, object]]:
    found = json.loads("\n".join(invoke(out, "list", "--json", *words)))
    assert isinstance(found, list)
    return found


def test_the_list_names_who_is_there_and_whose_images_disagree(out: Path) -> None:
    found = rows(out)
    assert [(row["ids"], row["people"], row["images"]) for row in found] == [
        (["W1"], ["DOE^JANE", "SMITH^ANNA 1950-01-01"], 2), (["E7"], ["UNKNOWN^MALE"], 1),
    ]  # fmt: skip
    assert "differ in name" in str(found[0]["stop"])
    assert [row["ids"] for row in rows(out, "--stopped")] == [["W1"]]
    shown = invoke(out, "list")
    assert shown[-1] == "2 patients"
    assert not (out / "corrections.sqlite").exists()


def test_a_merge_makes_one_course_of_two(out: Path) -> None:
    shown = invoke(out, "merge", "E7", "W1", *SIGNED)
    assert shown[:2] == [
        "their X-rays differ in name: AB vouches that they show one person",
        "decision 1 stored: identities merged, signed AB",
    ]
    (row,) = rows(out)
    assert (sorted(str(row["ids"])), row["images"], row["stop"]) == (sorted("['E7', 'W1']"), 3, None)
    (decision,) = read_decisions(out).decisions
    assert (decision.source, decision.reason) == ("command", "identified")
    invoke(out, "undo", "1", "--by", "CD", "--reason", "wrong")
    assert len(rows(out)) == 2


def test_a_split_makes_two_courses_and_same_one_again(out: Path) -> None:
    invoke(out, "split", "W1", *SIGNED)
    apart = rows(out)
    assert [row["ids"] for row in apart].count(["W1"]) == 2
    assert not any(row["stop"] for row in apart)
    with pytest.raises(LungsevError, match="2 patients have this id"):
        invoke(out, "same", "W1", *SIGNED)
    (stored,) = json.loads("\n".join(invoke(out, "undo", "1", *SIGNED, "--json")))
    assert (stored["kind"], stored["details"]) == ("undo", {"undoes": 1})
    invoke(out, "same", "W1", *SIGNED)
    assert [row["stop"] for row in rows(out)] == [None, None]


def test_a_merge_by_message_is_signed_by_its_sender_and_counts_once(out: Path, tmp_path: Path) -> None:
    (out / "reports" / "b2.json").unlink()
    message = tmp_path / "merge.hl7"
    message.write_text(A40, newline="")
    (stored,) = json.loads("\n".join(invoke(out, "merge", "--hl7", str(message), "--json")))
    assert (stored["kind"], stored["source"]) == ("merge", "hl7")
    assert "HOSPITAL" in stored["by"]
    assert len(rows(out)) == 1
    assert invoke(out, "merge", "--hl7", str(message)) == ["nothing stored: it was decided before"]


def test_an_image_is_replaced_by_another_without_a_signature_of_other_pixels(out: Path) -> None:
    invoke(out, "replace", "b1", "b2", *SIGNED)
    (decision,) = read_decisions(out).decisions
    assert (decision.kind, decision.subject, decision.object, decision.details) == (
        "superseded", "b1", "b2", {"carries": False},
    )  # fmt: skip
    with pytest.raises(LungsevError, match="there is no image b9"):
        invoke(out, "replace", "b1", "b9", *SIGNED)
    with pytest.raises(LungsevError, match="not stored: an image cannot be replaced by itself"):
        invoke(out, "replace", "b2", "b1", *SIGNED)


def test_what_cannot_be_decided_says_why(out: Path, tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="not stored: the images of this identity describe one person"):
        invoke(out, "split", "E7", *SIGNED)
    with pytest.raises(LungsevError, match="not stored: give your name"):
        invoke(out, "merge", "E7", "W1", "--reason", "x")
    with pytest.raises(LungsevError, match="found no folder"):
        invoke(tmp_path / "none", "list")
    with pytest.raises(LungsevError, match="cannot read"):
        invoke(out, "merge", "--hl7", str(tmp_path / "none.hl7"))
    runner = CliRunner()
    for words in (["merge", "E7"], ["merge", "E7", "W1", "--hl7", "x"]):
        assert runner.invoke(app, ["patients", *words, "--out", str(out)]).exit_code == 2
