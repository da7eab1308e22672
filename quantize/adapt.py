"""From a publisher's original to a folder that a recipe reads: grey images and ``labels.csv``."""

from __future__ import annotations

import csv
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from appliance.preprocess import squeeze
from quantize.data import SPLITS, DataError, read_grey
from quantize.originals import ORIGINALS, read_originals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from quantize.published import Film, Original

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]
_FRAMES = 10  # of a cine loop, evenly spaced
_SEED = 20240601


@dataclass(frozen=True, slots=True)
class Adapted:
    """The written table, the images in it by split and label, and what is to be said of it."""

    table: Path
    counts: dict[tuple[str, str], int]
    notes: Sequence[str]


def adapt(
    name: str,
    originals: Path,
    out: Path,
    side_px: int | None = None,
    most: int | None = None,
    passing: Callable[[Sequence[Film]], Iterable[Film]] = iter,
) -> Adapted:
    """Write ``out/<name>/labels.csv`` and its images from what a publisher ships.

    Parameters
    ----------
    originals
        Folder in which the publisher's archives were unpacked; nothing in it is changed.
    side_px
        Longest side of the images instead of the set's own. A set that is squeezed to a square
        stays so; no other is enlarged.
    most
        At most so many films of each label, drawn by a fixed seed.
    passing
        Hands the films on one by one, for whoever shows how far it is.

    Returns
    -------
    Adapted
        The table is written last: a folder without one was not finished.

    Raises
    ------
    DataError
        If the set is not known, the originals are not as the publisher ships them, an image cannot
        be decoded, or the table exists already.
    """
    found = read_originals(name, originals)
    table = out / name / "labels.csv"
    if table.exists():
        raise DataError(f"{table} exists already: move it away, or give another --out.")
    original = ORIGINALS[name]
    films = found.films if most is None else _fewer(found.films, most)
    _check_names(films)
    side = original.side_px if side_px is None else side_px
    rows = [
        row
        for film in passing(films)
        for row in _write_film(film, original, side, table.parent, originals)
    ]
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    counts = Counter((row["split"], row["label"]) for row in rows)
    notes = [f"left out: {words}" for words in found.left_out]
    return Adapted(table, dict(counts), [*notes, original.note] if original.note else notes)


def summary(adapted: Adapted) -> str:
    """Say a split a line how many images of each label there are."""
    lines = []
    for split in SPLITS:
        told = [f"{n} {label}" for (s, label), n in sorted(adapted.counts.items()) if s == split]
        if told:
            lines.append(f"{split}: {', '.join(told)}")
    return "\n".join(lines)


def _fewer(films: Sequence[Film], most: int) -> list[Film]:
    order = sorted(range(len(films)), key=lambda place: films[place].stem)
    random.Random(_SEED).shuffle(order)  # noqa: S311 - no secret
    taken: Counter[str] = Counter()
    kept = set()
    for place in order:
        label = films[place].label
        if taken[label] < most:
            taken[label] += 1
            kept.add(place)
    return [film for place, film in enumerate(films) if place in kept]


def _check_names(films: Sequence[Film]) -> None:
    twice = [stem for stem, n in Counter(film.stem for film in films).items() if n > 1]
    if twice:
        raise DataError(f"Two films would be called {twice[0]}: the originals hold the set twice.")


def _write_film(
    film: Film, original: Original, side_px: int, folder: Path, originals: Path
) -> list[dict[str, str]]:
    """Write one film, or the frames of one cine loop; give the rows of the table."""
    pictures = {film.stem: read_grey(film.source)} if not film.cine else _frames(film)
    rows = []
    for stem, picture in pictures.items():
        shaped = _shape(picture, original, side_px)
        row = {"file": f"images/{stem}.jpg", "label": film.label, "patient": film.patient}
        row |= {"split": film.split, **film.known}
        _write(folder / row["file"], shaped, _JPEG)
        if film.mm_per_px is not None:
            row["mm_per_px"] = repr(film.mm_per_px * picture.shape[1] / shaped.shape[1])
        if original.masked:
            row["mask"] = f"masks/{stem}.png" if film.masks else ""
        if film.masks:
            mask = _shape(_mask(film, picture, outlined=original.outlined), original, side_px)
            _write(folder / row["mask"], np.where(mask > 127, np.uint8(255), np.uint8(0)), [])
        row["source"] = film.source.relative_to(originals).as_posix()
        rows.append(row)
    return rows


def _frames(film: Film) -> dict[str, NDArray[np.uint8]]:
    """Take evenly spaced frames of a cine loop, grey uint8 (rows, columns)."""
    capture = cv2.VideoCapture(str(film.source))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            break
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    capture.release()
    if not frames:
        raise DataError(f"{film.source} cannot be decoded.")
    places = np.linspace(0, len(frames) - 1, min(_FRAMES, len(frames))).round().astype(int)
    return {
        f"{film.stem}_{number:02d}": np.asarray(frames[place], dtype=np.uint8)
        for number, place in enumerate(places)
    }


def _shape(grey: NDArray[np.uint8], original: Original, side_px: int) -> NDArray[np.uint8]:
    """Cut the set's edges off, then squeeze or limit it."""
    rows, columns = grey.shape
    top, bottom, left, right = original.crop
    grey = grey[
        round(top * rows) : rows - round(bottom * rows),
        round(left * columns) : columns - round(right * columns),
    ]
    if original.square:
        return squeeze(grey, side_px)
    rows, columns = grey.shape
    factor = side_px / max(rows, columns)
    if factor >= 1:
        return grey
    size = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _mask(film: Film, picture: NDArray[np.uint8], *, outlined: bool) -> NDArray[np.uint8]:
    """Join a film's drawn regions: 0 or 255, of the film's size."""
    joined = np.zeros_like(picture)
    for path in film.masks:
        drawn = read_grey(path)
        if drawn.shape != picture.shape:
            raise DataError(f"{path} has another size than its film.")
        joined |= np.where(drawn > 127, np.uint8(255), np.uint8(0))
    return _filled(joined, film) if outlined else joined


def _filled(outline: NDArray[np.uint8], film: Film) -> NDArray[np.uint8]:
    """Fill an ellipse whose outline was drawn, also where the image's edge cuts it."""
    points = np.argwhere(outline)[:, ::-1].astype(np.float32)
    if len(points) < 5:
        raise DataError(f"{film.masks[0]} shows no outline.")
    ellipse = cv2.ellipse(np.zeros_like(outline), cv2.fitEllipse(points), 255, -1)
    inside = outline[ellipse > 0]
    # It was filled already if most of what it encloses is marked.
    return outline if inside.size and inside.mean() > 127 else np.asarray(ellipse, np.uint8)


def _write(path: Path, pixels: NDArray[np.uint8], how: Sequence[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), pixels, list(how)):
        raise DataError(f"{path} cannot be written.")
