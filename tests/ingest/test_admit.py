from __future__ import annotations

import itertools
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.dicom.pixels import fingerprint
from appliance.domain import AdmissionOutcome, Arrival, InstanceState, Source
from appliance.errors import DecodeError, DiskFullError, StorageError
from appliance.ingest.admit import Admitter
from appliance.store import instances, jobs
from appliance.store.database import Store
from appliance.store.files import FileStore
from tests import builders

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.domain import Admission

ACCEPTED, DUPLICATE = AdmissionOutcome.ACCEPTED, AdmissionOutcome.DUPLICATE
QUARANTINED, REJECTED = AdmissionOutcome.QUARANTINED, AdmissionOutcome.REJECTED
FILM = builders.make_cr(rows=8, columns=8)


def same_content(first: bytes, second: bytes) -> bool:
    return fingerprint(first, pixel_bytes_limit=10**6) == fingerprint(
        second, pixel_bytes_limit=10**6
    )


def make(
    store: Store,
    files: FileStore,
    *,
    same: Callable[[bytes, bytes], bool] = same_content,
    free: int = 10**9,
) -> Admitter:
    ticks = itertools.count(1000)
    return Admitter(
        store,
        files,
        clock=lambda: float(next(ticks)),
        same_content=same,
        instance_bytes=100_000,
        free_disk_bytes=10**6,
        free_bytes=lambda: free,
    )


def arrival(content: bytes, source: Source = Source.DICOM) -> Arrival:
    return Arrival(content, source, station="XRAY1", address="127.0.0.1")


def kept_files(files_root: Path) -> int:
    return sum(1 for path in files_root.rglob("*") if path.is_file())


def test_accepted_means_file_row_and_job(store: Store, files: FileStore) -> None:
    answer = make(store, files).admit(arrival(FILM))
    assert answer.outcome is ACCEPTED
    assert answer.sop_instance_uid == "1.2.3.4.5"
    with store.read() as db:
        kept = instances.by_id(db, answer.instance_id or 0)
        assert kept is not None
        assert kept.state is InstanceState.ARRIVED
        assert kept.header.patient_age_years == 40
        assert jobs.open_count(db) == 1
        assert [row["ae_title"] for row in instances.stations(db)] == ["XRAY1"]
    assert files.read(kept.sha256) == FILM


def test_the_same_again_is_a_duplicate(store: Store, files: FileStore, tmp_path: Path) -> None:
    admitter = make(store, files)
    first = admitter.admit(arrival(FILM))
    other_bytes = builders.make_cr(rows=8, columns=8, transfer_syntax=builders.RLE)
    for content in (FILM, other_bytes):
        again = admitter.admit(arrival(content))
        assert (again.outcome, again.instance_id) == (DUPLICATE, first.instance_id)
    assert kept_files(tmp_path / "files") == 1
    with store.read() as db:
        assert jobs.open_count(db) == 1


def test_another_content_under_the_uid_is_set_aside(store: Store, files: FileStore) -> None:
    admitter = make(store, files)
    first = admitter.admit(arrival(FILM))
    other = builders.make_cr(rows=8, columns=8, patient_id="P2")
    answers = [admitter.admit(arrival(other)) for _ in range(2)]
    assert {answer.outcome for answer in answers} == {QUARANTINED}
    assert {answer.reason.code for answer in answers if answer.reason} == {"uid_conflict"}
    assert len({answer.instance_id for answer in answers}) == 1
    assert answers[0].instance_id != first.instance_id
    with store.read() as db:
        assert jobs.open_count(db) == 1


def test_a_known_conflict_is_not_decoded_again(store: Store, files: FileStore) -> None:
    asked: list[int] = []

    def never_same(first: bytes, second: bytes) -> bool:
        asked.append(1)
        return False

    admitter = make(store, files, same=never_same)
    admitter.admit(arrival(FILM))
    for _ in range(3):
        admitter.admit(arrival(builders.make_cr(patient_id="P2")))
    assert len(asked) == 1


def test_what_does_not_decode_counts_as_another(store: Store, files: FileStore) -> None:
    def damaged(first: bytes, second: bytes) -> bool:
        raise DecodeError("damaged")

    admitter = make(store, files, same=damaged)
    admitter.admit(arrival(FILM))
    assert admitter.admit(arrival(FILM + b"\0\0")).outcome is QUARANTINED


