"""HL7 v2 messages for tests; all names and ids are invented."""

from __future__ import annotations

ID_A, ID_B = "4711^^^HOSP-A^MR", "EMERG-9^^^HOSP-A^MR"


def a40(
    pid: str = ID_A, mrg: str = ID_B, control: str = "MSG00001", event: str = "ADT^A40^ADT_A39", facility: str = "WARD",
    processing: str = "P", charset: str = "", pid_rest: str = "||DOE^JANE^M||19560102|F",
) -> str:  # fmt: skip
    """A merge of `mrg` into `pid`."""
    return "\r".join(
        [
            f"MSH|^~\\&|ADT|{facility}|LUNGSEV|ICU|20261122081500+0100||{event}|{control}|{processing}|2.5||||||{charset}",
            "EVN|A40|20261122081500",
            f"PID|1||{pid}{pid_rest}",
            "PD1||||",
            f"MRG|{mrg}",
            "",
        ]
    )
