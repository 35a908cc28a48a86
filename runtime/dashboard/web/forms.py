"""Forms that pages send: read within limits, and checked to come from a page of this dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from fastapi import HTTPException, Request

UNGRADED = "none"  # what the form sends for a zone that cannot be assessed
_LONGEST_FORM = 16 * 1024


async def read_form(request: Request) -> dict[str, str]:
    """Read a small URL-encoded form; of a repeated field the last value counts.

    Raises:
        HTTPException: 413 or 400, the form is too large, was not sent to its end or is not UTF-8.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LONGEST_FORM:
                break
    except Exception:  # the client has gone away: not a fault to be logged
        raise HTTPException(400) from None
    if len(body) > _LONGEST_FORM:
        raise HTTPException(413)
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise HTTPException(400) from None
    return {name: values[-1] for name, values in fields.items()}


def grades_of(form: Mapping[str, str]) -> dict[str, int | None]:
    """Return the grade of each region in a form, None for `none`; ValueError when one is not a number."""
    fields = {name.removeprefix("grade-"): value for name, value in form.items() if name.startswith("grade-")}
    for region, value in fields.items():
        if value != UNGRADED and not (value.isascii() and value.isdigit()):
            raise ValueError(f"the grade of region {region} is not a number")
    return {region: None if value == UNGRADED else int(value) for region, value in fields.items()}


def own_path(address: str | None) -> str:
    """Return the path and query of an address of this dashboard; the board's for any other."""
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return "/"
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
