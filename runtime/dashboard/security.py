"""Access to the dashboard: token, session cookie, check of forms, response headers."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import Request

from lungsev.errors import LungsevError

COOKIE = "lungsev_session"
PRIVACY_COOKIE = "lungsev_privacy"
_LEAST_TOKEN = 16

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send forms with the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Access:
    """Access by one token. The session cookie has a value derived from it, never the token itself.

    Args:
        token: What opens the dashboard.
        public_url: Address of the dashboard in browsers, where a proxy gives it another one (`dashboard.public_url`).
    """

    def __init__(self, token: str, public_url: str | None = None) -> None:
        self._token = token
        self._public_url = public_url
        self.session = _derive(token, "session")
        self.form = _derive(token, "form")

    def allows(self, request: Request) -> bool:
        """Whether the request carries the session cookie or the token as a bearer."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(bearer.strip()):
            return True
        return _same(request.cookies.get(COOKIE, ""), self.session)

    def is_token(self, candidate: str) -> bool:
        """Whether a text is the token, compared in constant time."""
        return _same(candidate, self._token)

    def alias(self, patient: str) -> str:
        """Return a name for a patient that tells nothing of the id, and stays the same while the token does."""
        return _derive(self._token, f"patient {patient}")[:16]

    def is_genuine(self, request: Request, form_token: str) -> bool:
        """Whether a form was sent from a page of this dashboard."""
        return self._is_own(request) and _same(form_token, self.form)

    def _is_own(self, request: Request) -> bool:
        """Whether the origin that the browser names is this dashboard.

        A proxy may replace the host that the browser asked for. It then names the original in X-Forwarded-Host, which
        no page of another site can set (it is not among the headers that CORS allows), or `public_url` names it.
        """
        origin = request.headers.get("origin")
        if origin is None or origin.lower() == self._public_url:
            return True
        forwarded = request.headers.get("x-forwarded-host", "").split(",")[0].strip()
        return urlsplit(origin).netloc in {request.headers.get("host"), forwarded} - {None, ""}


def read_token(path: Path) -> str:
    """Read the token of a file.

    Raises:
        LungsevError: The file cannot be read, other users may read it, or its token is too short.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
        mode = os.stat(path).st_mode & 0o077
    except (OSError, UnicodeDecodeError) as error:
        raise LungsevError(f"cannot read the token file {path}: {getattr(error, 'strerror', error)}") from None
    if mode:
        raise LungsevError(f"other users may read the token file {path}; expected mode 600: chmod 600 {path}")
    if len(token) < _LEAST_TOKEN:
        raise LungsevError(
            f"the token file {path} has {len(token)} characters, expected at least {_LEAST_TOKEN}; "
            "make one with: openssl rand -hex 24"
        )
    return token


def keep_token(out: Path) -> str:
    """Return the token of an output folder, created on first use, so that the address stays the same.

    Raises:
        LungsevError: `read_token` failed, or the folder cannot be written.
    """
    path = out / "dashboard.token"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(secrets.token_urlsafe(24))
    except FileExistsError:
        pass
    except OSError as error:
        raise LungsevError(f"cannot write {path}: {error.strerror}; check the folder's owner and the disk") from None
    return read_token(path)


def _derive(token: str, purpose: str) -> str:
    return hmac.new(token.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def _same(found: str, expected: str) -> bool:
    return hmac.compare_digest(found.encode("utf-8", "replace"), expected.encode())
