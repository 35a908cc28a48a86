"""The DICOM listener: C-ECHO, C-STORE and storage commitment. It writes complete files into the inbox.

A peer is answered with success once the bytes are flushed to the disk and renamed into the inbox, under a name made
here; never before.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socketserver
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lungsev.errors import LungsevError, MissingExtraError

try:
    from pynetdicom import AE, _config, evt
    from pynetdicom.presentation import build_role
except ImportError:
    raise MissingExtraError("the DICOM listener", "bedside") from None
from pydicom.dataset import Dataset
from pydicom.uid import UID

from lungsev.runtime.dicom.connection_limits import LimitedServer, restart_object_limit
from lungsev.runtime.dicom.storage_commitment import ReceivedInstances, Reference, commitment_report
from lungsev.runtime.logs import quiet_libraries
from lungsev.runtime.settings import ListenSettings
from lungsev.runtime.tls import server_context
from lungsev.runtime.watcher.failpoints import pass_failpoint
from lungsev.system import fsync_folder

log = logging.getLogger("lungsev.runtime.dicom.listener")

# PS3.4 B.5: radiographs, and what X-ray units send with them, which is skipped with a reason.
STORAGE_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography
    "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray, For Presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray, For Processing
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
)
# Those that lungsev reads. Of a proposed context the sender's first one among them is accepted.
TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.2",  # Explicit VR Big Endian
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.57",  # JPEG lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.201",  # HTJ2K lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K lossless RPCL
    "1.2.840.10008.1.2.1.99",  # Deflated
    "1.2.840.10008.1.2.4.50",  # JPEG baseline
    "1.2.840.10008.1.2.4.51",  # JPEG extended
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.203",  # HTJ2K
)
VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = UID("1.2.840.10008.1.20.1")
_COMMITMENT_INSTANCE = (STORAGE_COMMITMENT, UID("1.2.840.10008.1.20.1.1"))  # class and well-known instance

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_REPORT_ATTEMPTS, _REPORT_PAUSE_SECONDS = 5, 2.0
_CLEANUP_SECONDS = 5.0
_REQUEST_SECONDS = 10.0  # from the connection to the association request
_MAX_REFERENCES = 10_000


@contextlib.contextmanager
def listening(inbox: Path, settings: ListenSettings, min_free_mb: float = 1024.0) -> Iterator[Listener]:
    """Run a listener until the block is left; then wait for objects that are being received."""
    listener = Listener(inbox, settings, min_free_mb)
    try:
        listener.start()
        yield listener
    finally:
        listener.stop()


class Listener:
    """Listener on one port for one inbox. Owns `INBOX/.receiving`, which holds files until they are complete."""

    def __init__(self, inbox: Path, settings: ListenSettings, min_free_mb: float) -> None:
        if not inbox.is_dir():
            raise LungsevError(f"no folder at {inbox}; expected the folder that received images go to: create it")
        self._inbox = inbox
        self._receiving = inbox / ".receiving"
        self._settings = settings
        self._min_free_bytes = min_free_mb * 1e6
        self._stop = threading.Event()
        self._storing = 0
        self._threads: list[threading.Thread] = []
        try:
            self._receiving.mkdir(mode=0o700, exist_ok=True)
            self._received = ReceivedInstances(self._receiving / "received.sqlite")
            tls = server_context(settings.tls_certificate, settings.tls_key, settings.tls_authorities)
        except ssl.SSLError:
            raise LungsevError(
                "listen.tls_*: expected PEM files of a certificate, its key and its authorities; check the three files"
            ) from None
        except OSError as error:
            raise LungsevError(f"cannot listen: {error.strerror or error}: {error.filename or inbox}") from None
        self._remove_incomplete(0.0)
        self._configure_library()
        self._ae = self._application_entity()
        try:
            self._server = LimitedServer(self._ae, settings, self._ae.supported_contexts, tls, self._handlers())
        except OSError as error:
            self._received.close()
            raise LungsevError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another listen.port, or "
                "stop the program that uses it"
            ) from None

    @property
    def port(self) -> int:
        """Port that was bound; with 0 in the settings the system chose it."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Start accepting connections, on threads of its own."""
        for name, target in (("accept", self._server.serve_forever), ("sweep", self._run_cleanup)):
            thread = threading.Thread(target=target, name=f"listener-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)
        log.info("listening")

    def stop(self) -> None:
        """Accept no more connections, let objects finish for a moment, and close everything."""
        self._stop.set()
        if self._threads:
            socketserver.BaseServer.shutdown(self._server)
        self._server.server_close()
        end = time.monotonic() + 5.0
        while self._storing and time.monotonic() < end:
            time.sleep(0.05)
        self._server.close_all()
        for thread in self._threads:
            thread.join(10)
        self._received.close()

    def _configure_library(self) -> None:
        quiet_libraries()
        _config.LOG_HANDLER_LEVEL = "none"
        _config.STORE_RECV_CHUNKED_DATASET = True  # to a file as it comes, not into memory
        tempfile.tempdir = str(self._receiving)

    def _application_entity(self) -> AE:
        settings = self._settings
        ae = AE(settings.ae_title)
        ae.maximum_associations = settings.max_associations
        ae.maximum_pdu_size = settings.max_pdu_bytes
        ae.network_timeout = ae.dimse_timeout = settings.idle_seconds
        ae.acse_timeout = min(_REQUEST_SECONDS, settings.idle_seconds)
        ae.require_calling_aet = list(settings.allowed_ae_titles)
        ae.require_called_aet = True
        ae.add_supported_context(VERIFICATION)
        for storage_class in STORAGE_CLASSES:
            ae.add_supported_context(storage_class, list(TRANSFER_SYNTAXES))
        if settings.storage_commitment:
            ae.add_supported_context(STORAGE_COMMITMENT)
        return ae

    def _handlers(self) -> list[Any]:
        return [
            (evt.EVT_REQUESTED, _keep_first_syntax),
            (evt.EVT_C_ECHO, self._on_echo),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_ACTION, self._on_storage_commitment),
        ]

    def _on_echo(self, event: Any) -> int:
        restart_object_limit(event.assoc)
        return SUCCESS

    def _on_store(self, event: Any) -> int:
        restart_object_limit(event.assoc)
        self._storing += 1
        try:
            if shutil.disk_usage(self._inbox).free < self._min_free_bytes:
                log.error("refused an object: the disk is nearly full (watch.min_free_mb)", extra={"code": "disk"})
                return OUT_OF_RESOURCES
            self._keep(Path(event.dataset_path))
            request = event.request
            self._received.add(Reference(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)))
            pass_failpoint("accepted")
            return SUCCESS
        except OSError as error:
            log.error("refused an object: the disk failed", exc_info=error)
            return OUT_OF_RESOURCES
        except Exception as error:
            log.error("refused an object", exc_info=error)
            return CANNOT_UNDERSTAND
        finally:
            self._storing -= 1

    def _keep(self, complete: Path) -> None:
        """Flush the file, rename it into the inbox under a name made here, and flush the folder."""
        with complete.open("rb") as stream:
            os.fchmod(stream.fileno(), 0o640)  # the watcher may be another user of the group
            os.fsync(stream.fileno())
        pass_failpoint("received")
        name = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + f"-{secrets.token_hex(8)}.dcm"
        os.replace(complete, self._inbox / name)
        fsync_folder(self._inbox)
        log.info("received an object", extra={"state": "received"})

    def _on_storage_commitment(self, event: Any) -> tuple[int, None]:
        restart_object_limit(event.assoc)
        if event.action_type != 1:
            return 0x0123, None  # no such action type
        try:
            request = event.action_information
            transaction = str(request.TransactionUID)
            items = list(request.ReferencedSOPSequence)[: _MAX_REFERENCES + 1]
            references = [Reference(str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID)) for i in items]
        except Exception as error:
            log.warning("refused a storage commitment request that could not be decoded", exc_info=error)
            return 0x0115, None  # invalid argument value
        if not references or len(references) > _MAX_REFERENCES:
            return 0x0115, None
        report = commitment_report(transaction, *self._received.check(references))
        thread = threading.Thread(target=self._report, args=(event.assoc, report), name="commitment", daemon=True)
        thread.start()
        return SUCCESS, None

    def _report(self, association: Any, report: tuple[int, Dataset]) -> None:
        """Report to the port configured for the peer, on a new association, or else on the peer's own association."""
        event_type, information = report
        peer_title = association.requestor.ae_title
        port = self._settings.storage_commitment_ports.get(peer_title)
        for attempt in range(_REPORT_ATTEMPTS):
            if self._stop.wait(0.5 if attempt == 0 else _REPORT_PAUSE_SECONDS * 2**attempt):
                return
            try:
                if port is None:
                    if not association.is_established:
                        log.warning(
                            "a peer released its association before its storage commitment report: "
                            "set listen.storage_commitment_ports"
                        )
                        return
                    status, _ = association.send_n_event_report(information, event_type, *_COMMITMENT_INSTANCE)
                else:
                    status = self._report_to(association.requestor.address, port, peer_title, event_type, information)
                if status and status.Status == SUCCESS:
                    return
            except Exception as error:
                log.warning("a storage commitment report did not arrive and is sent again", exc_info=error)
        log.error("a storage commitment report did not arrive; it is not sent again")

    def _report_to(self, address: str, port: int, title: str, event_type: int, information: Dataset) -> Any:
        caller = AE(self._settings.ae_title)
        caller.acse_timeout = caller.dimse_timeout = caller.network_timeout = self._settings.idle_seconds
        caller.add_requested_context(STORAGE_COMMITMENT)
        role = build_role(STORAGE_COMMITMENT, scp_role=True)
        association = caller.associate(address, port, ae_title=title, ext_neg=[role])
        if not association.is_established:
            return None
        try:
            status, _ = association.send_n_event_report(information, event_type, *_COMMITMENT_INSTANCE)
            return status
        finally:
            association.release()

    def _run_cleanup(self) -> None:
        while not self._stop.wait(min(_CLEANUP_SECONDS, self._settings.association_seconds / 4)):
            self._server.close_overdue()
            self._remove_incomplete(self._settings.association_seconds + self._settings.idle_seconds)

    def _remove_incomplete(self, age_seconds: float) -> None:
        """Remove incomplete files of broken associations that are older than `age_seconds`."""
        oldest = time.time() - age_seconds
        for path in self._receiving.glob("tmp*.dcm"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _keep_first_syntax(event: Any) -> None:
    """Leave in each context that a peer proposes the first transfer syntax that is read here.

    pynetdicom would accept the first of our own order (its issue 1085), and a peer that names the syntax of its files
    first often cannot convert them. This event comes before the negotiation.
    """
    association = event.assoc
    read = {context.abstract_syntax: context.transfer_syntax for context in association.acceptor.supported_contexts}
    for proposed in association.requestor.primitive.presentation_context_definition_list:
        known = [syntax for syntax in proposed.transfer_syntax if syntax in read.get(proposed.abstract_syntax, ())]
        if known:
            proposed.transfer_syntax = known[:1]
