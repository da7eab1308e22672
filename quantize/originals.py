"""The openly licensed sets as their publishers ship them, by name.

A function a set (`quantize.originals_chest`, `quantize.originals_ultrasound`) reads a folder in
which the publisher's archives were unpacked, and says for each film its label, patient and split;
`quantize.adapt` writes a folder with ``labels.csv`` from what it finds. No pixel is changed here.
Folders may lie at any depth, since archives nest differently. Each function's docstring says where
the layout was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantize.data import DataError
from quantize.originals_chest import children, hannover, nih, pakistan, shenzhen
from quantize.originals_ultrasound import breast, fetal, lung_ultrasound
from quantize.published import Found, Original

if TYPE_CHECKING:
    from pathlib import Path


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


ORIGINALS: dict[str, Original] = {
    "cxr_ped_pneumonia": Original(
        read=children,
        where="https://data.mendeley.com/datasets/rscbjbr9sj/2",
        unpack="unpack ChestXRay2017.zip (version 3: ZhangLabData.zip)",
        layout="chest_xray/{train,test}/{NORMAL,PNEUMONIA}/*.jpeg",
        side_px=224,
        square=True,
    ),
    "cxr_nih_adult": Original(
        read=nih,
        where="https://nihcc.app.box.com/v/ChestXray-NIHCC",
        unpack="take Data_Entry_2017_v2020.csv and unpack images_001.tar.gz to images_012.tar.gz, "
        "or as many of them as you want",
        layout="Data_Entry_2017*.csv and the PNG files that it lists",
        side_px=320,
        note="The NIH Clinical Center provided these images: say so, cite and link it. Labels were "
        "mined from reports.",
    ),
    "cxr_tb_shenzhen": Original(
        read=shenzhen,
        where="https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/"
        "Shenzhen-Hospital-CXR-Set/index.html",
        unpack="take the folders CXR_png and ClinicalReadings, or unpack ChinaSet_AllFiles.zip",
        layout="CXR_png/CHNCXR_NNNN_{0,1}.png and ClinicalReadings/CHNCXR_NNNN_{0,1}.txt",
        side_px=128,
        square=True,
        note="No formal licence text is known: do not pass the images on.",
    ),
    "cxr_covid_hannover": Original(
        read=hannover,
        where="https://github.com/ml-workgroup/covid-19-image-repository",
        unpack="clone it, or download it as a zip",
        layout="data.csv and beside it png/*.png",
        side_px=320,
    ),
    "cxr_tb_pakistan": Original(
        read=pakistan,
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
        read=breast,
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
        read=fetal,
        where="https://zenodo.org/records/1327317",
        unpack="unpack training_set.zip and take training_set_pixel_size_and_HC.csv",
        layout="training_set_pixel_size_and_HC.csv and training_set/*_HC.png with *_Annotation.png",
        side_px=320,
        masked=True,
        outlined=True,
    ),
    "us_lung_pocus": Original(
        read=lung_ultrasound,
        where="https://github.com/jannisborn/covid19_ultrasound",
        unpack="clone it, or download it as a zip",
        layout="dataset_metadata.csv and beside it pocus_images and pocus_videos",
        side_px=320,
        note="Healthy and sick come from different clinics and probes: no claim about accuracy.",
    ),
}
