"""Publishers' originals, drawn small in the layouts that they ship; no torch needed."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from quantize.__main__ import main
from quantize.adapt import adapt
from quantize.data import DataError, SiteSpec, read_site
from quantize.originals import ORIGINALS
from quantize.published import splits
from quantize.segment_data import load_films, read_outlined

Rows = list[dict[str, str]]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "datasets.md"


def draw(path: Path, shape: tuple[int, ...] = (60, 80), seed: int | None = None) -> Path:
    """Write a picture like no other: its noise is seeded by its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(str(path).encode()) if seed is None else seed)
    blurred = cv2.GaussianBlur(rng.integers(0, 256, shape, dtype=np.uint8), (0, 0), 5)
    assert cv2.imwrite(str(path), cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX))
    return path


def write_table(path: Path, head: str, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join((head, *rows)) + "\n", encoding="utf-8")


def rows_of(table: Path) -> Rows:
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def by_file(table: Path) -> dict[str, dict[str, str]]:
    return {Path(row["file"]).stem: row for row in rows_of(table)}


def size(table: Path, row: dict[str, str], column: str = "file") -> tuple[int, int]:
    grey = cv2.imread(str(table.parent / row[column]), cv2.IMREAD_UNCHANGED)
    assert grey.ndim == 2  # grey, whatever the original was
    return grey.shape


def check_patients(rows: Rows) -> None:
    split_of: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        split_of[row["patient"]].add(row["split"])
    assert all(len(found) == 1 for found in split_of.values())
    assert {row["split"] for row in rows} == {"train", "val", "test"}


# --- children ---


def draw_children(root: Path) -> None:
    top = root / "ChestXRay2017" / "chest_xray"
    for number in range(30):
        draw(top / "train" / "NORMAL" / f"IM-{115 + number:04d}-0001.jpeg", (60, 80, 3))
        kind = ("bacteria", "virus")[number % 2]
        for film in range(2):
            draw(top / "train" / "PNEUMONIA" / f"person{number}_{kind}_{10 * number + film}.jpeg")
    draw(top / "test" / "NORMAL" / "NORMAL2-IM-0007-0001.jpeg")
    draw(top / "test" / "PNEUMONIA" / "person1_virus_6.jpeg", seed=6)
    draw(top / "train" / "PNEUMONIA" / "person77_virus_6.jpeg", seed=6)  # the same film again
    shadow = root / "__MACOSX" / "chest_xray" / "train" / "NORMAL"
    shadow.mkdir(parents=True)
    (shadow / "._IM-0115-0001.jpeg").write_bytes(b"no image")


def test_childrens_films_keep_the_official_test_split(tmp_path: Path) -> None:
    draw_children(tmp_path / "originals")
    adapted = adapt("cxr_ped_pneumonia", tmp_path / "originals", tmp_path / "out")
    rows = by_file(adapted.table)
    tested = {stem for stem, row in rows.items() if row["split"] == "test"}
    assert tested == {"test_NORMAL2-IM-0007-0001", "test_person1_virus_6"}
    # persons are counted anew in each split, so these are two
    assert rows["test_person1_virus_6"]["patient"] == "test-person1"
    assert rows["train_person1_virus_10"]["patient"] == "train-person1"
    assert rows["train_person1_virus_10"]["subtype"] == "virus"
    assert rows["train_IM-0115-0001"]["patient"] == "IM-0115"
    assert rows["train_IM-0115-0001"]["label"] == "normal"
    assert "train_person77_virus_6" not in rows
    assert adapted.notes == ["left out: 1 are copies of another film"]
    assert {size(adapted.table, row) for row in rows.values()} == {(224, 224)}
    check_patients(list(rows.values()))
    val = {row["patient"] for row in rows.values() if row["split"] == "val"}
    assert len(val) == 6  # a tenth of 60 patients of the official training split
    spec = SiteSpec("cxr_ped_pneumonia", ("pneumonia",), ("normal",))
    assert len(read_site(tmp_path / "out", spec)) == len(rows)


