"""Ultrasound as its publishers ship it, a function a set (`quantize.originals`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quantize.data import DataError, read_grey
from quantize.leaks import fingerprints, twins
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
    from collections.abc import Sequence
    from pathlib import Path


def breast(root: Path) -> Found:
    """Breast ultrasound: normal, benign or malignant (BUSI, Al-Dhabyani and others).

    ``<class>/<class> (N).png`` with ``_mask.png`` and, for a second lesion, ``_mask_1.png``, as
    repositories that read ``Dataset_BUSI_with_GT`` quote it (doi:10.1016/j.dib.2019.104863). No
    patients are named: images that show the same (`quantize.leaks`) count as one patient, and are
    left out where their labels differ.
    """
    top = shallowest(root, "benign").parent
    pairs = []
    for label in ("benign", "malignant", "normal"):
        if not (top / label).is_dir():
            raise DataError(f"There is no {top / label}.")
        images = images_in(top / label, ".png")
        pairs += [(path, label) for path in images if "_mask" not in path.stem]
    group = _groups([path for path, _ in pairs])
    told: dict[int, set[str]] = {}
    for number, (_, label) in zip(group, pairs, strict=True):
        told.setdefault(number, set()).add(label)
    names = {number: f"dupgroup:{plain_name(pairs[number][0])}" for number in told}
    of = splits(names[number] for number in told if len(told[number]) == 1)
    films = []
    for number, (path, label) in zip(group, pairs, strict=True):
        masks = sorted(path.parent.glob(f"{path.stem}_mask*.png")) if label != "normal" else []
        patient = names[number]
        if patient in of:
            films.append(
                Film(path, plain_name(path), label, patient, of[patient], masks=tuple(masks))
            )
    absent = len(pairs) - len(films)
    words = f"{absent} show the same as an image with another label"
    return Found(films, [words] if absent else [])


def _groups(paths: Sequence[Path]) -> list[int]:
    """Give images that show the same one number, that of the first of them."""
    first = list(range(len(paths)))
    alone = [str(place) for place in first]
    for twin in twins(fingerprints(read_grey(path) for path in paths), alone):
        low, high = sorted((first[twin.first], first[twin.second]))
        first = [low if number == high else number for number in first]
    return first


def fetal(root: Path) -> Found:
    """Fetal heads in the standard plane, with their outlines (HC18, van den Heuvel and others).

    ``training_set/NNN_HC.png`` and ``NNN_2HC.png`` of one examination, each with
    ``_Annotation.png``, and ``training_set_pixel_size_and_HC.csv`` with ``filename``, ``pixel
    size(mm)`` and ``head circumference (mm)``: read in a copy of doi:10.5281/zenodo.1327317. The
    publisher's test set has no circumferences and is not used.
    """
    table = shallowest(root, "training_set_pixel_size_and_HC.csv")
    folder = shallowest(root, "*_HC_Annotation.png").parent
    size, circumference = "pixel size(mm)", "head circumference (mm)"
    films = []
    for row in rows_of(table, "filename", size, circumference):
        path = folder / row["filename"]
        outline = path.with_name(f"{path.stem}_Annotation.png")
        known = {"hc_mm": str(float(row[circumference]))}
        patient = f"hc18-{path.stem.split('_')[0]}"
        spacing = float(row[size])
        films.append(Film(path, path.stem, "fetal_head", patient, "", known, (outline,), spacing))
    of = splits(film.patient for film in films)
    return present([replace(film, split=of[film.patient]) for film in films])


_LUNG_LABELS = {
    "regular": "healthy",
    "COVID-19": "covid19",
    "Bacterial pneumonia": "bacterial_pneumonia",
    "Viral pneumonia": "viral_pneumonia",
}
_LUNG_LICENCES = ("CC BY 4.0", "CC BY 2.0")
_LUNG_SIGNS = {
    "blines": "B-lines",
    "alines": "A-lines",
    "consolidation": "Consolidations",
    "effusion": "Effusion",
    "pleural_irreg": "Pleural line irregularities",
}


def lung_ultrasound(root: Path) -> Found:
    """Lung ultrasound, images and cine loops, of healthy and sick (Born and others).

    ``data/dataset_metadata.csv`` (``Filename`` without suffix) beside ``pocus_images`` and
    ``pocus_videos``, each with ``convex`` and ``linear``: read in github.com/jannisborn/
    covid19_ultrasound. Only what its table marks as CC BY 4.0 or 2.0, and names a patient of, is
    used.
    """
    table = shallowest(root, "dataset_metadata.csv")
    columns = ("Filename", "Label", "License", "LinkToLicense", "URL (Video Name)", "Probe",
               "Patient ID / Name", *_LUNG_SIGNS.values())  # fmt: skip
    where = {
        path.stem: path
        for folder in ("pocus_images", "pocus_videos")
        for path in sorted((table.parent / folder).rglob("*.*"))
    }
    films = []
    rows = rows_of(table, *columns)
    for row in rows:
        stem, patient = row["Filename"], row["Patient ID / Name"].strip()
        label = _LUNG_LABELS.get(row["Label"].strip())
        if label is None or row["License"].strip() not in _LUNG_LICENCES or not patient:
            continue
        path = where.get(stem, table.parent / stem)
        known = {
            "video": stem,
            "probe": row["Probe"],
            "license": row["License"].strip(),
            "link": row["LinkToLicense"],
            "url": row["URL (Video Name)"],
        } | {column: row[sign] for column, sign in _LUNG_SIGNS.items()}
        cine = "pocus_videos" in path.parts
        films.append(Film(path, stem, label, f"pocus-{patient}", "", known, cine=cine))
    of = splits(film.patient for film in films)
    split = [replace(film, split=of[film.patient]) for film in films]
    why = "are not of such a licence, not labelled so, or of no named patient"
    return present(split, len(rows) - len(films), why)
