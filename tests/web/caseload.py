"""Cases for the pages: a real store in a folder, filled as the worker would fill it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.domain import (
    Admission,
    AdmissionOutcome,
    Arrival,
    Check,
    Finding,
    Header,
    InstanceState,
    ItemKind,
    Lane,
    Measurement,
    ModelRef,
    ModelSummary,
    OperatingPoint,
    Quality,
    Reading,
    ReadingState,
    Reason,
    Source,
    SystemReport,
    Timings,
    Urgency,
)
from appliance.ingest.upload import Uploads
from appliance.review import Review
from appliance.store import heartbeats, instances, jobs, outbox, readings
from appliance.store.database import Store
from appliance.store.files import FileStore
from appliance.store.instances import NewInstance
from appliance.store.outbox import NewItem
from appliance.wiring.web import WebServices
from appliance.worklist import Worklist

if TYPE_CHECKING:
    from pathlib import Path

MODEL = ModelRef("cxr-pneumonia", "1.0.0", "ab" * 32, "onnxruntime-cpu")
SUMMARY = ModelSummary(
    id="cxr-pneumonia",
    version="1.0.0",
    sha256="ab" * 32,
    backend="onnxruntime-cpu",
    title="Signs of pneumonia",
    intended_use="Chest films (AP, PA) of children from one year; a trained person decides.",
    limits="Not for adults with implants. Blind to everything but pneumonia.",
    research_only=False,
)
CARD = """# Signs of pneumonia

Finds *signs of pneumonia* on chest films.

| Set | AUROC |
| --- | ----: |
| held out | 0.95 |

- one
- two

