from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain import Admission, AdmissionOutcome, Arrival, Source
from appliance.ingest.media import admit_paths, files_of

if TYPE_CHECKING:
    from pathlib import Path


def stick(tmp_path: Path) -> Path:
    root = tmp_path / "stick"
    for name in ("b.dcm", "DICOMDIR", ".hidden", "IMAGES/a", "IMAGES/.trash/x", "dicomdir"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (root / "link").symlink_to(root / "b.dcm")
    return root


def test_files_of_a_folder(tmp_path: Path) -> None:
    root = stick(tmp_path)
    found = [str(path.relative_to(root)) for path in files_of([root])]
    assert found == ["b.dcm", "IMAGES/a"]


def test_every_path_gets_an_answer(tmp_path: Path) -> None:
    arrivals: list[Arrival] = []

    def door(arrival: Arrival) -> Admission:
        arrivals.append(arrival)
        return Admission(AdmissionOutcome.ACCEPTED)

    root = stick(tmp_path)
    answers = dict(admit_paths([root / "b.dcm", root / "none"], door, Source.MEDIA))
    assert answers[root / "b.dcm"].outcome is AdmissionOutcome.ACCEPTED
    missing = answers[root / "none"]
    assert missing.outcome is AdmissionOutcome.REJECTED
    assert missing.reason is not None
    assert missing.reason.code == "unreadable"
    assert [(a.content, a.source, a.station) for a in arrivals] == [
        (b"b.dcm", Source.MEDIA, "b.dcm")
    ]
