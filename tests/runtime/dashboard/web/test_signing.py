"""Forms that could not be saved keep what was entered."""

from __future__ import annotations

import pytest
from dashboard_browser import Browser

ENTERED = {"scheme": "brixia", "grade-A": "3", "reason": "an effusion <b>", "reader": "Dr A"}


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [({"form": "0" * 64}, 403, "did not come from this dashboard"), ({"grade-B": "9"}, 422, "Not saved: scheme")],
)
def test_what_was_entered_is_on_the_page_again(
    browser: Browser, wrong: dict[str, str], status: int, words: str
) -> None:
    form = {**ENTERED, "form": browser.form_token(), **wrong}
    found, _, body = browser.ask("POST", "/exams/a2/corrections", form)
    assert found == status
    assert words in body
    assert 'name="grade-A" value="3" checked' in body
    assert 'value="an effusion &lt;b&gt;"' in body
    assert 'value="Dr A"' in body
    assert "<details open" in body
