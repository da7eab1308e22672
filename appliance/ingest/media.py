"""Files from a folder, a USB stick or a patient CD."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.domain import Admission, AdmissionOutcome, Arrival, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from appliance.domain import Source


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files named and those in the folders named, in the order of their names.

    A DICOMDIR is left out (what it lists lies beside it), and so are hidden files and links that
    lead out of a folder. A path that does not exist is yielded as it is, so that it gets an
    answer.
    """
    for path in paths:
        if path.is_dir():
            yield from _files_in(path)
        else:
            yield path


def _files_in(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if not (name.startswith(".") or name.upper() == "DICOMDIR" or path.is_symlink()):
                yield path


def admit_paths(
    paths: Iterable[Path], admit: Callable[[Arrival], Admission], source: Source
) -> Iterator[tuple[Path, Admission]]:
    """Admit each file of `files_of` and yield it with its answer.

    A file that cannot be read is answered with ``REJECTED`` and the reason ``unreadable``.
    """
    for path in files_of(paths):
        yield path, _admit_path(path, admit, source)


def _admit_path(path: Path, admit: Callable[[Arrival], Admission], source: Source) -> Admission:
    try:
        content = path.read_bytes()
    except OSError as error:
        text = f"The file cannot be read: {error.strerror}."
        return Admission(AdmissionOutcome.REJECTED, reason=Reason("unreadable", text))
    return admit(Arrival(content, source, station=path.name))