def without_uid() -> bytes:
    ds = builders.dataset()
    del ds.SOPInstanceUID
    return builders.encode(ds, part10=False)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"junk", "not_an_image"),
        (b"", "not_an_image"),
        (without_uid(), "no_sop_instance_uid"),
        (FILM[:200], "not_an_image"),
    ],
)
def test_junk_is_kept_visible_with_a_reason(
    store: Store, files: FileStore, content: bytes, code: str
) -> None:
    admitter = make(store, files)
    answers = [admitter.admit(arrival(content)) for _ in range(2)]
    assert {answer.outcome for answer in answers} == {QUARANTINED}
    assert len({answer.instance_id for answer in answers}) == 1
    with store.read() as db:
        kept = instances.by_id(db, answers[0].instance_id or 0)
        assert jobs.open_count(db) == 0
    assert kept is not None
    assert kept.state is InstanceState.QUARANTINED
    assert kept.quarantine is not None
    assert kept.quarantine.code == code
    assert files.read(kept.sha256) == content


def test_objects_and_pictures_go_on_to_the_pipeline(store: Store, files: FileStore) -> None:
    """Whether they are read is its decision, and its refusal is a visible row."""
    admitter = make(store, files)
    for content in (builders.make_sr(), builders.make_png(), builders.make_jpeg()):
        assert admitter.admit(arrival(content, Source.UPLOAD)).outcome is ACCEPTED
    with store.read() as db:
        assert jobs.open_count(db) == 3
        assert list(instances.stations(db)) == []


def test_too_large_is_rejected(store: Store, files: FileStore, tmp_path: Path) -> None:
    answer = make(store, files).admit(arrival(b"\0" * 100_001))
    assert answer.outcome is REJECTED
    assert answer.reason is not None
    assert answer.reason.code == "too_large"
    assert kept_files(tmp_path / "files") == 0


def test_a_nearly_full_disk_rejects(store: Store, files: FileStore, tmp_path: Path) -> None:
    answer = make(store, files, free=10**6 + 10).admit(arrival(FILM))
    assert answer.reason is not None
    assert (answer.outcome, answer.reason.code) == (REJECTED, "disk_full")
    assert kept_files(tmp_path / "files") == 0


class Failing(FileStore):
    """A file store on a disk that fails at the given call."""

    def __init__(self, root: Path, error: BaseException, *, after_write: bool) -> None:
        super().__init__(root)
        self.error: BaseException | None = error
        self.after_write = after_write

    def put(self, content: bytes) -> str:
        error, self.error = self.error, None
        if error is not None and not self.after_write:
            raise error
        key = super().put(content)
        if error is not None:
            raise error
        return key


@pytest.mark.parametrize("after_write", [False, True])
def test_a_disk_that_fills_leaves_nothing_behind(
    store: Store, tmp_path: Path, after_write: bool
) -> None:
    files = Failing(tmp_path / "files", DiskFullError("full"), after_write=after_write)
    admitter = make(store, files)
    answer = admitter.admit(arrival(FILM))
    assert answer.reason is not None
    assert (answer.outcome, answer.reason.code) == (REJECTED, "disk_full")
    assert kept_files(tmp_path / "files") == 0
    assert admitter.admit(arrival(FILM)).outcome is ACCEPTED


def test_another_storage_error_rejects_too(store: Store, tmp_path: Path) -> None:
    files = Failing(tmp_path / "files", StorageError("broken"), after_write=False)
    answer = make(store, files).admit(arrival(FILM))
    assert answer.reason is not None
    assert (answer.outcome, answer.reason.code) == (REJECTED, "storage")


def test_a_failure_does_not_remove_what_a_row_names(store: Store, tmp_path: Path) -> None:
    make(store, FileStore(tmp_path / "files")).admit(arrival(b"junk"))
    files = Failing(tmp_path / "files", DiskFullError("full"), after_write=True)
    admitter = make(store, files)
    admitter.admit(arrival(builders.make_png()))
    with store.read() as db:
        kept = instances.by_id(db, 1)
    assert kept is not None
    assert files.read(kept.sha256) == b"junk"


