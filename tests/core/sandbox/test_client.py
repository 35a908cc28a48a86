"""Images are read in children: a bomb, a crash or a hang costs its own image and nothing else."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from odd_images import image_bytes, nested_sequences, setting

from lungsev.errors import LungsevError, SkippedImageError, UnreadableImageError
from lungsev.reading.encoding import JPEG_2000_LOSSLESS, encode_frame
from lungsev.reading.limits import ReadLimits
from lungsev.reading.read import read_radiograph
from lungsev.sandbox import client
from lungsev.sandbox.client import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def trapped() -> Iterator[Sandbox]:
    """A sandbox whose workers do what the file beside a trap says."""
    trap = (
        "import json, os, signal, socket, time; import lungsev.sandbox.forkserver as forkserver\n"
        "real = forkserver._answer\n"
        "def spring(request, limits, answers, memory):\n"
        "    if request['path'].endswith('trap'):\n"
        "        exec(open(request['path'] + '.py').read())\n"
        "    real(request, limits, answers, memory)\n"
        "forkserver._answer = spring\n"
    )
    with pytest.MonkeyPatch.context() as patch, Sandbox() as sandbox:
        patch.setattr(
            client,
            "_START",
            client._START.replace("from lungsev.sandbox.forkserver", f"\n{trap}from lungsev.sandbox.forkserver"),
        )
        yield sandbox


@pytest.fixture
def radiograph(tmp_path: Path) -> Path:
    path = tmp_path / "image.dcm"
    path.write_bytes(image_bytes())
    return path


def test_a_radiograph_comes_back_as_if_read_here(sandbox: Sandbox, radiograph: Path) -> None:
    ours, theirs = read_radiograph(radiograph), sandbox.read(radiograph)
    np.testing.assert_array_equal(theirs.pixels, ours.pixels)
    assert theirs.pixels.dtype == np.float32
    assert (theirs.image, theirs.content_box_px, theirs.notes) == (ours.image, ours.content_box_px, ours.notes)


def test_the_pixels_are_ours_to_change(sandbox: Sandbox, radiograph: Path) -> None:
    first, second = sandbox.read(radiograph), sandbox.read(radiograph)
    first.pixels[:] = 0.25
    assert second.pixels.std() > 0.1


def test_a_refusal_comes_back_with_what_is_known(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "hand.dcm"
    path.write_bytes(image_bytes(body_part="HAND"))
    with pytest.raises(SkippedImageError) as caught:
        sandbox.read(path)
    assert caught.value.code == "other_body_part"
    assert caught.value.image is not None
    assert caught.value.image.sha256
    with pytest.raises(UnreadableImageError) as missing:
        sandbox.read(tmp_path / "nothing")
    assert missing.value.code == "not_found"


def test_a_name_that_is_not_utf_8_arrives(sandbox: Sandbox, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe \n.dcm"))
    path.write_bytes(image_bytes())
    assert sandbox.read(path).image.modality == "CR"


@pytest.mark.parametrize("blow", ["os.kill(os.getpid(), 11)", "os._exit(3)", "raise SystemExit(1)"])
def test_a_crash_costs_its_own_radiograph(trapped: Sandbox, blow: str, radiograph: Path) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        trapped.read(_trap(radiograph, blow))
    assert caught.value.code == "decoder_crashed"
    assert trapped.read(radiograph).pixels.shape == (160, 128)


def test_an_unexpected_error_is_named_by_its_type_alone(trapped: Sandbox, radiograph: Path) -> None:
    with pytest.raises(UnreadableImageError, match="ZeroDivisionError") as caught:
        trapped.read(_trap(radiograph, "raise ZeroDivisionError('CANARY')"))
    assert caught.value.code == "decoder_crashed"
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    "hang",
    [
        "time.sleep(60)",
        "while True: pass",
        "[signal.signal(number, signal.SIG_IGN) for number in (signal.SIGALRM, signal.SIGPROF)]; time.sleep(60)",
    ],
)
def test_a_hang_ends_with_an_alarm_or_by_force(
    trapped: Sandbox, hang: str, radiograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("lungsev.sandbox.client.GRACE_SECONDS", 0.5)
        patch.setattr(trapped, "limits", ReadLimits(cpu_seconds=0.3, wall_seconds=60 if "pass" in hang else 0.5))
        with pytest.raises(UnreadableImageError) as caught:
            trapped.read(_trap(radiograph, hang))
    assert caught.value.code == "decoder_timeout"
    assert trapped.read(radiograph).pixels.shape == (160, 128)


def test_a_crash_is_told_by_its_signal(trapped: Sandbox, radiograph: Path) -> None:
    with pytest.raises(UnreadableImageError, match="SIGSEGV"):
        trapped.read(_trap(radiograph, "os.kill(os.getpid(), signal.SIGSEGV)"))


def test_a_radiograph_beside_a_crash_is_not_blamed(trapped: Sandbox, radiograph: Path) -> None:
    slow = _trap(radiograph, "time.sleep(0.5)")
    shapes: list[tuple[int, ...]] = []
    thread = threading.Thread(target=lambda: shapes.append(trapped.read(slow).pixels.shape))
    thread.start()
    time.sleep(0.2)
    os.kill(_forkserver_of(trapped), signal.SIGKILL)
    thread.join()
    assert shapes == [(160, 128)]


def test_memory_beyond_the_limit_is_refused(trapped: Sandbox, radiograph: Path) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        trapped.read(_trap(radiograph, "bytearray(900 << 20)"))
    assert caught.value.code == "too_large"
    assert trapped.read(radiograph).pixels.shape == (160, 128)


def test_an_image_does_not_wait_for_a_worker_that_warms_up(radiograph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = (
        "import time, lungsev.sandbox.forkserver as forkserver\n"
        "forkserver._read_something = lambda shape: time.sleep(120 * (shape == forkserver.USUAL_PX))\n"
    )
    monkeypatch.setattr(client, "_START", client._START.replace("from lungsev", f"\n{slow}from lungsev"))
    with Sandbox() as sandbox:
        assert sandbox.read(radiograph).pixels.shape == (160, 128)


@pytest.mark.parametrize("megabytes", [1, 4, 7, 10, 64])
def test_an_image_without_enough_memory_is_too_large_wherever_it_runs_out(
    tmp_path: Path, megabytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy raises MemoryError, OpenCV an error of its own."""
    values = np.add.outer(np.arange(1500), np.arange(1500)).astype(np.uint16)
    tags = {"Rows": 1500, "Columns": 1500, "PixelPaddingValue": 0, "PixelPaddingRangeLimit": 300}
    path = tmp_path / "image.dcm"
    path.write_bytes(image_bytes(setting(**tags, PixelData=values.tobytes())))
    # What a worker has read before its image comes is memory that it holds.
    small = "import lungsev.sandbox.forkserver as forkserver; forkserver.USUAL_PX = forkserver.SMALL_PX\n"
    monkeypatch.setattr(client, "_START", client._START.replace("from lungsev", f"\n{small}from lungsev"))
    with Sandbox(ReadLimits(memory_bytes=megabytes << 20)) as sandbox:
        if megabytes == 64:
            assert sandbox.read(path).pixels.shape == (1500, 1500)
            return
        with pytest.raises(UnreadableImageError) as caught:
            sandbox.read(path)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    "lie",
    [
        "answers.send(b'no json')",
        "answers.send(b'{}')",
        "answers.send(json.dumps({'shape': [9, 9]}).encode())",
        "fd = os.memfd_create('x'); os.ftruncate(fd, 80 * 4); "
        "socket.send_fds(answers, [json.dumps({'shape': [8, 10], 'image': {}, 'content_box_px': "
        "[0, 0, 8, 10], 'notes': []}).encode()], [fd])",
    ],
)
def test_an_answer_that_makes_no_sense_is_not_believed(trapped: Sandbox, lie: str, radiograph: Path) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        trapped.read(_trap(radiograph, lie + "; os._exit(0)"))
    assert caught.value.code == "decoder_crashed"


