"""The straight way of one image, top to bottom: the table of contents of the project.

decode -> scope -> quality -> preprocess -> predict -> calibration -> triage -> explain; a model
that outlines goes from predict to measure instead. The image is looked at once (`sight`): what it
is and which way up, for the scope and the quality check, and where the lungs are. The models are
shown what was set upright, and what they say is brought back to the image as it is stored. A model
whose manifest asks for a frame gets it from the same outline.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from appliance import calibration, preprocess
from appliance.domain import Frame, Reading, ReadingState, Reason, Timings, Urgency
from appliance.errors import InferenceError, RefusedError, WaypostError
from appliance.explain import explain, region_of
from appliance.manifest import Task
from appliance.measure import frame_or_doubt, measure, outline
from appliance.quality import (
    Bounds,
    as_stored,
    check_film,
    check_quality,
    outline_as_stored,
    to_grey,
)
from appliance.scope import channel_of, choose_model, kind_of
from appliance.sight import Eyes, Reader
from appliance.triage import urgency_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from appliance.domain import (
        ChosenPoint,
        DecodedImage,
        Explanation,
        Finding,
        Header,
        Kind,
        ModelUse,
        OperatingPoint,
        PointState,
        Quality,
        ReadAnyway,
    )
    from appliance.inference.predict import Prediction
    from appliance.manifest import FrameRule, ModelManifest
    from appliance.quality import Stance
    from appliance.scope import Policy
    from appliance.sight import Sight

    Kinds = Mapping[str, Mapping[str, float]]

__all__ = ["Pipeline", "Reader"]

# Evidence of one cell of the class activation map, in logits, that is drawn at full strength.
_FULL_EVIDENCE = 12.0
_WHOLE_IMAGE = Reason(
    "whole_image",
    "The model is made for the part around the lungs, but the lungs could not be outlined, so it "
    "was shown the whole image. Look at this film with care.",
)


class Pipeline:
    """Reads one image at a time; it knows no database, no network and no configuration.

    Parameters
    ----------
    decode
        Turns untrusted bytes into pixels (the limited child process).
    readers
        The models that passed their golden vectors here.
    policy
        What the site decides about unknown things.
    """

    def __init__(
        self,
        decode: Callable[[bytes], DecodedImage],
        readers: Sequence[Reader],
        policy: Policy,
    ) -> None:
        self._decode = decode
        self._readers = tuple(readers)
        self._eyes = Eyes(self._readers)
        self._policy = policy

    def read(
        self,
        content: bytes,
        *,
        model_id: str | None = None,
        points: Sequence[ChosenPoint] = (),
        uses: Sequence[ModelUse] = (),
        anyway: ReadAnyway | None = None,
    ) -> tuple[Reading, DecodedImage | None]:
        """Read one file.

        Parameters
        ----------
        content
            Bytes of a DICOM Part 10, PNG or JPEG file.
        model_id
            The model that a person asked for, or None to choose by the header.
        points
            The operating points that the site chose; each holds for one model version and channel.
        uses
            Which versions and engines have read here, the first first.
        anyway
            A person's wish that the image be read even if the quality check stops it, or None.

        Returns
        -------
        Reading
            Whatever happens, an answer: read, abstained, refused or failed, with reasons.
        DecodedImage or None
            The pixels, when they could be decoded.
        """
        watch = _Watch()
        image: DecodedImage | None = None
        try:
            image = self._decode(content)
            watch.lap("decode")
            reading = self._read_image(image, _Asked(model_id, points, uses, anyway), watch)
        except RefusedError as error:
            reading = _without_numbers(ReadingState.REFUSED, error, image)
        except WaypostError as error:
            reading = _without_numbers(ReadingState.FAILED, error, image)
        return replace(reading, timings=watch.timings()), image

    def _read_image(self, image: DecodedImage, asked: _Asked, watch: _Watch) -> Reading:
        manifests = [reader.manifest for reader in self._readers]
        kinds = self._eyes.kinds(to_grey(image.pixels))
        scope = choose_model(
            image.header,
            manifests,
            requested=asked.model_id,
            policy=self._policy,
            kind=self._kind(kinds),
        )
        reader = self._readers[scope.index]
        notes = (*image.notes, *scope.notes)
        quality, sight = self._inspect(image, reader, kinds, asked.anyway)
        watch.lap("quality")
        if sight is None:
            return Reading(
                state=ReadingState.REFUSED,
                reasons=(*quality.reasons, *notes),
                model=reader.predictor.ref,
                quality=quality,
                urgency=urgency_of(ReadingState.REFUSED),
            )
        notes = (*_asked_for(asked.anyway), *quality.reasons, *notes)
        frame = self._frame(reader.manifest.input.frame, sight)
        if isinstance(frame, Reason):
            notes, frame = (frame, *notes), None
        batch = preprocess.prepare(sight.grey, reader.manifest.input, frame)
        watch.lap("preprocess")
        prediction = reader.predictor.predict(batch)
        watch.lap("predict")
        if reader.manifest.task is Task.SEGMENTATION:
            reading = _outlined(reader, prediction, notes, quality, sight.grey.shape)
        else:
            reading = _judge(
                reader, prediction, notes, quality, frame, _points(asked, reader, image.header)
            )
        if scope.doubt is not None:
            reading = _held_back(reading, scope.doubt)
        reading = _as_stored(_with_place(reading, sight), sight.stance, image.pixels.shape)
        watch.lap("explain")
        return reading

    def _kind(self, kinds: Kinds | None) -> Kind | None:
        """Return what the image is, or None where no model tells kinds on this box."""
        gate = self._eyes.gate
        return None if gate is None or kinds is None else kind_of(kinds["kind"], gate)

    def _inspect(
        self, image: DecodedImage, reader: Reader, kinds: Kinds | None, anyway: ReadAnyway | None
    ) -> tuple[Quality, Sight | None]:
        """Check the quality; what was seen is None where the image is not to be read.

        What fails as a picture of anything is not looked at further.
        """
        bounds = Bounds(min_side_px=reader.manifest.intended_use.min_side_px)
        quality = check_quality(image.pixels, bounds)
        if not quality.fit and anyway is None:
            return quality, None
        sight = self._eyes.look(to_grey(image.pixels), reader, kinds)
        quality = check_film(quality, sight.film, sight.stance)
        return quality, sight if quality.fit or anyway is not None else None

    def _frame(self, rule: FrameRule | None, sight: Sight) -> Frame | Reason | None:
        """Return the part of the image to show, None for all of it, or why it must be all of it.

        Raises
        ------
        InferenceError
            The model that outlines is not ready on this box, or fails.
        """
        if rule is None:
            return None
        outliner, places = self._eyes.outliner, sight.places
        if outliner is None or places is None or not outliner.draws_for(rule):
            raise InferenceError(
                f"The model that outlines ({rule.model}) is not ready on this box: install its "
                "package. The image is kept; a person has to read it.",
                code="no_model",
            )
        rows, columns = sight.grey.shape
        frame = frame_or_doubt(places, rows, columns, outliner.outputs[0].code, rule.margin)
        return frame if isinstance(frame, Frame) else _WHOLE_IMAGE


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of one reading; see `Pipeline.read`."""

    model_id: str | None
    points: Sequence[ChosenPoint]
    uses: Sequence[ModelUse]
    anyway: ReadAnyway | None


