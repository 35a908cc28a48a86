from __future__ import annotations

import json

import pytest

from lungsev.runtime.checks.check import Check, print_checks

CHECKS = [
    Check("clock", True, "synchronised", "nothing"),
    Check("time zone", True, "another", "correct it", warning=True),
    Check("disk", False, "full", "make room"),
]


def test_each_check_is_a_line_and_advice_is_given_for_warnings_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    print_checks(CHECKS, json_output=False)
    assert capsys.readouterr().out.splitlines() == [
        "ok   clock: synchronised",
        "warn time zone: another",
        "     what to do: correct it",
        "FAIL disk: full",
        "     what to do: make room",
    ]


def test_json_holds_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    print_checks(CHECKS, json_output=True)
    found = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in found] == ["clock", "time zone", "disk"]
    assert found[1] == {"name": "time zone", "ok": True, "found": "another", "advice": "correct it", "warning": True}
