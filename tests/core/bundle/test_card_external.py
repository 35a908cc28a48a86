"""The card's section of external results."""

from __future__ import annotations

from lungsev.bundle.card_external import NOTHING, external_parts

ROW = {
    "title": "brixia: opacity told from normal", "measure": "AUC", "value": 0.9, "interval": [0.85, 0.94],
    "images": 200, "patients": 180, "unit": "", "digits": 3,
}  # fmt: skip
FOUND = {
    "what": "RSNA class", "part": "all images", "images": 210, "patients": 190, "scored": 208,
    "refused": {"leaning": 2}, "measurements": [ROW],
}  # fmt: skip


def test_each_dataset_has_a_sentence_and_a_table() -> None:
    sentence, table = external_parts({"external": {"adults": FOUND}})
    assert sentence == (
        "**adults** (RSNA class; all images): 210 images of 190 patients, 208 scored; without a score: 2 leaning."
    )
    assert "| brixia: opacity told from normal | AUC | 0.900 [0.850, 0.940] | 200 | 180 |" in table


def test_a_bundle_that_was_not_measured_says_so() -> None:
    assert list(external_parts({})) == [NOTHING]