def _points(
    asked: _Asked, reader: Reader, header: Header
) -> tuple[Mapping[str, OperatingPoint], PointState]:
    """Return the points that the site chose for what answered, and how the others stand."""
    ref, channel = reader.predictor.ref, channel_of(header)
    held = calibration.holding(asked.points, asked.uses, ref, channel)
    chosen = calibration.chosen_for(held, reader.manifest, channel)
    return chosen, calibration.default_state(asked.uses, ref, channel)


def _asked_for(anyway: ReadAnyway | None) -> tuple[Reason, ...]:
    if anyway is None:
        return ()
    when = f"{anyway.asked_at:%Y-%m-%d %H:%M} UTC"
    return (
        Reason("read_anyway", f"Read anyway, asked for by {anyway.actor}, {when}: {anyway.why}"),
    )


def _held_back(reading: Reading, doubt: Reason) -> Reading:
    """Take the answer out of a reading: the image may be none that the model was made for."""
    return replace(
        reading,
        state=ReadingState.ABSTAINED,
        reasons=(doubt, *reading.reasons),
        findings=(),
        measurements=(),
        explanation=None,
        outlines=(),
        urgency=urgency_of(ReadingState.ABSTAINED),
    )


def _with_place(reading: Reading, sight: Sight) -> Reading:
    """Name the place of most of the evidence, where the lungs are outlined and the sides sure."""
    drawn, film = reading.explanation, sight.film
    doubtful = reading.quality is not None and any(
        reason.code == "mirrored" for reason in reading.quality.reasons
    )
    if drawn is None or film is None or film.lungs is None or doubtful:
        return reading
    rows, columns = sight.grey.shape
    region = region_of(drawn, film.lungs.astype(np.uint8), (rows, columns))
    return replace(reading, explanation=replace(drawn, region=region))


