"""Checks of the destinations: each is opened, asked what it takes, and sent nothing of a patient."""

from __future__ import annotations

import functools
import os
import secrets
import time
from collections.abc import Iterator, Sequence

from lungsev.errors import LungsevError
from lungsev.runtime.checks.check import Check
from lungsev.runtime.checks.parallel import run_side_by_side
from lungsev.runtime.delivery.destinations import (
    SOP_CLASSES,
    Destination,
    DicomDestination,
    FolderDestination,
    StowDestination,
    WebhookDestination,
)
from lungsev.runtime.delivery.dicom_peer import associated
from lungsev.runtime.delivery.stow_answer import read_stow_answer
from lungsev.runtime.delivery.web import WebAnswer, ask, describe_error, read_secret

_STEP_SECONDS = 4.0  # of a connection, or of an answer
_LONGEST_SECONDS = 10.0  # of all destinations together
_VERIFICATION = "1.2.840.10008.1.1"
_JPEG, _EXPLICIT, _IMPLICIT = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
_OUTPUT_NAMES = {
    "dicom_sr": "structured reports",
    "dicom_pr": "presentation states",
    "dicom_sc": "secondary captures",
    "dicom_ko": "rejection notes",
}
_NOT_IMPLEMENTED = 501


def check_destinations(destinations: Sequence[Destination]) -> Iterator[Check]:
    """Open every destination, all at the same time."""
    found = run_side_by_side([functools.partial(_check, destination) for destination in destinations], _LONGEST_SECONDS)
    for destination, check in zip(destinations, found, strict=True):
        hangs = Check(_name(destination), False, f"no answer within {_LONGEST_SECONDS:.0f} s", "see whether it runs")
        yield check or hangs


def _check(destination: Destination) -> Check:
    try:
        match destination:
            case DicomDestination():
                return _check_dicom(destination)
            case StowDestination():
                return _check_stow(destination)
            case WebhookDestination():
                return _check_webhook(destination)
            case FolderDestination():
                return _check_folder(destination)
    except LungsevError as error:
        found = f"{_where(destination)}: {error}"
        advice = f"correct destinations.{destination.name}, or let its owner start it"
        if "certificate" in str(error):
            advice = "let this computer trust the authority that signed it, or let its owner renew it"
        return Check(_name(destination), False, found, advice)
    except Exception as error:  # one check does not stop the others
        return Check(_name(destination), False, f"unexpected {type(error).__name__}", "report it, with the settings")


def _name(destination: Destination) -> str:
    return f"destination {destination.name}"


def _where(destination: Destination) -> str:
    match destination:
        case DicomDestination():
            tls = "TLS" if destination.tls_authorities else "no TLS"
            return f"{destination.ae_title} at {destination.host}:{destination.port}, {tls}"
        case FolderDestination():
            return str(destination.path)
        case _:
            return destination.url


def _seconds(destination: Destination) -> float:
    return min(destination.timeout_seconds, _STEP_SECONDS)


def _check_dicom(destination: DicomDestination) -> Check:
    """Ask for an association that takes what is to be sent, and for C-ECHO."""
    outputs = {SOP_CLASSES[output]: output for output in destination.sends}
    contexts = [(_VERIFICATION, [_IMPLICIT])]
    contexts += [(uid, [syntax]) for uid in outputs for syntax in (_EXPLICIT, _IMPLICIT)]
    if "dicom_sc" in destination.sends:
        contexts.append((SOP_CLASSES["dicom_sc"], [_JPEG]))
    start = time.monotonic()
    with associated(destination, contexts, _seconds(destination)) as association:
        accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
        echo = association.send_c_echo() if _VERIFICATION in accepted else None
    where = _where(destination)
    if echo is not None and echo.get("Status") != 0x0000:
        return Check(_name(destination), False, f"{where}: it did not answer C-ECHO", "let its owner look at its log")
    said = f"answered{'' if echo is None else ' C-ECHO'} in {1000 * (time.monotonic() - start):.0f} ms"
    without = [output for uid, output in outputs.items() if uid not in accepted]
    refused = [_OUTPUT_NAMES[output] for output in without if output != "dicom_ko"]
    if refused:
        advice = f"let it accept them from {destination.calling_ae_title}, or take them out of `sends`"
        return Check(_name(destination), False, f"{where}: {said}, but takes no {' and no '.join(refused)}", advice)
    taken = ", ".join(_OUTPUT_NAMES[output] for output in outputs.values() if output not in without)
    notes = "; it takes no rejection notes: results of a wrong patient are deleted there by hand" if without else ""
    return Check(_name(destination), True, f"{where}: {said}, takes {taken}{notes}")


def _check_stow(destination: StowDestination) -> Check:
    """Send a STOW request without an object: it is authorised as a real one is, and stores nothing."""
    headers = {
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=lungsev',
        "Accept": "application/dicom+json",
    }
    answer = ask(destination, "POST", b"--lungsev--\r\n", headers, _seconds(destination))
    if answer.status == 405:
        return _web_fault(destination, answer, "takes no STOW requests there", "check url: it ends in /studies")
    if answer.status < 300 and read_stow_answer(answer.body, answer.content_type) is None:
        advice = "check url, and token_file if the page is one to log in"
        return _web_fault(destination, answer, "what it says is not about storage", advice)
    return _judge_web(destination, answer, "to a STOW request without an object")


def _check_webhook(destination: WebhookDestination) -> Check:
    """Ask for the options of the address; nothing is posted."""
    if destination.secret_file is not None:
        read_secret(destination.secret_file)
    return _judge_web(destination, ask(destination, "OPTIONS", timeout_seconds=_seconds(destination)), "to OPTIONS")


def _judge_web(destination: StowDestination | WebhookDestination, answer: WebAnswer, asked: str) -> Check:
    status = answer.status
    if 300 <= status < 400:
        advice = "set url to the address where the redirect ends: redirects are not followed"
        return _web_fault(destination, answer, f"a redirect {asked}", advice)
    if status in (401, 403):
        advice = "put a token into token_file that it accepts" if destination.token_file else "set token_file"
        return _web_fault(destination, answer, "it does not let lungsev in", advice)
    if status in (404, 410):
        return _web_fault(destination, answer, "there is nothing at this address", "check url")
    if status >= 500 and status != _NOT_IMPLEMENTED:
        return _web_fault(destination, answer, f"it failed {asked}", "let its owner look at its log")
    return Check(_name(destination), True, f"{destination.url}: answered {status} {asked}")


def _web_fault(destination: StowDestination | WebhookDestination, answer: WebAnswer, words: str, advice: str) -> Check:
    return Check(_name(destination), False, f"{destination.url}: answered {answer.status}: {words}", advice)


def _check_folder(destination: FolderDestination) -> Check:
    """Write a file into the folder and remove it."""
    if not destination.path.is_dir():
        return Check(_name(destination), False, f"no folder at {destination.path}", "make it, or mount the share")
    probe = destination.path / f".lungsev-{secrets.token_hex(8)}.tmp"
    try:
        with probe.open("xb") as stream:
            stream.write(b"lungsev doctor\n")
            stream.flush()
            os.fsync(stream.fileno())
        probe.unlink()
    except OSError as error:
        advice = f"let this user (id {os.geteuid()}) write to it and remove from it, and make room on its disk"
        found = f"{destination.path}: cannot write and remove a file: {describe_error(error)}"
        return Check(_name(destination), False, found, advice)
    return Check(_name(destination), True, f"{destination.path}: a file could be written and removed")