class Vanishing(FileStore):
    """Another process removes the file between our write and our row."""

    gone = False

    def put(self, content: bytes) -> str:
        key = super().put(content)
        if not self.gone:
            self.gone = True
            self.path(key).unlink()
        return key


def test_a_file_that_vanished_before_its_row_is_written_again(store: Store, tmp_path: Path) -> None:
    files = Vanishing(tmp_path / "files")
    answer = make(store, files).admit(arrival(FILM))
    assert answer.outcome is ACCEPTED
    with store.read() as db:
        kept = instances.by_id(db, answer.instance_id or 0)
    assert kept is not None
    assert files.read(kept.sha256) == FILM


@pytest.mark.parametrize("other", [FILM, builders.make_cr(rows=8, columns=8, patient_id="P2")])
def test_two_senders_at_once(store: Store, files: FileStore, other: bytes) -> None:
    admitter = make(store, files)
    answers: list[Admission] = []
    barrier = threading.Barrier(6)

    def send(content: bytes) -> None:
        barrier.wait()
        answers.append(admitter.admit(arrival(content)))

    threads = [threading.Thread(target=send, args=(c,)) for c in [FILM, other] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = [answer.outcome for answer in answers]
    assert outcomes.count(ACCEPTED) == 1
    assert set(outcomes) <= {ACCEPTED, DUPLICATE, QUARANTINED}
    with store.read() as db:
        counts = instances.counts(db)
    assert counts["arrived"] == 1
    assert counts["quarantined"] == (0 if other is FILM else 1)


class PowerCutError(BaseException):
    """The machine stops here."""


class CutFiles(FileStore):
    cut: str | None = None

    def put(self, content: bytes) -> str:
        if self.cut == "before file":
            self.cut = None
            raise PowerCutError
        key = super().put(content)
        if self.cut == "after file":
            self.cut = None
            raise PowerCutError
        return key


FILES = [
    builders.make_cr(rows=4, columns=4, sop_instance_uid="1.2.1"),
    builders.make_cr(
        rows=4, columns=4, sop_instance_uid="1.2.1", transfer_syntax=builders.BIG_ENDIAN
    ),
    builders.make_cr(rows=4, columns=4, sop_instance_uid="1.2.1", patient_id="other"),
    builders.make_cr(rows=4, columns=4, sop_instance_uid="1.2.2"),
    builders.make_png(),
    b"junk",
]


@given(
    sends=st.lists(
        st.tuples(
            st.integers(0, len(FILES) - 1),
            st.sampled_from([None, None, "before file", "after file", "before commit"]),
        ),
        max_size=12,
    )
)
@settings(max_examples=25, deadline=None)
def test_any_sequence_with_power_cuts_gives_one_instance_each(
    sends: list[tuple[int, str | None]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "waypost.db"))
        files = CutFiles(Path(folder, "files"))
        answered: dict[int, int | None] = {}
        for index, cut in sends:
            answer = send_with(store, files, FILES[index], cut)
            if answer is not None:
                assert answer.outcome is not REJECTED
                # An identity that was answered for once is the same row ever after.
                assert answered.setdefault(index, answer.instance_id) == answer.instance_id
        for index, content in enumerate(FILES[:1] + FILES[3:]):
            first = make(store, files).admit(arrival(content))
            again = make(store, files).admit(arrival(content))
            assert first.instance_id == again.instance_id, index
        check_whole(store, files)
        store.close()


def send_with(store: Store, files: CutFiles, content: bytes, cut: str | None) -> Admission | None:
    ticks = itertools.count(1000)

    def clock() -> float:
        if cut == "before commit":
            raise PowerCutError
        return float(next(ticks))

    files.cut = cut
    admitter = Admitter(
        store,
        files,
        clock=clock,
        same_content=same_content,
        instance_bytes=100_000,
        free_disk_bytes=0,
        free_bytes=lambda: 10**9,
    )
    try:
        return admitter.admit(arrival(content))
    except PowerCutError:
        return None
    finally:
        files.cut = None


def check_whole(store: Store, files: FileStore) -> None:
    with store.read() as db:
        rows = db.execute("select * from instance").fetchall()
        uids = [r["sop_instance_uid"] for r in rows if r["state"] != "quarantined"]
        assert len(uids) == len(set(uids)) == 3
        assert jobs.open_count(db) == 3
    for row in rows:
        assert files.read(row["sha256"])
