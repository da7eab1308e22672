"""The schema, as the list of steps that lead to it; a step that has landed is never edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils import Migrations

if TYPE_CHECKING:
    from sqlite_utils import Database

MIGRATIONS = Migrations("waypost")


@MIGRATIONS()
def m001_instances_jobs_readings_outbox(db: Database) -> None:
    """Create the table families of the first release."""
    for statement in _FIRST.split(";\n"):
        if statement.strip():
            db.execute(statement)


@MIGRATIONS()
def m002_scores_references_points_drift(db: Database) -> None:
    """Create the tables of a site's own figures."""
    for statement in _SITE.split(";\n"):
        if statement.strip():
            db.execute(statement)


@MIGRATIONS(transactional=False)
def m003_read_anyway(db: Database) -> None:
    """Let an instance have a second job: a person may ask that it be read anyway.

    The job table is made anew without its unique instance, its rows keep their numbers. That needs
    the foreign keys off, which SQLite allows outside a transaction only; so this step sees to its
    own, and does nothing when it was cut off after its commit.
    """
    if db["read_anyway"].exists():
        return
    db.execute("pragma foreign_keys = off")
    db.execute("begin immediate")
    for statement in _READ_ANYWAY.split(";\n"):
        db.execute(statement)
    db.execute("commit")
    db.execute("pragma foreign_keys = on")


_FIRST = """
create table instance (
  id integer primary key,
  sop_instance_uid text,
  study_instance_uid text,
  patient_id text,
  patient_name text,
  modality text,
  header text not null,
  state text not null check (state in
    ('arrived','reading','read','abstained','refused','failed','quarantined')),
  urgency integer not null,
  due_at real not null,
  media_type text not null,
  sha256 text not null,
  size_bytes integer not null,
  source text not null,
  station text not null,
  received_at real not null,
  quarantine_code text,
  quarantine_text text,
  reviewed_at real
) strict;
create unique index instance_identity on instance (sop_instance_uid)
  where state <> 'quarantined';
create unique index instance_quarantine on instance (sha256) where state = 'quarantined';
create index instance_open on instance (due_at) where reviewed_at is null;
create index instance_reviewed on instance (reviewed_at) where reviewed_at is not null;
create index instance_state on instance (state);
create index instance_content on instance (sha256);
create table job (
  id integer primary key,
  instance_id integer not null unique references instance (id),
  state text not null default 'ready' check (state in ('ready','leased','done')),
  tries integer not null default 0,
  not_before real not null default 0,
  lease_until real,
  owner text,
  last_error text
) strict;
create index job_open on job (state, not_before) where state <> 'done';
create table reading (
  id integer primary key,
  instance_id integer not null references instance (id),
  job_id integer not null unique references job (id),
  state text not null check (state in ('read','abstained','refused','failed')),
  body text not null,
  created_at real not null
) strict;
create index reading_instance on reading (instance_id);
create table artifact (
  reading_id integer not null references reading (id),
  kind text not null,
  sha256 text not null,
  primary key (reading_id, kind)
) strict;
create table outbox (
  id integer primary key,
  idempotency_key text not null unique,
  target text not null,
  kind text not null,
  instance_id integer not null references instance (id),
  lane integer not null,
  object_uid text not null,
  state text not null default 'ready' check (state in ('ready','leased','delivered','dead')),
  tries integer not null default 0,
  not_before real not null default 0,
  lease_until real,
  owner text,
  last_error text,
  created_at real not null,
  delivered_at real
) strict;
create index outbox_open on outbox (target, lane, id) where state in ('ready','leased');
create index outbox_instance on outbox (instance_id);
create table station (
  ae_title text not null,
  address text not null,
  first_seen_at real not null,
  last_seen_at real not null,
  instances integer not null,
  primary key (ae_title, address)
) strict;
create table review (
  id integer primary key,
  instance_id integer not null references instance (id),
  act text not null check (act in ('confirm','overrule','comment')),
  actor text not null,
  comment text not null,
  created_at real not null
) strict;
create index review_instance on review (instance_id);
create table heartbeat (
  role text primary key,
  at real not null,
  detail text not null
) strict
"""

_SITE = """
create table score (
  reading_id integer not null references reading (id),
  output text not null,
  model_id text not null,
  model_version text not null,
  model_sha256 text not null,
  channel text not null check (channel in ('digital','photographed')),
  probability real not null,
  primary key (reading_id, output)
) strict;
create index score_model on score (model_sha256, output, channel);
create table reference_result (
  id integer primary key,
  study_instance_uid text not null,
  kind text not null check (kind in ('smear','culture','molecular','follow-up','other')),
  outcome text not null check (outcome in ('positive','negative','unknown')),
  result_on text not null,
  strata text not null,
  entered_by text not null,
  entered_at real not null
) strict;
create index reference_result_study on reference_result (study_instance_uid);
create index instance_study on instance (study_instance_uid);
create table operating_point (
  id integer primary key,
  body text not null,
  mac text not null
) strict;
create table operating_point_head (
  id integer primary key check (id = 1),
  count integer not null,
  mac text not null
) strict;
create table drift_stream (
  station text not null,
  model_id text not null,
  model_version text not null,
  channel text not null,
  body text not null,
  updated_at real not null,
  primary key (station, model_id, model_version, channel)
) strict;
create table drift_event (
  id integer primary key,
  station text not null,
  model_id text not null,
  model_version text not null,
  channel text not null,
  kind text not null check (kind in ('alarm','restart')),
  statistic text not null,
  direction text not null,
  actor text not null,
  comment text not null,
  at real not null
) strict;
create index drift_event_at on drift_event (at)
"""

_READ_ANYWAY = """
create table job_anew (
  id integer primary key,
  instance_id integer not null references instance (id),
  state text not null default 'ready' check (state in ('ready','leased','done')),
  tries integer not null default 0,
  not_before real not null default 0,
  lease_until real,
  owner text,
  last_error text
) strict;
insert into job_anew (id, instance_id, state, tries, not_before, lease_until, owner, last_error)
  select id, instance_id, state, tries, not_before, lease_until, owner, last_error from job;
drop table job;
alter table job_anew rename to job;
create index job_open on job (state, not_before) where state <> 'done';
create index job_instance on job (instance_id);
create table read_anyway (
  id integer primary key,
  instance_id integer not null references instance (id),
  job_id integer not null unique references job (id),
  actor text not null,
  why text not null,
  created_at real not null
) strict;
create index read_anyway_instance on read_anyway (instance_id)
"""
