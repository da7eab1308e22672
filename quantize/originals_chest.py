"""Chest films as their publishers ship them, a function a set (`quantize.originals`)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from quantize.data import DataError
from quantize.published import (
    Film,
    Found,
    images_in,
    plain_name,
    present,
    rows_of,
    shallowest,
    splits,
)

if TYPE_CHECKING:
    from pathlib import Path

_OLDEST_YEARS = 120  # the NIH table has a few ages above 400
_CHILD = re.compile(r"person(\d+)_(bacteria|virus)_|((?:NORMAL2-)?IM-\d+)|([A-Z]+)-(\d+)-\d+")


def children(root: Path) -> Found:
    """Films of children with pneumonia or without (Kermany, Zhang, Goldbaum).

    ``ChestXRay2017.zip`` of version 2 names ``IM-0117-0001``, ``NORMAL2-IM-0383-0001`` and
    ``person1_bacteria_2``, persons counted anew in the test split; ``ZhangLabData.zip`` of version
    3 names ``(disease)-(patient)-(image)``. Both as repositories that unpack them quote them
    (doi:10.17632/rscbjbr9sj). A folder ``val``, which a much used copy has, is part of the
    publisher's training split. Copies, byte for byte, are taken once, from the test split first.
    """
    top = shallowest(root, "train/NORMAL").parent.parent
    films = [film for folder in ("test", "train", "val") for film in _children_in(top, folder)]
    if not any(film.split == "test" for film in films):
        raise DataError(f"{top} has no test split.")
    tested = {film.patient for film in films if film.split == "test"}
    kept, seen, copies, known = [], set(), 0, 0
    for film in films:
        digest = hashlib.sha256(film.source.read_bytes()).digest()
        copied, leaked = digest in seen, film.split != "test" and film.patient in tested
        copies, known = copies + copied, known + (leaked and not copied)
        seen.add(digest)
        if not copied and not leaked:
            kept.append(film)
    of = splits((film.patient for film in kept if film.split != "test"), 0, 1)
    kept = [replace(film, split=of.get(film.patient, "test")) for film in kept]
    said = [f"{copies} are copies of another film", f"{known} are of patients of the test split"]
    return Found(kept, [words for words, n in zip(said, (copies, known), strict=True) if n])


def _children_in(top: Path, folder: str) -> list[Film]:
    if folder == "val" and not (top / folder).is_dir():
        return []
    split = "test" if folder == "test" else "train"
    films = []
    for label in ("NORMAL", "PNEUMONIA"):
        if not (top / folder / label).is_dir():
            raise DataError(f"There is no {top / folder / label}.")
        for path in images_in(top / folder / label, ".jpeg", ".jpg"):
            patient, subtype = _child(path, split)
            films.append(
                Film(path, f"{split}_{path.stem}", label.lower(), patient, split,
                     {"subtype": subtype})
            )  # fmt: skip
    return films


def _child(path: Path, split: str) -> tuple[str, str]:
    """Read patient and subtype from a name."""
    match = _CHILD.match(path.name)
    if match is None:
        raise DataError(f"{path.name} is not named as the publisher names its films.")
    person, kind, normal, disease, number = match.groups()
    if person:
        return f"{split}-person{person}", kind
    return (normal, "normal") if normal else (f"child-{number}", disease.lower())


def nih(root: Path) -> Found:
    """Films of adults, with no finding or with pneumonia (ChestX-ray14, Wang and others).

    ``Data_Entry_2017.csv`` says ``Patient Gender``, ``Data_Entry_2017_v2020.csv`` ``Patient Sex``
    (heads of both tables as quoted from nihcc.app.box.com/v/ChestXray-NIHCC); ages are bare years
    or, in an early sample, ``058Y``. Films with other findings only are left out.
    """
    table = shallowest(root, "Data_Entry_2017*.csv")
    rows = rows_of(table, "Image Index", "Finding Labels", "Patient ID", "Patient Age",
                 "View Position")  # fmt: skip
    sex = next((name for name in ("Patient Sex", "Patient Gender") if name in rows[0]), None)
    if sex is None:
        raise DataError(f"{table} has neither a column Patient Sex nor Patient Gender.")
    where = {path.name: path for path in root.rglob("*.png")}
    films = []
    for row in rows:
        findings = row["Finding Labels"].split("|")
        label = "pneumonia" if "Pneumonia" in findings else "no_finding"
        if label == "no_finding" and findings != ["No Finding"]:
            continue
        index = row["Image Index"]
        known = {
            "findings": row["Finding Labels"],
            "age": _years(row["Patient Age"]),
            "sex": row[sex],
            "view": row["View Position"],
            "qc_flag": _NIH_FLAGS.get(index, ""),
        }
        patient = f"nih{int(row['Patient ID']):08d}"
        films.append(
            Film(where.get(index, root / index), index.split(".")[0], label, patient, "", known)
        )
    # Over all patients of the table, so that a part of the archives gives the same splits.
    of = splits(film.patient for film in films)
    split = [replace(film, split=of[film.patient]) for film in films]
    return present(split, len(rows) - len(films), "have other findings only")


_NIH_FLAGS = {"00003490_011.png": "upside_down_or_not_chest"}


def _years(text: str) -> str:
    """Whole years of ``58``, ``058Y``, ``16month`` or ``64days``; empty where unknown."""
    match = re.match(r"\s*(\d+)\s*([A-Za-z]?)", text)
    if match is None:
        return ""
    unit = match[2].lower()
    years = int(match[1]) // {"m": 12, "d": 365}.get(unit, 1)
    return str(years) if years <= _OLDEST_YEARS else ""


_READING = re.compile(
    r"\s*(male|femal\w*)[\s,]*(\d+ *(?:[ymd][a-z]*)?)?[\s,]*(.*)", re.IGNORECASE | re.DOTALL
)


def shenzhen(root: Path) -> Found:
    """Films with tuberculosis or without, and their readings (Jaeger and others).

    ``CXR_png/CHNCXR_NNNN_{0,1}.png``, 1 for tuberculosis, and beside it a text a film:
    ``male 45yrs``, in some ``femal``, a comma, months or days, then the reading (the layout of
    ``ChinaSet_AllFiles.zip`` in the set's ReadMe and in repositories that read it). One film a
    patient; each class is split by itself.
    """
    folder = shallowest(root, "CXR_png/CHNCXR_*.png").parent
    readings = shallowest(root, "ClinicalReadings/CHNCXR_*.txt").parent
    films = []
    for path in images_in(folder, ".png"):
        match = re.fullmatch(r"CHNCXR_(\d{4})_([01])", path.stem)
        if match is None:
            continue
        reading = readings / f"{path.stem}.txt"
        text = reading.read_text(encoding="utf-8", errors="replace") if reading.is_file() else ""
        head = _READING.match(text)
        known = {
            "findings": " ".join(head[3].split()) if head else "",
            "age": _years(head[2] or "") if head else "",
            "sex": head[1][0].upper() if head else "",
        }
        label = ("normal", "tuberculosis")[int(match[2])]
        films.append(Film(path, path.stem, label, f"shz{match[1]}", "", known))
    of: dict[str, str] = {}
    for label in ("normal", "tuberculosis"):
        of |= splits(film.patient for film in films if film.label == label)
    return Found([replace(film, split=of[film.patient]) for film in films])


def hannover(root: Path) -> Found:
    """Films of adults with COVID-19 (Winther and others).

    ``png/<image_id>.png`` and ``data.csv`` with ``patient_id``, ``image_id``, ``sex``,
    ``icu_admission_offset`` and ``projection``, read in github.com/ml-workgroup/
    covid-19-image-repository. The splits are those of the set that the shipped models were made
    with.
    """
    table = shallowest(root, "data.csv")
    columns = ("image_id", "patient_id", "sex", "projection", "icu_admission_offset")
    films = []
    for row in rows_of(table, *columns):
        known = {
            "sex": row["sex"].replace("w", "f"),
            "view": row["projection"],
            "icu": "yes" if row["icu_admission_offset"] else "",
        }
        path = table.parent / "png" / f"{row['image_id']}.png"
        patient = f"mhh-{row['patient_id']}"
        films.append(Film(path, row["image_id"], "covid19", patient, "", known))
    of = splits(film.patient for film in films)
    return present([replace(film, split=of[film.patient]) for film in films])


def pakistan(root: Path) -> Found:
    """Films with tuberculosis or without, no patients named (Kiran, Jabeen).

    ``Normal Chest X-rays/others (N).jpg`` and ``TB Chest X-rays/TB.N.jpg``, as repositories that
    unpack doi:10.17632/8j2g3csprk.2 quote them. All are ``test``: nobody can say that no patient
    would be in two splits.
    """
    films = []
    for folder, label in (("Normal", "normal"), ("TB", "tuberculosis")):
        found = shallowest(root, f"{folder} Chest X-rays")
        paths = images_in(found, ".jpg", ".jpeg", ".png")
        films += [Film(path, plain_name(path), label, "", "test") for path in paths]
    return Found(films)
