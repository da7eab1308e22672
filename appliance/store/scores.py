"""Each reading's probabilities, also of a reading that shows none: for counting, never for a page.

A site's calibration and the watch over its stations need the score of every image that the model
saw; nothing here is shown beside a patient.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.domain import Channel, ModelUse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlite_utils import Database

    from appliance.domain import Reading


@dataclass(frozen=True, slots=True)
class StudyScore:
    """The highest score among a study's images, by one model version and channel.

    Parameters
    ----------
    age_years, sex
        As the header of that image says, or None.
    abstained
        Whether the box was not sure of it.
    """

    study_instance_uid: str
    probability: float
    age_years: float | None
    sex: str | None
    abstained: bool


def insert(db: Database, reading_id: int, reading: Reading, channel: Channel) -> None:
    """Keep what the model said, where it said something."""
    if reading.model is None:
        return
    for output, probability in reading.research.items():
        db.execute(
            "insert into score values (?, ?, ?, ?, ?, ?, ?)",
            [
                reading_id,
                output,
                reading.model.id,
                reading.model.version,
                reading.model.sha256,
                str(channel),
                probability,
            ],
        )


def of_studies(db: Database, model_sha256: str, output: str, channel: Channel) -> list[StudyScore]:
    """Return each study's highest score; of an image that was read twice the last one counts."""
    rows = db.execute(
        "select instance.study_instance_uid as study, max(score.probability) as probability,"
        " instance.header as header, reading.state as state"
        " from score join reading on reading.id = score.reading_id"
        " join instance on instance.id = reading.instance_id"
        " where score.model_sha256 = :sha and score.output = :output and score.channel = :channel"
        " and instance.study_instance_uid is not null"
        " and reading.id = (select max(r.id) from reading r join score s on s.reading_id = r.id"
        "   where r.instance_id = instance.id and s.model_sha256 = :sha)"
        " group by instance.study_instance_uid",
        {"sha": model_sha256, "output": output, "channel": str(channel)},
    )
    return [_study(row) for row in rows]


@dataclass(frozen=True, slots=True)
class ImageScore:
    """What one model version and engine said of one stored image, the last time."""

    instance_id: int
    sha256: str
    probability: float


def uses(db: Database) -> list[ModelUse]:
    """Return which versions and engines have read here, in each channel; the first first."""
    rows = db.execute(
        "select score.model_id as model_id, score.model_sha256 as sha,"
        " json_extract(reading.body, '$.model.backend') as backend, score.channel as channel"
        " from score join reading on reading.id = score.reading_id"
        " group by 1, 2, 3, 4 order by min(reading.id)"
    )
    return [
        ModelUse(row["model_id"], row["sha"], row["backend"], Channel(row["channel"]))
        for row in rows
    ]


def of_images(db: Database, use: ModelUse, output: str) -> list[ImageScore]:
    """Return what a version and engine said of each stored image in a channel."""
    rows = db.execute(
        "select instance.id as instance_id, instance.sha256 as sha256,"
        " score.probability as probability, max(reading.id) as reading_id"
        " from score join reading on reading.id = score.reading_id"
        " join instance on instance.id = reading.instance_id"
        " where score.model_sha256 = ? and score.output = ? and score.channel = ?"
        " and json_extract(reading.body, '$.model.backend') = ?"
        " group by instance.id order by instance.id",
        [use.model_sha256, output, str(use.channel), use.backend],
    )
    return [ImageScore(row["instance_id"], row["sha256"], row["probability"]) for row in rows]


def last_point(db: Database, use: ModelUse, output: str) -> tuple[str, float] | None:
    """Return version and threshold that a version and engine last answered with; None for never."""
    row = db.execute(
        "select score.model_version as version,"
        " json_extract(finding.value, '$.operating_point.threshold') as threshold"
        " from score join reading on reading.id = score.reading_id,"
        " json_each(reading.body, '$.findings') as finding"
        " where score.model_sha256 = ? and score.output = ? and score.channel = ?"
        " and json_extract(reading.body, '$.model.backend') = ?"
        " and json_extract(finding.value, '$.code') = score.output"
        " order by reading.id desc limit 1",
        [use.model_sha256, output, str(use.channel), use.backend],
    ).fetchone()
    return None if row is None else (str(row["version"]), float(row["threshold"]))


def _study(row: Any) -> StudyScore:
    header = json.loads(row["header"])
    return StudyScore(
        study_instance_uid=row["study"],
        probability=row["probability"],
        age_years=header.get("patient_age_years"),
        sex=header.get("patient_sex"),
        abstained=row["state"] == "abstained",
    )


def weeks(db: Database, since: float, until: float) -> Sequence[Any]:
    """Return rows of (station, model_id, model_version, channel, images, scored, unfit, abnormal).

    Counted are images that a model scored, or that the quality check refused, between two times
    (seconds since the epoch). An image that did not come over DICOM counts for its way in, and one
    that was read again as a person wished counts as it was read first.
    """
    rows: Sequence[Any] = db.execute(
        f"select {_STATION} as station, json_extract(reading.body, '$.model.id') as model_id,"  # noqa: S608
        " json_extract(reading.body, '$.model.version') as model_version,"
        " coalesce(score.channel, case when instance.media_type = 'application/dicom'"
        "   then 'digital' else 'photographed' end) as channel,"
        " count(*) as images, count(score.reading_id) as scored,"
        " coalesce(sum(json_extract(reading.body, '$.quality.fit') = 0), 0) as unfit,"
        " coalesce(sum(exists (select 1 from json_each(reading.body, '$.findings') as finding"
        "   where json_extract(finding.value, '$.positive'))), 0) as abnormal"
        " from reading join instance on instance.id = reading.instance_id"
        " left join (select reading_id, channel from score group by reading_id) as score"
        "   on score.reading_id = reading.id"
        f" where {_FIRST} and reading.created_at >= ? and reading.created_at < ?"
        " and (score.reading_id is not null or json_extract(reading.body, '$.quality.fit') = 0)"
        " group by 1, 2, 3, 4 order by 1, 2, 3, 4",
        [since, until],
    ).fetchall()
    return rows


def tenths(db: Database, since: float, until: float) -> Sequence[Any]:
    """Return rows of (station, model_id, model_version, channel, tenth, n) between two times."""
    rows: Sequence[Any] = db.execute(
        f"select station, model_id, model_version, channel,"  # noqa: S608
        " min(9, cast(probability * 10 as integer)) as tenth, count(*) as n"
        f" from (select {_STATION} as station, score.model_id, score.model_version, score.channel,"
        " max(score.probability) as probability from score"
        " join reading on reading.id = score.reading_id"
        " join instance on instance.id = reading.instance_id"
        f" where {_FIRST} and reading.created_at >= ? and reading.created_at < ?"
        " group by score.reading_id)"
        " group by 1, 2, 3, 4, 5",
        [since, until],
    ).fetchall()
    return rows


_FIRST = "reading.job_id not in (select job_id from read_anyway)"
# A file's name is no station, and may be a patient's.
_STATION = "case when instance.source = 'dicom' then instance.station else instance.source end"
