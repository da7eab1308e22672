"""May this model read this image? The header held against a model's intended use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.domain import Channel, Reason
from appliance.errors import InferenceError, UnsupportedError
from appliance.manifest import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.domain import Header
    from appliance.manifest import IntendedUse, ModelManifest

# Values of Modality (0008,0060), PS3.3 C.7.3.1.1.1, in words that a clinic uses.
_MODALITIES = {
    "CR": "X-ray film (CR)",
    "DX": "X-ray film (DX)",
    "RG": "X-ray film (RG)",
    "US": "ultrasound (US)",
    "MG": "mammogram (MG)",
    "XA": "angiogram (XA)",
    "CT": "CT slice (CT)",
    "MR": "MR slice (MR)",
    "NM": "nuclear medicine image (NM)",
}
# A picture without a header, or one whose header says nothing of its kind.
_SILENT = {None, "", "OT", "SC"}
# What machines write for the Standard's CHEST (PS3.16, CID 4).
_SYNONYMS = {"THORAX": "CHEST", "LUNG": "CHEST", "LUNGS": "CHEST"}
_FILMS = frozenset({"CR", "DX"})
_LATERAL = {"LL", "RL", "LATERAL", "LAT"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What the site decides about unknown things.

    Parameters
    ----------
    refuse_unknown_age
        Refuse an image whose patient's age is unknown, instead of reading it and saying so.
    """

    refuse_unknown_age: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """The place in `models` of the model that may read the image, and what stays unknown."""

    index: int
    notes: tuple[Reason, ...]


def channel_of(header: Header) -> Channel:
    """Return how the film became an image: a file without a DICOM header counts as a photograph.

    So does a Secondary Capture: a scanner or a camera wrapped as DICOM (PS3.3 C.8.6.1). A digital
    image that was saved as PNG cannot be told from a photograph of a film, and its grey scale has
    been changed like one's.
    """
    if header.transfer_syntax_uid is None or header.modality in _SILENT:
        return Channel.PHOTOGRAPHED
    return Channel.DIGITAL


def choose_model(
    header: Header,
    models: Sequence[ModelManifest],
    *,
    requested: str | None = None,
    policy: Policy,
) -> Scope:
    """Choose the model for an image by its header.

    Parameters
    ----------
    requested
        A model id that a person asked for; the rules apply all the same.

    Raises
    ------
    InferenceError
        No model is ready on this box.
    UnsupportedError
        No model here is made for this modality, body part, view or age; the text says which of
        them and what to do.
    """
    fitting = [i for i, model in enumerate(models) if _is_meant(model, requested)]
    if not fitting:
        raise InferenceError(
            "No model is ready on this box. The image is kept; a person has to read it. "
            "`waypost check` says what is missing.",
            code="no_model",
        )
    for index in fitting:
        if _modality_fits(header, models[index].intended_use):
            return Scope(index, _check_use(header, models[index].intended_use, policy))
    kind = _MODALITIES.get(header.modality or "", f"image of modality {header.modality}")
    raise UnsupportedError(
        f"No model on this box reads this kind of image: {kind}. The image is kept; a person has "
        "to read it.",
        code="no_model_for_modality",
    )


def _is_meant(model: ModelManifest, requested: str | None) -> bool:
    """Whether a model may be chosen at all.

    A model of kinds never reads. One that only outlines reads a film when a person asks for it: a
    reading without findings that nobody asked for would look like a film without disease.
    """
    if model.task is Task.KIND:
        return False
    if requested is not None:
        return model.id == requested
    return model.task is Task.CLASSIFICATION or not _FILMS.intersection(
        model.intended_use.modalities
    )


def _modality_fits(header: Header, use: IntendedUse) -> bool:
    return header.modality in use.modalities or header.modality in _SILENT


def _check_use(header: Header, use: IntendedUse, policy: Policy) -> tuple[Reason, ...]:
    notes = [
        _check_kind(header, use),
        _check_view(header, use),
        _check_age(header, use, policy),
    ]
    return tuple(note for note in notes if note is not None)


def _check_kind(header: Header, use: IntendedUse) -> Reason | None:
    if header.body_part_examined:
        if not _names_one_of(header.body_part_examined, use.body_parts):
            raise UnsupportedError(
                f"The header says that this is another body part ({header.body_part_examined}). "
                "If that is wrong, correct the entry at the X-ray machine and send it again.",
                code="other_body_part",
            )
        return None
    if header.transfer_syntax_uid is None:
        return Reason(
            "no_header",
            "A picture without a DICOM header: patient, view and age are unknown. "
            "Make sure that it is a frontal chest film.",
        )
    if header.modality in _SILENT:
        raise UnsupportedError(
            "The header does not say what kind of image this is. Set modality and body part at "
            "the machine and send it again.",
            code="unknown_kind",
        )
    return Reason(
        "body_part_unknown",
        "The header does not name the body part. Make sure that it is a frontal chest film.",
    )


def _names_one_of(text: str, words: Sequence[str]) -> bool:
    found = {_SYNONYMS.get(word, word) for word in re.split(r"[^A-Z]+", text.upper())}
    return any(word.upper() in found for word in words)


def _check_view(header: Header, use: IntendedUse) -> Reason | None:
    view = (header.view_position or "").upper()
    if view in _LATERAL:
        raise UnsupportedError(
            "This is a lateral film; the model reads frontal films only. Send the frontal film.",
            code="lateral_view",
        )
    if not view and header.transfer_syntax_uid is not None:
        return Reason(
            "view_unknown", "The header does not say the view; a frontal film is assumed."
        )
    if view and view not in {v.upper() for v in use.views}:
        return Reason(
            "view_unknown",
            f"The view {view} is not one that the model knows; a frontal film is assumed.",
        )
    return None


def _check_age(header: Header, use: IntendedUse, policy: Policy) -> Reason | None:
    age = header.patient_age_years
    youngest, oldest = use.age_years
    if age is None:
        if policy.refuse_unknown_age:
            raise UnsupportedError(
                "The patient's age is unknown, and this site reads no image without it. Enter "
                "the age at the machine and send it again.",
                code="age_unknown",
            )
        if header.transfer_syntax_uid is None:
            return None  # said by `no_header` already
        return Reason(
            "age_unknown",
            "The patient's age is unknown; the model's age limits could not be checked.",
        )
    if not youngest <= age <= oldest:
        raise UnsupportedError(
            f"The model is made for ages {youngest:g} to {oldest:g} years; this patient is "
            f"{age:g}. A person has to read it.",
            code="age_out_of_range",
        )
    return None