def test_childrens_films_of_the_third_version_are_read_too(tmp_path: Path) -> None:
    top = tmp_path / "originals" / "CellData" / "chest_xray"
    for number in range(20):
        draw(top / "train" / "NORMAL" / f"NORMAL-{1000 + number}-0001.jpeg")
        draw(top / "train" / "PNEUMONIA" / f"BACTERIA-{2000 + number}-0001.jpeg")
    draw(top / "train" / "PNEUMONIA" / "VIRUS-42-0002.jpeg")
    draw(top / "test" / "PNEUMONIA" / "VIRUS-42-0001.jpeg")
    draw(top / "test" / "NORMAL" / "NORMAL-43-0001.jpeg")
    adapted = adapt("cxr_ped_pneumonia", tmp_path / "originals", tmp_path / "out")
    rows = by_file(adapted.table)
    assert rows["test_VIRUS-42-0001"]["patient"] == "child-42"
    assert rows["test_VIRUS-42-0001"]["subtype"] == "virus"
    assert "train_VIRUS-42-0002" not in rows
    assert adapted.notes == ["left out: 1 are of patients of the test split"]


def test_a_film_with_another_name_is_said(tmp_path: Path) -> None:
    draw_children(tmp_path)
    draw(tmp_path / "ChestXRay2017" / "chest_xray" / "test" / "NORMAL" / "holiday.jpeg")
    with pytest.raises(DataError, match=r"holiday\.jpeg is not named as the publisher"):
        adapt("cxr_ped_pneumonia", tmp_path, tmp_path / "out")


# --- ChestX-ray14 ---

NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient {},View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


@pytest.mark.parametrize(
    ("table", "sex"), [("Data_Entry_2017.csv", "Gender"), ("Data_Entry_2017_v2020.csv", "Sex")]
)
def test_both_tables_of_chest_xray14_are_read(tmp_path: Path, table: str, sex: str) -> None:
    listed = []
    for number in range(1, 31):
        found = ("No Finding", "Infiltration|Pneumonia", "Effusion")[number % 3]
        index = f"{number:08d}_000.png"
        listed.append(f"{index},{found},0,{number},{40 + number},M,AP,2500,2048,0.168,0.168,")
        draw(tmp_path / "in" / f"images_{number % 3:03d}" / "images" / index, (512, 512))
    listed.append("00000003_001.png,Pneumonia,1,3,412,F,PA,2500,2048,0.168,0.168,")
    draw(tmp_path / "in" / "images_001" / "images" / "00000003_001.png", (512, 512, 4))
    listed.append("00000099_000.png,Pneumonia,0,99,058Y,F,PA,2500,2048,0.168,0.168,")
    write_table(tmp_path / "in" / table, NIH.format(sex), *listed)
    adapted = adapt("cxr_nih_adult", tmp_path / "in", tmp_path / "out")
    rows = by_file(adapted.table)
    assert len(rows) == 21  # those with an effusion alone are left out
    assert rows["00000003_000"]["label"] == "no_finding"
    assert rows["00000001_000"]["label"] == "pneumonia"
    assert rows["00000001_000"]["findings"] == "Infiltration|Pneumonia"
    assert rows["00000001_000"]["patient"] == "nih00000001"
    told = [rows["00000001_000"][column] for column in ("age", "sex", "view")]
    assert told == ["41", "M", "AP"]
    assert rows["00000003_001"]["age"] == ""  # nobody is 412
    assert adapted.notes[:2] == [
        "left out: 10 have other findings only",
        "left out: 1 listed in the table are not there",
    ]
    assert "NIH Clinical Center" in adapted.notes[2]
    assert size(adapted.table, rows["00000003_001"]) == (320, 320)
    check_patients(list(rows.values()))