def _as_stored(reading: Reading, stance: Stance, shape: tuple[int, ...]) -> Reading:
    """Bring what was drawn on the upright film back to the film as it is stored."""
    drawn = reading.explanation
    return replace(
        reading,
        explanation=None if drawn is None else as_stored(drawn, stance, shape[0], shape[1]),
        outlines=tuple(outline_as_stored(region, stance) for region in reading.outlines),
    )


def _judge(
    reader: Reader,
    prediction: Prediction,
    notes: tuple[Reason, ...],
    quality: Quality,
    frame: Frame | None,
    points: tuple[Mapping[str, OperatingPoint], PointState],
) -> Reading:
    """Turn logits into findings, or into an honest *not sure*."""
    manifest = reader.manifest
    probabilities = calibration.probabilities(prediction.logits, manifest)
    unsure = [
        rule.output
        for rule in manifest.abstention
        if calibration.abstains(probabilities[rule.output], rule)
    ]
    if unsure:
        return Reading(
            state=ReadingState.ABSTAINED,
            reasons=(*(_not_sure(manifest, code) for code in unsure), *notes),
            model=reader.predictor.ref,
            quality=quality,
            urgency=urgency_of(ReadingState.ABSTAINED),
            research=probabilities,
        )
    findings = calibration.findings(probabilities, manifest, *points)
    return Reading(
        state=ReadingState.READ,
        reasons=notes,
        model=reader.predictor.ref,
        findings=findings,
        quality=quality,
        urgency=urgency_of(ReadingState.READ, findings),
        explanation=_explanation(findings, prediction, frame),
        research=probabilities,
    )


def _outlined(
    reader: Reader,
    prediction: Prediction,
    notes: tuple[Reason, ...],
    quality: Quality,
    shape: tuple[int, ...],
) -> Reading:
    """Turn a map of places into an outline and its measurement, or into an honest *not found*.

    Nobody has looked for a disease, so the case waits as one that nobody has read.
    """
    output = reader.manifest.outputs[0]
    drawn = outline(prediction.cam[0], shape[0], shape[1], output.code, output.label)
    measured = measure(drawn)
    if isinstance(measured, Reason):
        return Reading(
            state=ReadingState.ABSTAINED,
            reasons=(measured, *notes),
            model=reader.predictor.ref,
            quality=quality,
            urgency=urgency_of(ReadingState.ABSTAINED),
        )
    return Reading(
        state=ReadingState.READ,
        reasons=notes,
        model=reader.predictor.ref,
        measurements=(measured,),
        quality=quality,
        urgency=Urgency.WAITING,
        outlines=(drawn,),
    )


def _explanation(
    findings: Sequence[Finding], prediction: Prediction, frame: Frame | None
) -> Explanation:
    """Explain the most probable finding."""
    index = max(range(len(findings)), key=lambda i: findings[i].probability)
    return explain(prediction.cam[index], findings[index].code, _FULL_EVIDENCE, frame)


def _not_sure(manifest: ModelManifest, code: str) -> Reason:
    label = next(output.label for output in manifest.outputs if output.code == code)
    return Reason(
        "not_sure",
        f"Not sure about {label.lower()}: a person should read this first. The model's answer "
        "lies where it is wrong too often.",
    )


def _without_numbers(
    state: ReadingState, error: WaypostError, image: DecodedImage | None
) -> Reading:
    notes = () if image is None else image.notes
    return Reading(
        state=state,
        reasons=(Reason(error.code, error.text), *notes),
        urgency=urgency_of(state),
    )


class _Watch:
    """Milliseconds a stage, on the monotonic clock."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage] = (now - self._last) * 1000.0
        self._last = now

    def timings(self) -> Timings:
        total = (time.perf_counter() - self._start) * 1000.0
        return Timings(**self._laps, total=total)