<script>alert(1)</script> ![x](https://example.org/x.png)
"""
UPLOAD_BYTES = 4 * 1024 * 1024
QUALITY_REASON = Reason("cut_top", "The lung tops are cut. Take it again with the cassette higher.")


def film_png(seed: int = 0, size: int = 256) -> bytes:
    """Return a PNG with two dark lungs in a bright body: enough to see the light change."""
    rng = np.random.default_rng(seed)
    film = np.full((size, size), 150, np.uint8)
    for middle in (0.32, 0.68):
        cv2.ellipse(
            film, (int(size * middle), size // 2), (size // 8, size // 3), 0, 0, 360, 60, -1
        )
    film = np.clip(film + rng.normal(0, 6, film.shape), 0, 255).astype(np.uint8)
    return cv2.imencode(".png", film)[1].tobytes()


def heat_png(size: int = 128) -> bytes:
    """Return an RGBA PNG: one warm spot on transparent ground."""
    heat = np.zeros((size, size, 4), np.uint8)
    cv2.circle(heat, (size // 3, size * 2 // 3), size // 6, (40, 120, 250, 140), -1)
    return cv2.imencode(".png", heat)[1].tobytes()


def read(probability: float = 0.82, threshold: float = 0.41) -> Reading:
    """Return a reading with one finding."""
    positive = probability >= threshold
    point = OperatingPoint("screening", threshold)
    return Reading(
        state=ReadingState.READ,
        reasons=(Reason("age_unknown", "The age is unknown. Check it before you act."),),
        model=MODEL,
        findings=(Finding("pneumonia", "Pneumonia", probability, point, positive),),
        measurements=(Measurement("cardiothoracic_ratio", "Heart to chest", 0.47, ""),),
        quality=Quality(fit=True, reasons=(QUALITY_REASON,), values={"sharpness": 0.31}),
        urgency=Urgency.URGENT if positive else Urgency.ROUTINE,
        timings=Timings(12, 3, 4, 88, 5, 112),
    )


def unread(state: ReadingState, text: str) -> Reading:
    """Return a reading that gave no answer, and why; it hides a probability for research."""
    urgency = Urgency.UNSURE if state is ReadingState.ABSTAINED else Urgency.WAITING
    return Reading(
        state=state,
        reasons=(Reason("why", text),),
        model=MODEL,
        quality=Quality(fit=False, reasons=(QUALITY_REASON,), values={"sharpness": 0.7321}),
        urgency=urgency,
        timings=Timings(12, 3, 4, 0, 0, 19),
        research={"pneumonia": 0.7321},
    )


@dataclass
class Caseload:
    """A store in a folder, and what fills it.

    Parameters
    ----------
    data
        The data folder, as ``python -m web --data`` takes it.
    """

    data: Path
    arrivals: list[Arrival] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        self.store = Store(self.data / "waypost.db")
        self.files = FileStore(self.data / "files")

    def close(self) -> None:
        self.store.close()

    def services(self) -> WebServices:
        """Return services over this store; the one door and the system report are simple ones."""
        return WebServices(
            station_name="Kivu clinic",
            software_version="0.1.0",
            worklist=Worklist(self.store, self.files),
            review=Review(self.store, time.time),
            uploads=Uploads(self._admit, total_bytes=UPLOAD_BYTES, entries=10),
            system=system_report,
            model_card=lambda name, number: CARD if (name, number) == _MODEL_KEY else None,
            upload_bytes=UPLOAD_BYTES,
        )

    def _admit(self, arrival: Arrival) -> Admission:
        self.arrivals.append(arrival)
        if arrival.content.startswith(b"\x89PNG"):
            return Admission(AdmissionOutcome.ACCEPTED, "1.2.3", self.arrive())
        reason = Reason("not_an_image", "This file is no image. Send DICOM, PNG or JPEG.")
        return Admission(AdmissionOutcome.QUARANTINED, None, None, reason)

    def arrive(
        self,
        name: str = "DOE^Jane",
        *,
        ago_s: float = 300,
        quarantine: Reason | None = None,
        **header: object,
    ) -> int:
        """Insert an instance that waits to be read (or is quarantined), and return its id."""
        self.count += 1
        values: dict[str, object] = {
            "sop_instance_uid": f"1.2.826.0.1.{self.count}",
            "study_instance_uid": f"1.2.826.0.2.{self.count}",
            "modality": "CR",
            "body_part_examined": "CHEST",
            "view_position": "PA",
            "patient_id": f"P-{self.count:04d}",
            "patient_name": name,
            "patient_sex": "F",
            "patient_age_years": 34.0,
            "rows": 256,
            "columns": 256,
        }
        new = NewInstance(
            header=Header(**{**values, **header}),  # type: ignore[arg-type]
            media_type="application/dicom",
            sha256=f"{self.count:064x}",
            size_bytes=131_072,
            source=Source.DICOM,
            station="XRAY1",
            quarantine=quarantine,
        )
        with self.store.transaction() as db:
            key = instances.insert(db, new, time.time() - ago_s)
            instances.note_station(db, "XRAY1", "192.168.7.20", time.time())
        assert key is not None
        return key

    def commit(
        self, instance_id: int, reading: Reading, *, film: bytes | None = None, heat: bool = True
    ) -> None:
        """Commit a reading of an instance as the worker does: all in one transaction."""
        artifacts = {"film": self.files.put(film or film_png(instance_id))}
        if heat and reading.state is ReadingState.READ:
            artifacts["heat"] = self.files.put(heat_png())
        with self.store.transaction() as db:
            row = db.execute("select id, tries from job where instance_id = ?", [instance_id])
            job_id, tries = tuple(row.fetchone())
            job = jobs.Job(job_id, instance_id, tries)
            readings.insert(db, job, reading, artifacts, time.time())
            state = InstanceState(str(reading.state))
            instances.set_state(db, instance_id, state, reading.urgency)

    def case(
        self,
        reading: Reading,
        name: str = "DOE^Jane",
        *,
        film: bytes | None = None,
        ago_s: float = 300,
        **header: object,
    ) -> int:
        """Insert an instance with its reading, and return its id."""
        key = self.arrive(name, ago_s=ago_s, **header)
        self.commit(key, reading, film=film)
        return key

    def deliver(self, instance_id: int, state: str, error: str | None = None) -> int:
        """Put an outbox item of an instance into `state`, and return its id."""
        item = NewItem("hospital", ItemKind.RESULT, instance_id, Lane.REPORT, f"9.{instance_id}")
        with self.store.transaction() as db:
            outbox.enqueue(db, item, time.time() - 600)
            db.execute(
                "update outbox set state = ?, last_error = ?, tries = 1, delivered_at = ?"
                " where object_uid = ?",
                [state, error, time.time() if state == "delivered" else None, item.object_uid],
            )
            row = db.execute("select id from outbox where object_uid = ?", [item.object_uid])
            return int(row.fetchone()[0])

    def beat(self, role: str, ago_s: float = 1.0, detail: str = "waits") -> None:
        with self.store.transaction() as db:
            heartbeats.beat(db, role, detail, time.time() - ago_s)


_MODEL_KEY = ("cxr-pneumonia", "1.0.0")


def system_report() -> SystemReport:
    """Return a report in which one check is not well."""
    return SystemReport(
        station_name="Kivu clinic",
        ae_title="WAYPOST",
        dicom_address="192.168.7.2:11112",
        software_version="0.1.0",
        checks=(
            Check("disk", "Disk", True, "41 GB are free."),
            Check("clock", "Clock", False, "The clock says 1970. Set it on the box."),
        ),
        models=(SUMMARY,),
        backends={
            "onnxruntime-cpu": "ready",
            "tensorrt": "not available: there is no NVIDIA GPU here",
        },
        disk_free_bytes=41_000_000_000,
        disk_total_bytes=64_000_000_000,
        targets=("hospital",),
    )


def everything(load: Caseload) -> dict[str, int]:
    """Fill a store with a case of each kind, and return their ids by kind."""
    cases = {
        "urgent": load.case(read(0.82), "MUKWEGE^Amani", patient_age_years=6.0),
        "unlikely": load.case(read(0.08), "OKELLO^Grace", patient_sex="F"),
        "abstained": load.case(
            unread(ReadingState.ABSTAINED, "The box is not sure: the film lies near the limit."),
            "NDIAYE^Fatou",
        ),
        "refused": load.case(
            unread(ReadingState.REFUSED, "This is not a chest film. Send a chest film."),
            "BANDA^Chipo",
        ),
        "failed": load.case(
            unread(ReadingState.FAILED, "The pixel data is damaged. Send the film again."),
            "KAMAU^Otieno",
            patient_sex="M",
        ),
        "quarantined": load.arrive(
            "TRAORE^Awa",
            quarantine=Reason("uid_conflict", "Another film has this number. It is kept aside."),
        ),
        "arrived": load.arrive("HASSAN^Yusuf", ago_s=20, patient_sex="M"),
        "reviewed": load.case(read(0.55), "ADEYEMI^Bola"),
        "dead": load.case(read(0.3, threshold=0.41), "SILVA^João"),
        "sent": load.case(read(0.12), "PHIRI^Mary"),
    }
    review = Review(load.store, time.time)
    review.act(cases["reviewed"], "overrule", "Dr Uwase", "I see a cardiac shadow only.")
    load.deliver(cases["dead"], "dead", "The peer answered, and it was no (0xA700).")
    load.deliver(cases["sent"], "delivered")
    for role in ("receive", "worker", "courier"):
        # The worker tells in its sign of life what only it can know, as JSON.
        detail = '{"backend": "onnxruntime-cpu", "backends": {}, "checks": []}'
        said = {"worker": detail, "receive": "WAYPOST 192.168.7.2:11112"}.get(role, "waits")
        load.beat(role, 400 if role == "courier" else 2, said)
    return cases
