"""What has arrived at the destinations."""

from __future__ import annotations

from datetime import datetime

from lungsev.runtime.dashboard.pages.deliveries import DeliveryLine, delivery_lines
from lungsev.runtime.delivery.outbox import Delivery


def delivery(destination: str, state: str, changed_at: float, message: str | None = None) -> Delivery:
    values = {
        "seq": 1, "image": "a1", "kind": "json", "destination": destination, "state": state, "changed_at": changed_at,
        "message": message,
    }  # fmt: skip
    fields = Delivery.__dataclass_fields__
    return Delivery(**{name: values.get(name, 0) for name in fields})


def test_deliveries_are_summed_up_by_destination_and_the_worst_file_decides() -> None:
    noon = datetime(2026, 11, 21, 12, 0).timestamp()
    lines = delivery_lines(
        [
            delivery("pacs", "sent", noon), delivery("pacs", "refused", noon + 60, "no such object"),
            delivery("pacs", "queued", noon + 120), delivery("share", "sent", noon),
            delivery("share", "sent", noon + 60), delivery("ehr", "queued", noon),
            delivery("hl7", "queued", noon, "connection refused"),
            delivery("hl7", "sent", noon + 60),
        ]
    )  # fmt: skip
    assert lines == (
        DeliveryLine("pacs", "refused", "1 of 3 files arrived, refused: no such object"),
        DeliveryLine("share", "sent", "2 of 2 files arrived, 2026-11-21 12:01"),
        DeliveryLine("ehr", "queued", "0 of 1 file arrived, waiting"),
        DeliveryLine("hl7", "queued", "1 of 2 files arrived, waiting: connection refused"),
    )
