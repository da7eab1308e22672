"""``make run``: the whole appliance, and a station that sends it real samples over DICOM.

The samples are the CR chest film and ultrasound images that the PyPI package ``pydicom-data``
(extra ``samples``) carries. The station is a plain Storage SCU, as a modality would be.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import dcmread
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context

from appliance import terminal
from appliance.domain import ReadingState
from appliance.errors import InstallError, PeerRefusedError, WaypostError
from appliance.wiring.settings import Options, data_folder, parse_address
from appliance.wiring.storage import open_store
from appliance.worklist import Worklist

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.domain import WorklistEntry

_READ_TIMEOUT_S = 60.0
_READ = frozenset({ReadingState.READ})
_REFUSED = frozenset({ReadingState.REFUSED})


@dataclass(frozen=True, slots=True)
class Sample:
    """A file of ``pydicom-data``, what it is, and how its reading must end."""

    file: str
    what: str
    expected: frozenset[ReadingState]


SAMPLES = (
    Sample("RG1_UNCR.dcm", "chest film, CR, 7.2 MB", _READ),
    Sample("RG3_UNCR.dcm", "film of a limb, CR", _REFUSED),
    Sample("US1_UNCR.dcm", "ultrasound, RGB", _REFUSED),
    Sample("OBXXXX1A_rle_2frame.dcm", "obstetric ultrasound, two frames, RLE", _REFUSED),
    Sample("color3d_jpeg_baseline.dcm", "ultrasound cine, 120 frames, JPEG", _REFUSED),
)


def main() -> None:
    """Run the appliance with the samples; see the module's own words."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the table")
    parser.add_argument("--data", type=Path, default=Path(".run/data"))
    parser.add_argument("--web", default="127.0.0.1:8080")
    parser.add_argument("--dicom", default="127.0.0.1:11112")
    given = parser.parse_args()
    try:
        if given.once:
            with tempfile.TemporaryDirectory(prefix="waypost-") as folder:
                sys.exit(_run(Path(folder), "127.0.0.1:0", "127.0.0.1:0", once=True))
        sys.exit(_run(given.data, given.web, given.dicom, once=False))
    except WaypostError as error:
        sys.exit(f"waypost: {error.text}")
    except KeyboardInterrupt:
        sys.exit(0)


def _run(data: Path, web: str, dicom: str, *, once: bool) -> int:
    command = [sys.executable, "-m", "appliance.cli", "run", "--data", str(data)]
    command += ["--web", web, "--dicom", dicom]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as appliance:  # noqa: S603
        try:
            page, receiver = _ready(appliance)
            status = _show(data, page, receiver)
            if not once:
                terminal.say(f"\nOpen {page} in a browser. Ctrl-C ends the appliance.")
                appliance.wait()
        finally:
            appliance.terminate()
            appliance.wait(30)
    return status


def _ready(appliance: subprocess.Popen[str]) -> tuple[str, str]:
    line = appliance.stdout.readline() if appliance.stdout else ""
    words = dict(word.split("=", 1) for word in line.split() if "=" in word)
    if "web" not in words or "dicom" not in words:
        raise InstallError("The appliance did not start; its reason stands above.")
    terminal.say(line.strip())
    return words["web"], words["dicom"]


def _show(data: Path, page: str, receiver: str) -> int:
    """Send the samples, wait for their readings, print them; 0 if all are as expected."""
    paths = [_sample_path(sample) for sample in SAMPLES]
    uids = dict(zip(SAMPLES, _send(paths, *parse_address(receiver)), strict=True))
    store, files = open_store(data_folder(Options(data)))
    try:
        found = _await_readings(Worklist(store, files), set(uids.values()))
    finally:
        store.close()
    rows, wrong = [], []
    for sample, uid in uids.items():
        entry = found.get(uid)
        reading = None if entry is None else entry.reading
        if reading is None or reading.reading.state not in sample.expected:
            wrong.append(sample.file)
        if reading is not None:
            rows.append((sample.what, reading.reading))
    console = terminal.console()
    console.print()
    console.print(terminal.reading_table(rows))
    console.print(f"\npage: {page}/")
    if wrong:
        console.print(f"Not as expected: {', '.join(wrong)}.", style="#B3261E")
    return 1 if wrong else 0


def _sample_path(sample: Sample) -> Path:
    try:
        path = Path(str(package_files("data_store") / "data" / sample.file))
    except ModuleNotFoundError as error:
        raise InstallError("The samples are missing: pip install 'waypost[samples]'.") from error
    if not path.is_file():
        raise InstallError(f"The sample {sample.file} is missing: install pydicom-data again.")
    return path


def _send(paths: list[Path], host: str, port: int) -> Iterator[str]:
    datasets = [dcmread(path) for path in paths]
    ae = ApplicationEntity(ae_title="SAMPLES")
    pairs = {(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in datasets}
    contexts = [build_context(abstract, [transfer]) for abstract, transfer in sorted(pairs)]
    association = ae.associate(host, port, contexts, ae_title="WAYPOST")
    if not association.is_established:
        raise PeerRefusedError("The receiver did not accept the association.")
    try:
        for dataset in datasets:
            answer = association.send_c_store(dataset)
            if answer.get("Status") != 0x0000:
                raise PeerRefusedError(f"The receiver answered {answer.get('Status')}.")
            yield str(dataset.SOPInstanceUID)
    finally:
        association.release()


def _await_readings(worklist: Worklist, uids: set[str]) -> dict[str, WorklistEntry]:
    deadline = time.monotonic() + _READ_TIMEOUT_S
    while True:
        listed = [*worklist.entries(limit=500), *worklist.entries(reviewed=True, limit=500)]
        entries = {entry.instance.header.sop_instance_uid: entry for entry in listed}
        found = {uid: entries[uid] for uid in uids if uid in entries}
        if len(found) == len(uids) and all(entry.reading for entry in found.values()):
            return found
        if time.monotonic() > deadline:
            return found
        time.sleep(0.05)


if __name__ == "__main__":
    main()