def test_a_part_of_the_archives_gives_the_same_splits(tmp_path: Path) -> None:
    listed = [f"{n:08d}_000.png,No Finding,0,{n},50,M,PA" for n in range(1, 31)]
    tables = []
    for folder, there in (("all", range(1, 31)), ("part", range(1, 31, 2))):
        head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,"
        write_table(
            tmp_path / folder / "Data_Entry_2017_v2020.csv", f"{head}View Position", *listed
        )
        for number in there:
            draw(tmp_path / folder / "images" / f"{number:08d}_000.png")
        adapted = adapt("cxr_nih_adult", tmp_path / folder, tmp_path / "out" / folder)
        tables.append({stem: row["split"] for stem, row in by_file(adapted.table).items()})
    whole, part = tables
    assert len(part) == 15
    assert part.items() <= whole.items()


# --- Shenzhen, Hannover, Pakistan ---


def test_the_readings_of_shenzhen_are_understood(tmp_path: Path) -> None:
    readings = {
        "0001_0": ("male 45yrs\nnormal\n", "45", "M", "normal"),
        "0044_0": ("femal 32yrs\r\nnormal", "32", "F", "normal"),
        "0115_0": ("Male, 16month\nnormal", "1", "M", "normal"),
        "0202_0": ("female 64days\nnormal", "0", "F", "normal"),
        "0327_1": ("female , 28yrs\nSTB,\nleft  pleural thickening", "28", "F",
                   "STB, left pleural thickening"),
        "0328_1": ("", "", "", ""),
        "0329_1": ("male\nPTB", "", "M", "PTB"),
    }  # fmt: skip
    top = tmp_path / "ChinaSet_AllFiles"
    (top / "ClinicalReadings").mkdir(parents=True)
    for number in range(400, 430):
        readings[f"{number:04d}_{number % 2}"] = ("male 30yrs\nx", "30", "M", "x")
    for name, (text, *_) in readings.items():
        draw(top / "CXR_png" / f"CHNCXR_{name}.png", (300, 280, 3))
        (top / "ClinicalReadings" / f"CHNCXR_{name}.txt").write_text(text, encoding="utf-8")
    (top / "CXR_png" / "Thumbs.db").write_bytes(b"")
    adapted = adapt("cxr_tb_shenzhen", tmp_path, tmp_path / "out")
    rows = by_file(adapted.table)
    assert len(rows) == len(readings)
    for name, (_, *known) in readings.items():
        row = rows[f"CHNCXR_{name}"]
        assert [row["age"], row["sex"], row["findings"]] == known
        assert row["label"] == ("tuberculosis" if name[-1] == "1" else "normal")
        assert row["patient"] == f"shz{name[:4]}"
    assert size(adapted.table, rows["CHNCXR_0001_0"]) == (128, 128)
    for label in ("normal", "tuberculosis"):  # each class by itself
        check_patients([row for row in rows.values() if row["label"] == label])
    larger = adapt("cxr_tb_shenzhen", tmp_path, tmp_path / "larger", side_px=256)
    assert size(larger.table, rows["CHNCXR_0001_0"]) == (256, 256)


HANNOVER = "patient_id,image_id,sex,age,icu_admission_offset,modality,projection"


def test_hannovers_table_is_read(tmp_path: Path) -> None:
    listed = ["042f06a9,b343e657,m,,0.0,CR,ap", "0f2b9fbd,5f619d7e,w,,,DX,pa"]
    listed += [f"{n:08x},a{n:07x},f,,,CR,ap" for n in range(20)]
    write_table(tmp_path / "repository" / "data.csv", HANNOVER, *listed)
    for line in listed:
        draw(tmp_path / "repository" / "png" / f"{line.split(',')[1]}.png", (410, 500))
    adapted = adapt("cxr_covid_hannover", tmp_path, tmp_path / "out")
    rows = by_file(adapted.table)
    first = {"label": "covid19", "patient": "mhh-042f06a9", "sex": "m", "view": "ap", "icu": "yes"}
    assert first.items() <= rows["b343e657"].items()
    assert {"sex": "f", "view": "pa", "icu": ""}.items() <= rows["5f619d7e"].items()
    assert size(adapted.table, rows["b343e657"]) == (262, 320)
    check_patients(list(rows.values()))


