from __future__ import annotations

import io
import logging
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread, uid
from pydicom.filebase import DicomBytesIO
from pynetdicom import AE, _config, build_context
from pynetdicom.dimse_primitives import C_STORE

from appliance.dicom.sop_classes import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES, describe
from appliance.domain import Admission, AdmissionOutcome, Arrival, Reason
from appliance.ingest.admit import Admitter
from appliance.ingest.scp import Receiver
from appliance.store import instances
from tests import builders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.store.database import Store
    from appliance.store.files import FileStore

VERIFICATION = "1.2.840.10008.1.1"


class Door:
    """A door that answers what the test says and remembers what came."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.answer: Callable[[Arrival], Admission] = lambda _: Admission(AdmissionOutcome.ACCEPTED)

    def __call__(self, arrival: Arrival) -> Admission:
        self.arrivals.append(arrival)
        return self.answer(arrival)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def address(door: Door) -> Iterator[tuple[str, int]]:
    receiver = Receiver(door, ae_title="WAYPOST", host="127.0.0.1", port=0, associations=3)
    yield receiver.start()
    receiver.stop()


@pytest.fixture
def real(store: Store, files: FileStore) -> Iterator[tuple[str, int]]:
    admitter = Admitter(
        store,
        files,
        clock=lambda: 1000.0,
        same_content=lambda first, second: False,
        instance_bytes=10**8,
        free_disk_bytes=0,
        free_bytes=lambda: 10**12,
    )
    receiver = Receiver(
        admitter.admit, ae_title="WAYPOST", host="127.0.0.1", port=0, associations=3
    )
    yield receiver.start()
    receiver.stop()


def associate(address: tuple[str, int], *, called: str = "WAYPOST") -> Any:
    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE(ae_title="XRAY1")
    contexts = [build_context(VERIFICATION)]
    for sop_class in (builders.CR, builders.US):
        for syntax in (builders.EXPLICIT, builders.IMPLICIT, builders.RLE, builders.BIG_ENDIAN):
            contexts.append(build_context(sop_class, syntax))  # noqa: PERF401
    return ae.associate(*address, contexts=contexts, ae_title=called)


def send(association: Any, content: bytes) -> Any:
    return association.send_c_store(dcmread(DicomBytesIO(content)))


def test_echo(address: tuple[str, int]) -> None:
    association = associate(address)
    assert association.send_c_echo().Status == 0
    association.release()


def test_another_called_title_is_rejected(address: tuple[str, int]) -> None:
    association = associate(address, called="SOMEONE")
    assert association.is_rejected
    # PS3.8 9.3.4: rejected permanently, by the service user, called AE title not recognized.
    primitive = association.acceptor.primitive
    assert (primitive.result, primitive.result_source, primitive.diagnostic) == (1, 1, 7)


def test_the_bytes_arrive_as_they_were_sent(door: Door, address: tuple[str, int]) -> None:
    for syntax in (builders.EXPLICIT, builders.IMPLICIT, builders.RLE, builders.BIG_ENDIAN):
        content = builders.make_cr(transfer_syntax=syntax)
        association = associate(address)
        assert send(association, content).Status == 0
        association.release()
        arrival = door.arrivals.pop()
        assert arrival.station == "XRAY1"
        assert arrival.address == "127.0.0.1"
        sent, came = (dcmread(DicomBytesIO(c)) for c in (content, arrival.content))
        assert came.file_meta.TransferSyntaxUID == syntax
        assert came == sent


@pytest.mark.parametrize(
    ("outcome", "code", "status"),
    [
        ("accepted", None, 0x0000),
        ("duplicate", None, 0x0000),
        ("quarantined", "uid_conflict", 0x0111),
        ("quarantined", "not_an_image", 0xC000),
        ("rejected", "disk_full", 0xA700),
        ("rejected", "too_large", 0xA700),
    ],
)
def test_the_doors_answer_becomes_a_status(
    door: Door, address: tuple[str, int], outcome: str, code: str | None, status: int
) -> None:
    reason = None if code is None else Reason(code, "What happened, " * 20)
    door.answer = lambda _: Admission(AdmissionOutcome(outcome), reason=reason)
    association = associate(address)
    found = send(association, builders.make_cr())
    assert found.Status == status
    assert len(found.get("ErrorComment", "")) <= 64
    association.release()


def test_a_failure_costs_one_object_and_tells_no_patient(
    door: Door, address: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def fail(arrival: Arrival) -> Admission:
        raise ValueError("SECRET")

    good = door.answer
    association = associate(address)
    door.answer = fail
    assert send(association, builders.make_cr(patient_id="SECRET")).Status == 0xC211
    door.answer = good
    assert send(association, builders.make_cr()).Status == 0
    association.release()
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("appliance")]
    assert ours == ["C-STORE failed: ValueError"]
    assert "SECRET" not in caplog.text


def test_a_request_that_names_another_uid(door: Door, address: tuple[str, int]) -> None:
    association = associate(address)
    request = C_STORE()
    request.MessageID = 7
    request.AffectedSOPClassUID = builders.CR
    request.AffectedSOPInstanceUID = "9.9.9"
    request.Priority = 2
    content = builders.encode(builders.dataset(), part10=False)
    request.DataSet = io.BytesIO(content)
    context = next(
        c
        for c in association.accepted_contexts
        if c.abstract_syntax == builders.CR and c.transfer_syntax[0] == builders.EXPLICIT
    )
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    assert answer.Status == 0xA900
    assert door.arrivals == []


def test_more_associations_than_allowed_are_told_to_wait(address: tuple[str, int]) -> None:
    held = [associate(address) for _ in range(3)]
    assert all(one.is_established for one in held)
    assert associate(address).is_rejected
    for one in held:
        one.release()


def test_noise_on_the_port_harms_nobody(address: tuple[str, int]) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00\xff\xff\xff\xff", b"\x04\0\0\0\0\x02ab"):
        with socket.create_connection(address) as connection:
            connection.sendall(noise)
    began = time.monotonic()
    while not (association := associate(address)).is_established:
        assert time.monotonic() - began < 5
        time.sleep(0.05)
    assert association.send_c_echo().Status == 0
    association.release()


def test_what_was_answered_survives_an_abort(
    real: tuple[str, int], store: Store, files: FileStore
) -> None:
    association = associate(real)
    sent = [builders.make_cr(rows=8, columns=8, sop_instance_uid=f"1.2.{n}") for n in range(1, 4)]
    assert [send(association, content).Status for content in sent] == [0, 0, 0]
    association.abort()
    with store.read() as db:
        assert instances.counts(db)["arrived"] == 3
        for n in range(1, 4):
            kept = instances.by_sop_instance_uid(db, f"1.2.{n}")
            assert kept is not None
            assert files.read(kept.sha256)


def test_a_second_sending_is_a_duplicate_and_a_conflict_is_told(
    real: tuple[str, int], store: Store
) -> None:
    association = associate(real)
    assert send(association, builders.make_cr()).Status == 0
    assert send(association, builders.make_cr()).Status == 0
    assert send(association, builders.make_cr(patient_id="P2")).Status == 0x0111
    association.release()
    with store.read() as db:
        counts = instances.counts(db)
    assert (counts["arrived"], counts["quarantined"]) == (1, 1)


def test_the_table_of_sop_classes() -> None:
    assert all(uid.UID(one).is_valid for one in STORAGE_SOP_CLASSES)
    assert "1.2.840.10008.1.2.1.99" not in TRANSFER_SYNTAXES
    native = TRANSFER_SYNTAXES.index(builders.EXPLICIT)
    assert all(uid.UID(one).is_compressed for one in TRANSFER_SYNTAXES[:native])
    assert describe(builders.CR) == "Computed Radiography"
    assert describe(str(uid.CTImageStorage)) == "CT Image Storage"
    assert describe(None) == "unknown"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def dcmtk() -> None:
    if shutil.which("storescu") is None or shutil.which("dcmsend") is None:
        pytest.skip("DCMTK is not installed (Debian package dcmtk)")


@pytest.mark.peers
@pytest.mark.usefixtures("dcmtk")
def test_storescu_and_echoscu(real: tuple[str, int], store: Store, tmp_path: Path) -> None:
    host, port = real[0], str(real[1])
    for n in range(1, 6):
        (tmp_path / f"{n}.dcm").write_bytes(builders.make_cr(sop_instance_uid=f"1.2.{n}"))
    files = [str(tmp_path / f"{n}.dcm") for n in range(1, 6)]
    assert run("echoscu", "-aec", "WAYPOST", host, port).returncode == 0
    assert run("echoscu", "-aec", "OTHER", host, port).returncode != 0
    sent = run("storescu", "-v", "-aec", "WAYPOST", host, port, *files)
    assert sent.returncode == 0, sent.stderr
    with store.read() as db:
        assert instances.counts(db)["arrived"] == 5


@pytest.mark.peers
@pytest.mark.usefixtures("dcmtk")
def test_dcmsend_keeps_the_compression(real: tuple[str, int], store: Store, tmp_path: Path) -> None:
    film = tmp_path / "film.dcm"
    film.write_bytes(builders.make_cr(transfer_syntax=builders.RLE))
    sent = run("dcmsend", "-aec", "WAYPOST", real[0], str(real[1]), str(film))
    assert sent.returncode == 0, sent.stderr
    with store.read() as db:
        kept = instances.by_sop_instance_uid(db, "1.2.3.4.5")
    assert kept is not None
    assert kept.header.transfer_syntax_uid == builders.RLE
