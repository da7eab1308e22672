"""May this model read this image? The header held against a model's intended use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.domain import Channel, Kind, Reason
from appliance.errors import InferenceError, UnsupportedError
from appliance.manifest import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


# The kinds that the gate tells, by what a model is made for: modalities, and one of the body parts.
_ULTRASOUND = frozenset({"US"})
_KINDS = {
    "frontal_chest": (_FILMS, frozenset({"CHEST"})),
    "breast_ultrasound": (_ULTRASOUND, frozenset({"BREAST"})),
    "fetal_head_ultrasound": (_ULTRASOUND, frozenset({"HEAD", "FETUS"})),
    "lung_ultrasound": (_ULTRASOUND, frozenset({"CHEST", "LUNG"})),
}
_KIND_WORDS = {
    "frontal_chest": "a frontal chest film",
    "breast_ultrasound": "a breast ultrasound image",
    "fetal_head_ultrasound": "an ultrasound image of a fetal head",
    "lung_ultrasound": "a lung ultrasound image",
}
_OTHER = "other"
_HALF = 0.5


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
    """Which model may read the image.

    Parameters
    ----------
    index
        Its place in `models`.
    notes
        What stays unknown.
    doubt
        Why the model's answer must not be given: the image may be of another kind. None where
        nothing speaks against it.
    """

    index: int
    notes: tuple[Reason, ...]
    doubt: Reason | None = None


def kind_of(shares: Mapping[str, float], gate: ModelManifest) -> Kind:
    """Return what an image is.

    Parameters
    ----------
    shares
        Code of each kind to its share of the answer (0 to 1, together 1).
    gate
        The manifest of the model that gave them, with its operating points.
    """
    points = {point.output: point.threshold for point in gate.operating_points}
    code = max(shares, key=lambda kind: shares[kind])
    share = shares[code]
    if share < _HALF:
        return Kind(_OTHER, shares.get(_OTHER, 0.0), sure=False)
    return Kind(code, share, sure=share >= points.get(code, _HALF))


def kinds_read(use: IntendedUse) -> frozenset[str]:
    """Return the kinds that a model is made for; empty where the gate knows none of them."""
    parts = {part.upper() for part in use.body_parts}
    return frozenset(
        code
        for code, (modalities, body_parts) in _KINDS.items()
        if modalities.intersection(use.modalities) and parts.intersection(body_parts)
    )


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
    kind: Kind | None = None,
) -> Scope:
    """Choose the model for an image by its header, and by what it shows where the header is silent.

    Parameters
    ----------
    requested
        A model id that a person asked for; the rules apply all the same.
    kind
        What the image is, or None where no model tells kinds on this box.

    Raises
    ------
    InferenceError
        No model is ready on this box.
    UnsupportedError
        No model here is made for this modality, body part, view, age or kind of image; the text
        says which of them and what to do.
    """
    fitting = [i for i, model in enumerate(models) if _is_meant(model, requested)]
    if not fitting:
        raise InferenceError(
            "No model is ready on this box. The image is kept; a person has to read it. "
            "`waypost check` says what is missing.",
            code="no_model",
        )
    by_header = [i for i in fitting if _modality_fits(header, models[i].intended_use)]
    if by_header:
        index = next((i for i in by_header if _shows(kind, models[i].intended_use)), by_header[0])
        use = models[index].intended_use
        notes = _check_use(header, use, policy, kind)
        _refuse_other_kind(kind, use)
        return Scope(index, notes, _doubt(kind, use))
    named = _MODALITIES.get(header.modality or "", f"image of modality {header.modality}")
    raise UnsupportedError(
        f"No model on this box reads this kind of image: {named}. The image is kept; a person has "
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


def _shows(kind: Kind | None, use: IntendedUse) -> bool:
    return kind is None or kind.code in kinds_read(use)


def _refuse_other_kind(kind: Kind | None, use: IntendedUse) -> None:
    """Raise where the image is of a kind that the model was not made for."""
    made_for = kinds_read(use)
    if kind is None or not made_for or kind.code in made_for:
        return
    wanted = " or ".join(words for code, words in _KIND_WORDS.items() if code in made_for)
    if kind.code in _KIND_WORDS:
        seen = f"This looks like {_KIND_WORDS[kind.code]}, not like {wanted}."
    else:
        seen = f"This does not look like {wanted}."
    raise UnsupportedError(
        f"{seen} If it is one, send it again: the whole image and nothing else around it. If it is "
        "not, a person has to read it.",
        code="other_kind",
    )


def _doubt(kind: Kind | None, use: IntendedUse) -> Reason | None:
    """Return why the answer is held back: the image is likely, but not surely, of the kind."""
    if kind is None or kind.sure or kind.code not in kinds_read(use):
        return None
    return Reason(
        "kind_doubtful",
        f"The box is not sure that this is {_KIND_WORDS[kind.code]}: a person should read it "
        "first. If it is a photograph of a film, take it again straight on, with the film filling "
        "the picture.",
    )


def _check_use(
    header: Header, use: IntendedUse, policy: Policy, kind: Kind | None
) -> tuple[Reason, ...]:
    notes = [
        _check_kind(header, use, kind),
        _check_view(header, use),
        _check_age(header, use, policy),
    ]
    return tuple(note for note in notes if note is not None)


def _check_kind(header: Header, use: IntendedUse, kind: Kind | None) -> Reason | None:
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
    if header.modality in _SILENT and kind is not None:
        return Reason(
            "kind_told_by_image",
            "The header does not say what kind of image this is; the box went by what it shows. "
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