def test_bombs_are_refused_at_flat_memory(tmp_path: Path) -> None:
    bombs = {
        "deflated": _deflated_bomb(),
        "jpeg_2000": _jpeg_2000_bomb(),
        "rle": _rle_bomb(),
        "deep": nested_sequences(500),
    }
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(content)
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from lungsev.errors import ImageError\n"
        "from lungsev.reading.read import read_radiograph\n"
        "codes = {}\n"
        "for name in sys.argv[2:]:\n"
        "    try:\n"
        "        read_radiograph(Path(sys.argv[1], name))\n"
        "    except ImageError as error:\n"
        "        codes[name] = error.code\n"
        # Not ru_maxrss: it carries the size of the process that forked this one through exec.
        "status = Path('/proc/self/status').read_text()\n"
        "print(json.dumps([codes, int(status.split('VmHWM:')[1].split()[0])]))\n"
    )
    run = subprocess.run([sys.executable, "-c", script, tmp_path, *bombs], capture_output=True, text=True, check=True)
    codes, peak_kib = json.loads(run.stdout)
    assert codes.pop("deep", "read") in ("too_deep", "read")
    assert codes == {"deflated": "too_large", "jpeg_2000": "too_large", "rle": "damaged"}
    assert peak_kib < 400 * 1024


def test_the_bombs_do_no_harm_in_a_worker_either(sandbox: Sandbox, tmp_path: Path, radiograph: Path) -> None:
    for number, content in enumerate((_deflated_bomb(), _jpeg_2000_bomb(), _rle_bomb())):
        path = tmp_path / str(number)
        path.write_bytes(content)
        with pytest.raises(UnreadableImageError):
            sandbox.read(path)
    assert sandbox.read(radiograph).pixels.shape == (160, 128)


