"""Logs without patient data: JSON lines that name images by their internal id.

The messages of lungsev hold no patient data. Messages of other libraries may (pydicom quotes values in its warnings),
so only the types and places of their errors are logged, never their text.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import sys
import threading
import traceback
import warnings
from datetime import datetime, timezone
from pathlib import Path

from lungsev.errors import LungsevError

_EXTRAS = ("image", "code", "ms", "state", "destination")
_OWN = "lungsev"
_MAX_BYTES, _KEPT_FILES = 10_000_000, 9


class JsonFormatter(logging.Formatter):
    """One JSON object for each record; of errors from other libraries only type and place."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage(),
        }
        line.update({name: getattr(record, name) for name in _EXTRAS if hasattr(record, name)})
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe_error(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True, default=str)


class PlainFormatter(logging.Formatter):
    """One short line for each record, for a person at the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text without control characters."""
        text = f"{datetime.fromtimestamp(record.created):%H:%M:%S} {record.levelname.lower()}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({describe_error(record.exc_info[1])})"
        return "".join(character if character.isprintable() else "?" for character in text)


def describe_error(error: BaseException) -> str:
    """Return type and place of an error, and its message if it is one of lungsev."""
    message = f": {error}" if isinstance(error, LungsevError) else ""
    number = f" errno {error.errno}" if isinstance(error, OSError) else ""
    frames = traceback.extract_tb(error.__traceback__)
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-4:]))
    return f"{type(error).__name__}{number}{message}" + (f" at {places}" if places else "")


@contextlib.contextmanager
def logging_to(folder: Path | None, level: str, console: bool = True):  # type: ignore[no-untyped-def]
    """Log to `folder`/watch.jsonl and to standard error, and silence other libraries, until the block is left.

    Args:
        folder: None for no file.
        level: Lowest level to log: debug, info, warning or error.
        console: Whether to log to standard error.
    """
    own = logging.getLogger(_OWN)
    before = (own.level, own.propagate, list(own.handlers))
    hook = threading.excepthook
    handlers: list[logging.Handler] = []
    if folder is not None:
        path = folder / "watch.jsonl"
        handlers.append(
            logging.handlers.RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=_KEPT_FILES, encoding="utf-8")
        )
        handlers[-1].setFormatter(JsonFormatter())
    if console:
        handlers.append(logging.StreamHandler(sys.stderr))
        handlers[-1].setFormatter(PlainFormatter() if sys.stderr.isatty() else JsonFormatter())
        if sys.stderr.isatty() and level == "info":  # the terminal shows a line for each image already
            handlers[-1].setLevel(logging.WARNING)
    own.handlers, own.propagate = handlers, False
    own.setLevel(level.upper())
    threading.excepthook = _log_dead_thread
    quiet_libraries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they may quote tags
        try:
            yield
        finally:
            for handler in handlers:
                handler.close()
            own.level, own.propagate, own.handlers = before
            threading.excepthook = hook


def _log_dead_thread(ended: threading.ExceptHookArgs) -> None:
    """Log the end of a thread; Python itself would print the error's text."""
    name = ended.thread.name if ended.thread is not None else "unknown"
    logging.getLogger("lungsev.runtime").error("thread %s ended by an error", name, exc_info=ended.exc_value)


def quiet_libraries() -> None:
    """Silence the loggers of libraries that quote tag values."""
    for name in ("pydicom", "pynetdicom", "highdicom", "PIL", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False


def ignore_log_errors() -> None:
    """Ignore log lines that cannot be written: a full disk must not stop the watcher."""
    logging.raiseExceptions = os.environ.get("LUNGSEV_DEBUG") == "1"