def test_a_table_without_its_columns_is_said(tmp_path: Path) -> None:
    write_table(tmp_path / "data.csv", "patient_id,image_id,sex,icu_admission_offset", "1,2,m,")
    with pytest.raises(DataError, match=r"data\.csv has no column projection\. Looked for"):
        adapt("cxr_covid_hannover", tmp_path, tmp_path / "out")


def test_pakistans_films_are_cropped_and_only_measured(tmp_path: Path) -> None:
    top = tmp_path / "in" / "Dataset of Tuberculosis Chest X-rays Images"
    draw(top / "Normal Chest X-rays" / "others (119).jpg", (256, 256))
    draw(top / "TB Chest X-rays" / "TB.1020.jpg", (512, 512))
    arguments = ["adapt", "cxr_tb_pakistan", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "PRIVACY: names and dates of patients are written" in result.output
    assert "test: 1 normal, 1 tuberculosis" in result.output
    table = tmp_path / "out" / "cxr_tb_pakistan" / "labels.csv"
    rows = by_file(table)
    assert set(rows) == {"others_119", "TB_1020"}
    assert all(row["patient"] == "" and row["split"] == "test" for row in rows.values())
    assert {size(table, row) for row in rows.values()} == {(200, 236)}
    spec = SiteSpec("cxr_tb_pakistan", (), ("normal",), measure_only=True)
    assert [s.file for s in read_site(tmp_path / "out", spec)] == ["images/others_119.jpg"]
    with pytest.raises(DataError, match="has no patient"):
        read_site(tmp_path / "out", SiteSpec("cxr_tb_pakistan", ("tuberculosis",), ("normal",)))


# --- ultrasound ---


def test_masks_of_busi_are_joined_and_its_copies_kept_together(tmp_path: Path) -> None:
    top = tmp_path / "in" / "Dataset_BUSI_with_GT"
    for label in ("benign", "malignant", "normal"):
        for number in range(1, 11):
            draw(top / label / f"{label} ({number}).png", (100, 140, 3))
            cv2.imwrite(
                str(top / label / f"{label} ({number})_mask.png"), np.zeros((100, 140), np.uint8)
            )
    first, second = np.zeros((2, 100, 140), np.uint8)
    first[10:40, 10:40], second[60:90, 100:130] = 255, 255
    cv2.imwrite(str(top / "benign" / "benign (1)_mask.png"), first)
    cv2.imwrite(str(top / "benign" / "benign (1)_mask_1.png"), second)
    copy = cv2.imread(str(top / "benign" / "benign (1).png"))
    cv2.imwrite(str(top / "benign" / "benign (11).png"), cv2.convertScaleAbs(copy, alpha=0.95))
    doubtful = cv2.imread(str(top / "normal" / "normal (3).png"))
    cv2.imwrite(str(top / "malignant" / "malignant (11).png"), doubtful)
    adapted = adapt("us_breast_busi", tmp_path / "in", tmp_path / "out")
    rows = by_file(adapted.table)
    assert rows["benign_1"]["patient"] == rows["benign_11"]["patient"]
    assert rows["benign_1"]["patient"] != rows["benign_2"]["patient"]
    assert not {"normal_3", "malignant_11"} & set(rows)
    assert adapted.notes[0] == "left out: 2 show the same as an image with another label"
    assert rows["normal_1"]["mask"] == ""
    assert rows["benign_11"]["mask"] == ""  # no mask came with it
    mask = cv2.imread(str(adapted.table.parent / rows["benign_1"]["mask"]), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) == {0, 255}
    assert mask[60, 40] == mask[190, 210] == 255
    assert (mask > 0).mean() == pytest.approx(2 * 30 * 30 / (100 * 140), rel=0.05)
    check_patients(list(rows.values()))
    outlined = read_outlined(tmp_path / "out", "us_breast_busi", "mask")
    assert load_films(tmp_path / "out", outlined).masks[0].shape == (256, 256)


def draw_head(path: Path, centre: tuple[int, int], axes: tuple[int, int]) -> np.ndarray:
    """Draw a head and its outline of 3 pixels; give the filled ellipse."""
    draw(path, (540, 800))
    outline, filled = np.zeros((2, 540, 800), np.uint8)
    cv2.ellipse(outline, centre, axes, 30, 0, 360, 255, 3)
    cv2.ellipse(filled, centre, axes, 30, 0, 360, 255, -1)
    cv2.imwrite(str(path.with_name(f"{path.stem}_Annotation.png")), outline)
    return filled


HC18 = "filename,pixel size(mm),head circumference (mm)"


def test_the_outlines_of_hc18_are_filled_also_where_the_edge_cuts_them(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "training_set"
    heads = {
        "001_HC": draw_head(folder / "001_HC.png", (400, 270), (220, 160)),
        "010_2HC": draw_head(folder / "010_2HC.png", (640, 300), (250, 200)),
        "010_HC": draw_head(folder / "010_HC.png", (300, 250), (150, 120)),
    }
    names = [*heads, *(f"{n:03d}_HC" for n in range(100, 120))]
    for name in names[3:]:
        draw_head(folder / f"{name}.png", (400, 270), (100, 80))
    listed = [f"{name}.png,0.0896585200514,56.810" for name in names]
    write_table(tmp_path / "in" / "training_set_pixel_size_and_HC.csv", HC18, *listed)
    adapted = adapt("us_fetal_hc18", tmp_path / "in", tmp_path / "out")
    rows = by_file(adapted.table)
    assert rows["010_2HC"]["patient"] == rows["010_HC"]["patient"] == "hc18-010"
    assert rows["001_HC"]["hc_mm"] == "56.81"
    assert float(rows["001_HC"]["mm_per_px"]) == pytest.approx(0.2241463, rel=1e-6)
    assert size(adapted.table, rows["001_HC"]) == (216, 320)
    for name, filled in heads.items():
        path = adapted.table.parent / rows[name]["mask"]
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0
        true = cv2.resize(filled, (320, 216), interpolation=cv2.INTER_AREA) > 127
        assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.99
    check_patients(list(rows.values()))
    own = adapt("us_fetal_hc18", tmp_path / "in", tmp_path / "own", side_px=4000)
    assert size(own.table, rows["001_HC"]) == (540, 800)  # nothing is enlarged
    assert float(by_file(own.table)["001_HC"]["mm_per_px"]) == 0.0896585200514


LUNG = (
    "Filename,URL (Video Name),Label,License,LinkToLicense,Type,Probe,Patient ID / Name,Effusion,"
    "Consolidations,B-lines,A-lines,Pleural line irregularities"
)


def draw_loop(path: Path, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (96, 64))
    for number in range(frames):
        writer.write(np.full((64, 96, 3), 10 * number, np.uint8))
    writer.release()


def test_frames_are_taken_of_lung_loops_of_an_open_licence(tmp_path: Path) -> None:
    top = tmp_path / "repository" / "data"
    draw_loop(top / "pocus_videos" / "convex" / "Reg_pat1.avi", 21)
    draw_loop(top / "pocus_videos" / "linear" / "Cov_short.avi", 3)
    draw(top / "pocus_images" / "convex" / "Pneu_1.png", (400, 400, 3))
    draw(top / "pocus_images" / "convex" / "Cov_unnamed.png")
    draw(top / "pocus_images" / "convex" / "Cov_closed.png")
    by, nc = "CC BY 4.0,https://example.org/by", "CC BY-NC 4.0,https://example.org/nc"
    write_table(
        top / "dataset_metadata.csv",
        LUNG,
        f"Reg_pat1,charlotte,regular,{by},video,convex,4,0,0,0,1,0",
        f"Cov_short,paper,COVID-19,{by},video,linear,5,0,0,1,0,0",
        f"Pneu_1,paper,Bacterial pneumonia,{by},image,convex,6,1,1,0,0,0",
        f"Cov_unnamed,paper,COVID-19,{by},image,convex,,0,0,1,0,0",
        f"Cov_closed,paper,COVID-19,{nc},image,convex,7,0,0,1,0,0",
    )
    adapted = adapt("us_lung_pocus", tmp_path, tmp_path / "out")
    rows = by_file(adapted.table)
    loop = [f"Reg_pat1_{n:02d}" for n in range(10)]
    assert sorted(rows) == sorted([*loop, *(f"Cov_short_{n:02d}" for n in range(3)), "Pneu_1"])
    known = {"label": "healthy", "patient": "pocus-4", "probe": "convex", "alines": "1"}
    assert known.items() <= rows[loop[0]].items()
    assert rows["Pneu_1"]["label"] == "bacterial_pneumonia"
    assert size(adapted.table, rows["Pneu_1"]) == (320, 320)
    levels = [cv2.imread(str(adapted.table.parent / rows[name]["file"])).mean() for name in loop]
    assert levels == pytest.approx([10 * n for n in (0, 2, 4, 7, 9, 11, 13, 16, 18, 20)], abs=4)
    assert len({rows[name]["split"] for name in loop}) == 1
    assert adapted.notes[0].startswith("left out: 2 are not of such a licence")


# --- what holds for all ---


@pytest.mark.parametrize("name", ORIGINALS)
def test_an_empty_folder_is_answered_with_where_to_get_the_set(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as said:
        adapt(name, tmp_path, tmp_path / "out")
    for words in (ORIGINALS[name].where, ORIGINALS[name].layout, ORIGINALS[name].unpack):
        assert words in str(said.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ORIGINALS)
def test_every_set_with_an_adapter_is_documented(name: str) -> None:
    page = DOCS.read_text(encoding="utf-8")
    section = page[page.index("## From the publishers' originals") :]
    row = next(line for line in section.splitlines() if line.startswith(f"| `{name}` |"))
    assert ORIGINALS[name].where in row
    assert f"python -m quantize adapt {name} " in row


def test_an_unknown_set_and_a_table_that_exists_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="moon is none of the sets with an adapter: cxr_ped"):
        adapt("moon", tmp_path, tmp_path / "out")
    draw_children(tmp_path / "in")
    adapt("cxr_ped_pneumonia", tmp_path / "in", tmp_path / "out", most=2)
    with pytest.raises(DataError, match="exists already"):
        adapt("cxr_ped_pneumonia", tmp_path / "in", tmp_path / "out")
    arguments = ["adapt", "cxr_ped_pneumonia", str(tmp_path), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(main, arguments).exit_code == 1


def test_fewer_films_keep_their_splits_and_a_broken_one_is_said(tmp_path: Path) -> None:
    draw_children(tmp_path / "in")
    whole = by_file(adapt("cxr_ped_pneumonia", tmp_path / "in", tmp_path / "out").table)
    fewer = adapt("cxr_ped_pneumonia", tmp_path / "in", tmp_path / "fewer", most=7)
    some = by_file(fewer.table)
    assert [sum(r["label"] == k for r in some.values()) for k in ("normal", "pneumonia")] == [7, 7]
    assert all(row == whole[stem] for stem, row in some.items())
    top = tmp_path / "in" / "ChestXRay2017" / "chest_xray"
    (top / "train" / "NORMAL" / "IM-0999-0001.jpeg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"IM-0999-0001\.jpeg cannot be decoded"):
        adapt("cxr_ped_pneumonia", tmp_path / "in", tmp_path / "broken")
    assert not (tmp_path / "broken" / "cxr_ped_pneumonia" / "labels.csv").exists()


def test_a_split_takes_a_fifth_and_a_tenth_and_never_changes() -> None:
    of = splits(f"p{n:02d}" for n in range(20))
    counts = [sum(split == name for split in of.values()) for name in ("test", "val", "train")]
    assert counts == [4, 2, 14]
    assert of == splits(f"p{n:02d}" for n in reversed(range(20)))
    assert sorted(p for p, split in of.items() if split == "val") == ["p00", "p02"]


# --- beside the sets at hand ---


@pytest.mark.slow
def test_childrens_labels_and_tests_are_those_of_the_set_at_hand(
    waypost_data: Path, tmp_path: Path
) -> None:
    listed = by_file(waypost_data / "cxr_ped_pneumonia" / "labels.csv")
    top = tmp_path / "in" / "chest_xray"
    for stem, row in listed.items():
        folder, name = stem.split("_", 1)
        path = top / folder / row["label"].upper() / f"{name}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to((waypost_data / "cxr_ped_pneumonia" / row["file"]).resolve())
    adapted = adapt("cxr_ped_pneumonia", tmp_path / "in", tmp_path / "out", side_px=32)
    rows = by_file(adapted.table)
    assert adapted.notes == []
    assert set(rows) == set(listed)
    for stem, row in listed.items():
        for column in ("label", "subtype", "patient"):
            assert rows[stem][column] == row[column], stem
        assert (rows[stem]["split"] == "test") == (row["split"] == "test"), stem
    check_patients(list(rows.values()))


@pytest.mark.slow
def test_hannovers_table_comes_out_as_the_set_at_hand(waypost_data: Path, tmp_path: Path) -> None:
    site = waypost_data / "cxr_covid_hannover"
    listed = by_file(site / "labels.csv")
    lines = [
        f"{row['patient'].removeprefix('mhh-')},{stem},{row['sex']},,"
        f"{'0.0' if row['icu'] else ''},CR,{row['view']}"
        for stem, row in listed.items()
    ]
    write_table(tmp_path / "in" / "data.csv", HANNOVER, *lines)
    (tmp_path / "in" / "png").mkdir()
    for stem in listed:
        image = (site / "images" / f"{stem}.jpg").resolve()
        (tmp_path / "in" / "png" / f"{stem}.png").symlink_to(image)
    rows = by_file(adapt("cxr_covid_hannover", tmp_path / "in", tmp_path / "out").table)
    columns = ("file", "label", "patient", "sex", "view", "icu", "split")
    assert [[rows[stem][c] for c in columns] for stem in listed] == [
        [row[c] for c in columns] for row in listed.values()
    ]


@pytest.mark.slow
def test_filled_outlines_are_the_masks_at_hand(waypost_data: Path, tmp_path: Path) -> None:
    site = waypost_data / "us_fetal_hc18"
    listed = dict(list(by_file(site / "labels.csv").items())[:60])
    folder = tmp_path / "in" / "training_set"
    folder.mkdir(parents=True)
    lines = []
    for stem, row in listed.items():
        (folder / f"{stem}.png").symlink_to((site / row["file"]).resolve())
        mask = cv2.imread(str(site / row["mask"]), cv2.IMREAD_GRAYSCALE)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outline = cv2.drawContours(np.zeros_like(mask), contours, -1, 255, 1)
        cv2.imwrite(str(folder / f"{stem}_Annotation.png"), outline)
        lines.append(f"{stem}.png,{row['mm_per_px']},{row['hc_mm']}")
    write_table(tmp_path / "in" / "training_set_pixel_size_and_HC.csv", HC18, *lines)
    table = adapt("us_fetal_hc18", tmp_path / "in", tmp_path / "out").table
    for stem, row in by_file(table).items():
        for column in ("label", "patient", "mm_per_px"):
            assert row[column] == listed[stem][column], stem
        assert float(row["hc_mm"]) == float(listed[stem]["hc_mm"])
        made, true = (
            cv2.imread(str(place / entry["mask"]), cv2.IMREAD_GRAYSCALE) > 127
            for place, entry in ((table.parent, row), (site, listed[stem]))
        )
        assert 2 * (made & true).sum() / (made.sum() + true.sum()) > 0.98, stem