def test_several_threads_read_at_once(sandbox: Sandbox, radiograph: Path) -> None:
    shapes: list[tuple[int, ...]] = []
    threads = [threading.Thread(target=lambda: shapes.append(sandbox.read(radiograph).pixels.shape)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shapes == [(160, 128)] * 6


def test_a_forkserver_that_was_killed_is_started_again(radiograph: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.start()
        os.kill(_forkserver_of(sandbox), signal.SIGKILL)
        assert sandbox.read(radiograph).pixels.shape == (160, 128)


def test_ctrl_c_and_a_stopping_service_leave_the_radiograph_in_work_alone(radiograph: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.start()
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(_forkserver_of(sandbox), number)
        forkserver = _forkserver_of(sandbox)
        assert sandbox.read(radiograph).pixels.shape == (160, 128)
        assert _forkserver_of(sandbox) == forkserver


def test_no_process_and_no_descriptor_is_left_behind(radiograph: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    sandbox = Sandbox()
    for _ in range(5):
        sandbox.read(radiograph)
    forkserver = _forkserver_of(sandbox)
    sandbox.close()
    assert not Path(f"/proc/{forkserver}").exists()
    assert len(os.listdir("/proc/self/fd")) == before
    assert sandbox.read(radiograph).pixels.shape == (160, 128)
    sandbox.close()


def test_the_children_die_with_their_parent(tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from lungsev.sandbox.client import Sandbox\n"
        "sandbox = Sandbox()\n"
        "sandbox.start()\n"
        "print(sandbox._forkserver._child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    forkserver = Path("/proc", run.stdout.strip())
    deadline = time.monotonic() + 30
    while forkserver.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not forkserver.exists()


def test_a_python_that_cannot_start_is_said(monkeypatch: pytest.MonkeyPatch, radiograph: Path) -> None:
    monkeypatch.setattr("lungsev.sandbox.client._START", "raise SystemExit(1)")
    with Sandbox() as sandbox, pytest.raises(LungsevError, match="does not start"):
        sandbox.read(radiograph)


def test_the_forkserver_never_imports_torch() -> None:
    script = "import sys, lungsev.sandbox.forkserver, lungsev.sandbox.client; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def _trap(radiograph: Path, what: str) -> Path:
    """An image beside which the trapped worker finds what to do instead of reading it."""
    trap = radiograph.with_name("trap")
    trap.write_bytes(radiograph.read_bytes())
    radiograph.with_name("trap.py").write_text(what, encoding="utf-8")
    return trap


def _forkserver_of(sandbox: Sandbox) -> int:
    assert sandbox._forkserver is not None
    return sandbox._forkserver._child.pid


def _deflated_bomb() -> bytes:
    """30 kB that inflate to 30 MB, and would to any size."""
    whole = image_bytes(transfer_syntax="deflated")
    start = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    value = b"\x09\x00\x10\x10OB\0\0" + struct.pack("<I", 30 << 20) + b"\0" * (30 << 20)
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return whole[:start] + squeeze.compress(value) + squeeze.flush()


def _jpeg_2000_bomb() -> bytes:
    """A few hundred bytes that say, in header and codestream alike, to hold 5,900 x 5,900 pixels."""
    whole = bytearray(image_bytes(setting(Rows=5900, Columns=5900), transfer_syntax="jpeg_2000", bits=12))
    codestream = encode_frame(np.zeros((160, 128), np.uint16), JPEG_2000_LOSSLESS, 12)
    siz = codestream.index(b"\xff\x51")
    codestream = codestream[: siz + 6] + struct.pack(">II", 5900, 5900) + codestream[siz + 14 :]
    codestream += b"\0" * (len(codestream) % 2)
    pixel_data = whole.index(b"\xe0\x7f\x10\x00")
    items = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + struct.pack("<I", len(codestream)) + codestream
    return bytes(whole[: pixel_data + 12]) + items + b"\xfe\xff\xdd\xe0\0\0\0\0"


def _rle_bomb() -> bytes:
    """2 MB of runs that add up to 128 MB where 40 kB belong."""
    whole = image_bytes(transfer_syntax="rle", bits=12)
    runs = b"\x81\x00" * 1_000_000
    frame = struct.pack("<16I", 2, 64, 64 + len(runs) // 2, *([0] * 13)) + runs
    pixel_data = whole.index(b"\xe0\x7f\x10\x00")
    items = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + struct.pack("<I", len(frame)) + frame
    return whole[: pixel_data + 12] + items + b"\xfe\xff\xdd\xe0\0\0\0\0"


def test_a_start_that_does_not_wait_is_waited_for_by_the_first_read(radiograph: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.start(wait=False)
        assert sandbox.read(radiograph).pixels.ndim == 2
        sandbox.start()  # ready already
        assert sandbox.read(radiograph).pixels.ndim == 2
