"""The openly licensed sets as their publishers ship them: where the films lie and what is known.

One function a set reads a folder in which the publisher's archives were unpacked, and says for each
film its label, patient and split; `ORIGINALS` lists them by name, and `quantize.adapt` writes a
folder with ``labels.csv`` from what they find. No pixel is changed here. Folders may lie at any
depth, since archives nest differently. Each docstring says where the layout was read.

Splits follow one rule, that of the sets the shipped models were made with: the patients, sorted,
are shuffled by one seed; the first fifth is the test split, the next tenth validation, the rest
training. A publisher's own test split is kept.
"""

from __future__ import annotations

import csv
import hashlib
import random
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from quantize.data import DataError, read_grey
from quantize.leaks import fingerprints, twins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_SEED = 20240601
_OLDEST_YEARS = 120  # the NIH table has a few ages above 400


@dataclass(frozen=True, slots=True)
class Film:
    """One original film, or one cine loop.

    Parameters
    ----------
    source
        The publisher's file.
    stem
        Name of the written file, without folder and suffix.
    known
        Further columns of the table, in order.
    masks
        Files whose union is the drawn region; where the set is `outlined`, its outline.
    mm_per_px
        Millimetres a pixel of the original; the table gets that of the written image.
    cine
        A moving picture, of which frames are taken.
    """

    source: Path
    stem: str
    label: str
    patient: str
    split: str
    known: Mapping[str, str] = field(default_factory=dict)
    masks: tuple[Path, ...] = ()
    mm_per_px: float | None = None
    cine: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a publisher's folder holds, and in words what was left out of it and why."""

    films: Sequence[Film]
    left_out: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Original:
    """A set by its publisher.

    Parameters
    ----------
    read
        Finds the films below a folder.
    where, unpack, layout
        Address, what to take from there, and what `read` looks for.
    side_px
        Longest side of a written image, as the shipped models' sets have it.
    square
        Squeezed to a square of that side, whatever the film's shape.
    crop
        Shares of the film cut off at its top, bottom, left and right.
    masked, outlined
        It has drawn regions; and those are outlines, to be filled.
    note
        What whoever uses the set must be told.
    """

    read: Callable[[Path], Found]
    where: str
    unpack: str
    layout: str
    side_px: int
    square: bool = False
    crop: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    masked: bool = False
    outlined: bool = False
    note: str = ""


def read_originals(name: str, root: Path) -> Found:
    """Find the films of the set `name` below `root`.

    Raises
    ------
    DataError
        If the set is not known, or `root` does not hold it as its publisher ships it; the sentence
        says what was looked for and where the set is to be had.
    """
    if name not in ORIGINALS:
        raise DataError(f"{name} is none of the sets with an adapter: {', '.join(ORIGINALS)}.")
    original = ORIGINALS[name]
    try:
        found = original.read(root)
    except (DataError, ValueError) as error:  # a number that is none, a text that is no text
        raise DataError(
            f"{str(error).rstrip('.')}. Looked for, below {root}: {original.layout}. "
            f"Get {name} from {original.where}: {original.unpack}."
        ) from error
    return found


# --- what they share ---


def splits(patients: Iterable[str], test_tenths: int = 2, val_tenths: int = 1) -> dict[str, str]:
    """Give each patient a split; the same patients always get the same ones."""
    order = sorted(set(patients))
    random.Random(_SEED).shuffle(order)  # noqa: S311 - no secret
    tenths = [place * 10 for place in range(len(order))]
    test, val = test_tenths * len(order), (test_tenths + val_tenths) * len(order)
    return {
        patient: "test" if tenth < test else "val" if tenth < val else "train"
        for patient, tenth in zip(order, tenths, strict=True)
    }


def _shallowest(root: Path, pattern: str) -> Path:
    """Find the match of a pattern nearest to `root`; macOS leaves shadows of files in archives."""
    matches = [p for p in root.rglob(pattern) if "__MACOSX" not in p.parts and p.name[:2] != "._"]
    if not matches:
        raise DataError(f"There is no {pattern}.")
    return min(matches, key=lambda path: (len(path.parts), path))


