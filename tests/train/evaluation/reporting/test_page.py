"""The page needs nothing beside it and escapes what it is given."""

from __future__ import annotations

from lungsev.train.evaluation.reporting.cells import Table
from lungsev.train.evaluation.reporting.page import Picture, page_of


def test_the_page_holds_box_tables_and_figures_and_links_to_each() -> None:
    pictures = [
        Picture("drawn", "A <title>", "what <b> shows", b"\x89PNG..."),
        Picture("photo", "Lungs", "seen", b"\xff\xd8\xff"),
    ]
    page = page_of("A & B", [("Parts", "<all>")], [Table("t", "Runs & more", ("run",), (("<1>",),), "Note.")], pictures)
    assert "<h1>A &amp; B</h1>" in page
    assert "<dt>Parts</dt><dd>&lt;all&gt;</dd>" in page
    assert "<td>&lt;1&gt;</td>" in page
    assert "what &lt;b&gt; shows" in page
    assert (page.count("data:image/png;base64,"), page.count("data:image/jpeg;base64,")) == (1, 1)
    for anchor in ("t", "drawn", "photo"):
        assert f"href='#{anchor}'" in page
        assert f"id='{anchor}'" in page
    assert "src='http" not in page
    assert "<link" not in page
