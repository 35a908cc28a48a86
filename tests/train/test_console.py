"""Messages are for people: plain, on one process only, and never among the JSON."""

from __future__ import annotations

import json
import os

import pytest

from lungsev.train import console


def test_only_the_main_process_speaks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    console.say("a [bold]word[/bold]")
    console.warn("look")
    assert capsys.readouterr().out == "a [bold]word[/bold]\nnote: look\n"
    monkeypatch.setenv("RANK", "1")
    console.say("hidden")
    console.print_json({"hidden": 1})
    assert list(console.track([1, 2], "Hidden", 2)) == [1, 2]
    assert capsys.readouterr().out == ""


def test_with_json_messages_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    console.leave_stdout_to_machines(True)
    try:
        console.say("for people")
        console.print_json({"who": "é"})
    finally:
        console.leave_stdout_to_machines(False)
    said = capsys.readouterr()
    assert (said.out, said.err) == ('{"who": "\\u00e9"}\n', "for people\n")


def test_work_of_one_step_is_not_announced(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(console.track("ab", "Scoring", 2)) == ["a", "b"]
    assert list(console.track("a", "Scoring", 1)) == ["a"]
    assert capsys.readouterr().out == "Scoring: 2\n"


def test_threads_do_every_piece_and_pass_on_what_went_wrong() -> None:
    done: set[int] = set()
    console.in_threads(done.add, 20, "Working")
    assert done == set(range(20))

    def fail(number: int) -> None:
        raise ValueError(f"piece {number}")

    with pytest.raises(ValueError, match="piece 0"):
        console.in_threads(fail, 3, "Failing")


def test_json_holds_any_name_of_a_file_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"image": os.fsdecode(b"M\xfcller.png")})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert os.fsencode(json.loads(printed)["image"]) == b"M\xfcller.png"