def _images(folder: Path, *suffixes: str) -> list[Path]:
    """List a folder's images in order of name."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.name[0] != "."]
    if not found:
        raise DataError(f"{folder} holds no {' or '.join(suffixes)}.")
    return sorted(found)


def _rows(table: Path, *columns: str) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        rows = list(reader)
    if missing:
        raise DataError(f"{table} has no column {', '.join(missing)}.")
    if not rows:
        raise DataError(f"{table} has no rows.")
    return rows


def _name(path: Path) -> str:
    """Make a plain name: ``benign (1).png`` is ``benign_1``."""
    return re.sub(r"[^\w-]+", "_", path.stem).strip("_")


def _present(films: Sequence[Film], others: int = 0, why: str = "") -> Found:
    """Leave out the rows of a table whose files are not there; `others` were left out before."""
    there = [film for film in films if film.source.is_file()]
    if not there:
        raise DataError("None of the table's images is there.")
    absent = len(films) - len(there)
    said = [f"{others} {why}"] if others else []
    return Found(there, [*said, f"{absent} listed in the table are not there"] if absent else said)


# --- the sets ---

_CHILD = re.compile(r"person(\d+)_(bacteria|virus)_|((?:NORMAL2-)?IM-\d+)|([A-Z]+)-(\d+)-\d+")


def _children(root: Path) -> Found:
    """Films of children with pneumonia or without (Kermany, Zhang, Goldbaum).

    ``ChestXRay2017.zip`` of version 2 names ``IM-0117-0001``, ``NORMAL2-IM-0383-0001`` and
    ``person1_bacteria_2``, persons counted anew in the test split; ``ZhangLabData.zip`` of version
    3 names ``(disease)-(patient)-(image)``. Both as repositories that unpack them quote them
    (doi:10.17632/rscbjbr9sj). A folder ``val``, which a much used copy has, is part of the
    publisher's training split. Copies, byte for byte, are taken once, from the test split first.
    """
    top = _shallowest(root, "train/NORMAL").parent.parent
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
        for path in _images(top / folder / label, ".jpeg", ".jpg"):
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


def _nih(root: Path) -> Found:
    """Films of adults, with no finding or with pneumonia (ChestX-ray14, Wang and others).

    ``Data_Entry_2017.csv`` says ``Patient Gender``, ``Data_Entry_2017_v2020.csv`` ``Patient Sex``
    (heads of both tables as quoted from nihcc.app.box.com/v/ChestXray-NIHCC); ages are bare years
    or, in an early sample, ``058Y``. Films with other findings only are left out.
    """
    table = _shallowest(root, "Data_Entry_2017*.csv")
    rows = _rows(table, "Image Index", "Finding Labels", "Patient ID", "Patient Age",
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
    return _present(split, len(rows) - len(films), "have other findings only")


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


def _shenzhen(root: Path) -> Found:
    """Films with tuberculosis or without, and their readings (Jaeger and others).

    ``CXR_png/CHNCXR_NNNN_{0,1}.png``, 1 for tuberculosis, and beside it a text a film:
    ``male 45yrs``, in some ``femal``, a comma, months or days, then the reading (the layout of
    ``ChinaSet_AllFiles.zip`` in the set's ReadMe and in repositories that read it). One film a
    patient; each class is split by itself.
    """
    folder = _shallowest(root, "CXR_png/CHNCXR_*.png").parent
    readings = _shallowest(root, "ClinicalReadings/CHNCXR_*.txt").parent
    films = []
    for path in _images(folder, ".png"):
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


def _hannover(root: Path) -> Found:
    """Films of adults with COVID-19 (Winther and others).

    ``png/<image_id>.png`` and ``data.csv`` with ``patient_id``, ``image_id``, ``sex``,
    ``icu_admission_offset`` and ``projection``, read in github.com/ml-workgroup/
    covid-19-image-repository. The splits are those of the set that the shipped models were made
    with.
    """
    table = _shallowest(root, "data.csv")
    columns = ("image_id", "patient_id", "sex", "projection", "icu_admission_offset")
    films = []
    for row in _rows(table, *columns):
        known = {
            "sex": row["sex"].replace("w", "f"),
            "view": row["projection"],
            "icu": "yes" if row["icu_admission_offset"] else "",
        }
        path = table.parent / "png" / f"{row['image_id']}.png"
        patient = f"mhh-{row['patient_id']}"
        films.append(Film(path, row["image_id"], "covid19", patient, "", known))
    of = splits(film.patient for film in films)
    return _present([replace(film, split=of[film.patient]) for film in films])


def _pakistan(root: Path) -> Found:
    """Films with tuberculosis or without, no patients named (Kiran, Jabeen).

    ``Normal Chest X-rays/others (N).jpg`` and ``TB Chest X-rays/TB.N.jpg``, as repositories that
    unpack doi:10.17632/8j2g3csprk.2 quote them. All are ``test``: nobody can say that no patient
    would be in two splits.
    """
    films = []
    for folder, label in (("Normal", "normal"), ("TB", "tuberculosis")):
        found = _shallowest(root, f"{folder} Chest X-rays")
        paths = _images(found, ".jpg", ".jpeg", ".png")
        films += [Film(path, _name(path), label, "", "test") for path in paths]
    return Found(films)


def _breast(root: Path) -> Found:
    """Breast ultrasound: normal, benign or malignant (BUSI, Al-Dhabyani and others).

    ``<class>/<class> (N).png`` with ``_mask.png`` and, for a second lesion, ``_mask_1.png``, as
    repositories that read ``Dataset_BUSI_with_GT`` quote it (doi:10.1016/j.dib.2019.104863). No
    patients are named: images that show the same (`quantize.leaks`) count as one patient, and are
    left out where their labels differ.
    """
    top = _shallowest(root, "benign").parent
    pairs = []
    for label in ("benign", "malignant", "normal"):
        if not (top / label).is_dir():
            raise DataError(f"There is no {top / label}.")
        images = _images(top / label, ".png")
        pairs += [(path, label) for path in images if "_mask" not in path.stem]
    group = _groups([path for path, _ in pairs])
    told: dict[int, set[str]] = {}
    for number, (_, label) in zip(group, pairs, strict=True):
        told.setdefault(number, set()).add(label)
    names = {number: f"dupgroup:{_name(pairs[number][0])}" for number in told}
    of = splits(names[number] for number in told if len(told[number]) == 1)
    films = []
    for number, (path, label) in zip(group, pairs, strict=True):
        masks = sorted(path.parent.glob(f"{path.stem}_mask*.png")) if label != "normal" else []
        patient = names[number]
        if patient in of:
            films.append(Film(path, _name(path), label, patient, of[patient], masks=tuple(masks)))
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


def _fetal(root: Path) -> Found:
    """Fetal heads in the standard plane, with their outlines (HC18, van den Heuvel and others).

    ``training_set/NNN_HC.png`` and ``NNN_2HC.png`` of one examination, each with
    ``_Annotation.png``, and ``training_set_pixel_size_and_HC.csv`` with ``filename``, ``pixel
    size(mm)`` and ``head circumference (mm)``: read in a copy of doi:10.5281/zenodo.1327317. The
    publisher's test set has no circumferences and is not used.
    """
    table = _shallowest(root, "training_set_pixel_size_and_HC.csv")
    folder = _shallowest(root, "*_HC_Annotation.png").parent
    size, circumference = "pixel size(mm)", "head circumference (mm)"
    films = []
    for row in _rows(table, "filename", size, circumference):
        path = folder / row["filename"]
        outline = path.with_name(f"{path.stem}_Annotation.png")
        known = {"hc_mm": str(float(row[circumference]))}
        patient = f"hc18-{path.stem.split('_')[0]}"
        spacing = float(row[size])
        films.append(Film(path, path.stem, "fetal_head", patient, "", known, (outline,), spacing))
    of = splits(film.patient for film in films)
    return _present([replace(film, split=of[film.patient]) for film in films])


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


def _lung_ultrasound(root: Path) -> Found:
    """Lung ultrasound, images and cine loops, of healthy and sick (Born and others).

    ``data/dataset_metadata.csv`` (``Filename`` without suffix) beside ``pocus_images`` and
    ``pocus_videos``, each with ``convex`` and ``linear``: read in github.com/jannisborn/
    covid19_ultrasound. Only what its table marks as CC BY 4.0 or 2.0, and names a patient of, is
    used.
    """
    table = _shallowest(root, "dataset_metadata.csv")
    columns = ("Filename", "Label", "License", "LinkToLicense", "URL (Video Name)", "Probe",
               "Patient ID / Name", *_LUNG_SIGNS.values())  # fmt: skip
    where = {
        path.stem: path
        for folder in ("pocus_images", "pocus_videos")
        for path in sorted((table.parent / folder).rglob("*.*"))
    }
    films = []
    rows = _rows(table, *columns)
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
    return _present(split, len(rows) - len(films), why)


ORIGINALS: dict[str, Original] = {
    "cxr_ped_pneumonia": Original(
        read=_children,
        where="https://data.mendeley.com/datasets/rscbjbr9sj/2",
        unpack="unpack ChestXRay2017.zip (version 3: ZhangLabData.zip)",
        layout="chest_xray/{train,test}/{NORMAL,PNEUMONIA}/*.jpeg",
        side_px=224,
        square=True,
    ),
    "cxr_nih_adult": Original(
        read=_nih,
        where="https://nihcc.app.box.com/v/ChestXray-NIHCC",
        unpack="take Data_Entry_2017_v2020.csv and unpack images_001.tar.gz to images_012.tar.gz, "
        "or as many of them as you want",
        layout="Data_Entry_2017*.csv and the PNG files that it lists",
        side_px=320,
        note="The NIH Clinical Center provided these images: say so, cite and link it. Labels were "
        "mined from reports.",
    ),
    "cxr_tb_shenzhen": Original(
        read=_shenzhen,
        where="https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/"
        "Shenzhen-Hospital-CXR-Set/index.html",
        unpack="take the folders CXR_png and ClinicalReadings, or unpack ChinaSet_AllFiles.zip",
        layout="CXR_png/CHNCXR_NNNN_{0,1}.png and ClinicalReadings/CHNCXR_NNNN_{0,1}.txt",
        side_px=128,
        square=True,
        note="No formal licence text is known: do not pass the images on.",
    ),
    "cxr_covid_hannover": Original(
        read=_hannover,
        where="https://github.com/ml-workgroup/covid-19-image-repository",
        unpack="clone it, or download it as a zip",
        layout="data.csv and beside it png/*.png",
        side_px=320,
    ),
    "cxr_tb_pakistan": Original(
        read=_pakistan,
        where="https://data.mendeley.com/datasets/8j2g3csprk/2",
        unpack="unpack Dataset of Tuberculosis Chest X-rays Images.zip",
        layout="the folders 'Normal Chest X-rays' and 'TB Chest X-rays' with JPEG images",
        side_px=236,
        crop=(0.08, 0.14, 0.04, 0.04),
        note="PRIVACY: names and dates of patients are written on many of these films. Strips were "
        "cut off at the edges, which does not take all of it away: look at every film, and delete "
        "those with legible writing, before you use or pass on any. The set is for measuring only, "
        "and only its normal films: those with tuberculosis are photographs of films, which any "
        "statistic tells from the others.",
    ),
    "us_breast_busi": Original(
        read=_breast,
        where="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
        unpack="unpack Dataset_BUSI.zip",
        layout="Dataset_BUSI_with_GT/{benign,malignant,normal}/*.png",
        side_px=256,
        square=True,
        masked=True,
        note="No patients are named: images that are no copies of each other may still be of one "
        "woman in two splits. Burnt-in calipers mark lesions.",
    ),
    "us_fetal_hc18": Original(
        read=_fetal,
        where="https://zenodo.org/records/1327317",
        unpack="unpack training_set.zip and take training_set_pixel_size_and_HC.csv",
        layout="training_set_pixel_size_and_HC.csv and training_set/*_HC.png with *_Annotation.png",
        side_px=320,
        masked=True,
        outlined=True,
    ),
    "us_lung_pocus": Original(
        read=_lung_ultrasound,
        where="https://github.com/jannisborn/covid19_ultrasound",
        unpack="clone it, or download it as a zip",
        layout="dataset_metadata.csv and beside it pocus_images and pocus_videos",
        side_px=320,
        note="Healthy and sick come from different clinics and probes: no claim about accuracy.",
    ),
}
