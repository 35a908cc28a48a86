"""What has arrived at the destinations, in lines for the page of an image. No HTML, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lungsev.runtime.console import count_noun
from lungsev.runtime.delivery.outbox import Delivery

_ORDER = {"sent": 0, "queued": 1, "refused": 2}


@dataclass(frozen=True)
class DeliveryLine:
    """What has arrived at one destination. `state` is that of the worst file: `sent`, `queued` or `refused`."""

    destination: str
    state: str
    text: str


def delivery_lines(deliveries: Sequence[Delivery]) -> tuple[DeliveryLine, ...]:
    """Sum up the files of an image by destination, in the order of their first file."""
    lines = []
    for destination in dict.fromkeys(delivery.destination for delivery in deliveries):
        files = [delivery for delivery in deliveries if delivery.destination == destination]
        worst = max(files, key=lambda delivery: (_ORDER[delivery.state], delivery.changed_at))
        clock = datetime.fromtimestamp(worst.changed_at).strftime("%Y-%m-%d %H:%M")
        endings = {
            "sent": f", {clock}",
            "queued": ", waiting" + (f": {worst.message}" if worst.message else ""),
            "refused": f", refused: {worst.message}",
        }
        arrived = sum(delivery.state == "sent" for delivery in files)
        text = f"{arrived} of {count_noun(len(files), 'file')} arrived{endings[worst.state]}"
        lines.append(DeliveryLine(destination, worst.state, text))
    return tuple(lines)
