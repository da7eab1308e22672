"""`waypost calibrate` and `waypost drift`, over a store with readings."""

from __future__ import annotations

import json
import random
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from appliance import drift
from appliance.cli import main
from appliance.domain import Channel, ModelRef
from appliance.store import drift_streams, instances, jobs, readings, scores
from appliance.store.database import Store
from appliance.watch import StationWatch
from appliance.wiring.site import kept_points, read_key
from tests.builders import make_cr
from tests.models import manifest
from tests.records import new_instance, read

NEEDS = ("--half-width", "0.2")  # 9 positive and 21 negative suffice


@pytest.fixture
def data(tmp_path):
    """A box with 80 read studies; their scores tell most of the positives."""
    folder = tmp_path / "data"
    store = Store(folder / "waypost.db")
    own = manifest()
    model = ModelRef(own.id, own.version, own.sha256, "onnxruntime-cpu")
    rng = np.random.default_rng(0)
    lines = ["study_instance_uid,kind,result,date,clinic"]
    with store.transaction() as db:
        for number in range(80):
            positive = number % 3 == 0
            score = float(np.clip(rng.normal(0.7 if positive else 0.3, 0.15), 0.01, 0.99))
            new = new_instance(f"1.2.{number}")
            header = replace(new.header, study_instance_uid=f"9.{number}")
            instance_id = instances.insert(db, replace(new, header=header), 1.0)
            job = jobs.claim(db, "worker-1", 2.0, 60.0)
            assert job is not None
            assert job.instance_id == instance_id
            reading = replace(read(score), model=model)
            reading_id = readings.insert(db, job, reading, {}, 3.0)
            scores.insert(db, reading_id, reading, Channel.DIGITAL)
            word = "positive" if positive else "negative"
            lines.append(f"9.{number},molecular,{word},2026-11-01,{'north' if number < 40 else ''}")
    store.close()
    (tmp_path / "results.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture
def waypost(data):
    def call(*arguments: object):
        return CliRunner().invoke(main, [*map(str, arguments), "--data", str(data)])

    return call


@pytest.fixture
def results(waypost, tmp_path):
    waypost("calibrate", "import", tmp_path / "results.csv", "--by", "Ada")
    return tmp_path / "results.csv"


def test_an_import_says_what_it_did_and_a_trial_keeps_nothing(waypost, tmp_path):
    path = tmp_path / "results.csv"
    trial = waypost("calibrate", "import", path, "--by", "Ada", "--dry-run")
    assert "80 reference results would be imported (nothing was kept)" in trial.stdout
    assert "0 positive" in waypost("calibrate", "report", *NEEDS).stderr
    done = waypost("calibrate", "import", path, "--by", "Ada")
    assert done.stdout == "80 reference results imported: 27 positive, 53 negative, 0 unknown\n"
    path.write_text(path.read_text("utf-8").replace("9.79,", "9.99,"), "utf-8")
    wrong = waypost("calibrate", "import", path, "--by", "Ada")
    assert wrong.exit_code == 1
    assert "line 81: there is no study 9.99 on this box." in wrong.stderr


def test_a_report_is_for_people_or_for_machines(waypost, results):
    costs = ("--cost-xray", 3, "--cost-test", 12, "--prevalence", 0.1)
    told = json.loads(waypost("calibrate", "report", "--json", *NEEDS, *costs).stdout)
    assert (told["n_positive"], told["n_negative"]) == (27, 53)
    assert told["in_use"]["threshold"] == manifest().operating_points[0].threshold
    assert told["in_use"]["name"] == "as shipped"
    assert told["auroc"]["low"] < told["auroc"]["value"] <= told["auroc"]["high"]
    row = told["suggested"]
    assert row["tests_per_case"] == pytest.approx(1 / row["ppv"]["value"])
    assert row["cost_per_case"] > 0
    assert told["roc"][0] == {"threshold": None, "sensitivity": 0.0, "specificity": 1.0}
    assert told["roc"][-1]["sensitivity"] == 1.0
    assert {part["name"] for part in told["strata"]} == {"age", "sex", "clinic"}
    shown = waypost("calibrate", "report", *NEEDS, *costs).stdout
    for words in ("as shipped", "AUROC", "cost a case", "clinic: north", "27 positive"):
        assert words in shown


def test_a_sample_that_is_too_small_is_refused_with_the_size(waypost, results):
    refused = waypost("calibrate", "report")
    assert refused.exit_code == 1
    assert "27 positive and 53 negative" in refused.stderr
    assert "35 positive and 81 negative are needed" in refused.stderr


def test_a_choice_holds_from_the_next_film_on_and_the_record_verifies(waypost, results, data):
    choice = ("calibrate", "choose", "--by", "Ada", "--reason", "the meeting")
    assert waypost(*choice, "--threshold", 0.97).exit_code == 1  # too small
    chosen = waypost(*choice, "--threshold", 0.97, *NEEDS)
    assert chosen.exit_code == 0, chosen.stderr
    assert "97.0 in 100, chosen here on" in chosen.stdout
    assert stat.S_IMODE((data / "site.key").stat().st_mode) == 0o600
    assert [point.threshold for point in kept_points(data)] == [0.97]
    verified = json.loads(waypost("calibrate", "verify", "--json").stdout)
    assert verified["ok"]
    assert verified["entries"][0]["reason"] == "the meeting"
    assert "The record is whole." in waypost("calibrate", "verify").stdout
    assert waypost(*choice, "--as-shipped").exit_code == 0
    assert kept_points(data) == ()
    assert waypost(*choice, "--as-shipped", "--threshold", 0.5).exit_code == 2


def test_reading_from_the_shell_uses_the_chosen_point(
    waypost, results, data, tmp_path, monkeypatch
):
    waypost("calibrate", "choose", "--by", "Ada", "--reason", "x", "--threshold", 0.97, *NEEDS)
    monkeypatch.setenv("WAYPOST_HOME", str(data))
    path = tmp_path / "film.dcm"
    for seed in range(6):
        path.write_bytes(make_cr(rows=300 + seed, columns=280))
        line = json.loads(CliRunner().invoke(main, ["read", "--json", str(path)]).stdout)
        for finding in line["findings"]:
            assert finding["operating_point"]["threshold"] == 0.97
            assert "by Ada" in finding["operating_point"]["name"]


def test_a_record_that_was_edited_is_told_and_not_used(waypost, results, data):
    waypost("calibrate", "choose", "--by", "Ada", "--reason", "x", "--threshold", 0.9, *NEEDS)
    with closing(sqlite3.connect(data / "waypost.db")) as db, db:  # commits, then closes
        db.execute("update operating_point set body = replace(body, '0.9', '0.1')")
    verified = waypost("calibrate", "verify")
    assert verified.exit_code == 1
    assert "it was edited" in verified.stdout
    assert kept_points(data) == ()
    status = json.loads(waypost("status", "--json").stdout)
    check = next(c for c in status["health"] if c["code"] == "operating_points")
    assert not check["ok"]
    (data / "site.key").write_bytes(b"short")
    assert "damaged" in waypost("calibrate", "verify").stderr
    assert kept_points(data) == ()


def test_what_cannot_be_asked_is_a_sentence(waypost, tmp_path):
    assert "Give both costs" in waypost("calibrate", "report", "--cost-xray", 3).stderr
    assert "Say which model" in waypost("calibrate", "report", "--model", "moon").stderr
    assert "Nothing was chosen here" in waypost("calibrate", "verify").stdout
    assert read_key(tmp_path) is None
    assert kept_points(tmp_path / "none") == ()


def watched(data, images: int, shift: float) -> None:
    store = Store(data / "waypost.db")
    rng, stream = random.Random(0), drift.Stream()
    for number in range(images):
        moved = shift if number >= drift.REFERENCE else 0.0
        seen = drift.Observation(score=rng.random(), brightness=rng.gauss(120 + moved, 10),
                                 unfit=False, abnormal=rng.random() < 0.2)  # fmt: skip
        stream.observe(seen)
    with store.transaction() as db:
        key = drift_streams.StreamKey("ROOM1", manifest().id, manifest().version, Channel.DIGITAL)
        drift_streams.save(db, key, stream.to_json(), 5.0)
    store.close()


def test_the_watch_shows_learning_usual_and_alarm_and_begins_anew(waypost, data):
    assert "No image was watched yet." in waypost("drift").stdout
    watched(data, 100, 0.0)
    assert "learning, 100 of 300" in waypost("drift").stdout
    watched(data, 500, 20.0)
    shown = waypost("drift").stdout
    assert "as usual" in shown
    assert "alarm: higher" in shown
    assert "▁" in shown or "_" in shown
    (told,) = json.loads(waypost("drift", "--json").stdout)
    assert told["station"] == "ROOM1"
    assert told["alarms"][0]["statistic"] == "brightness"
    assert told["false_alarm_in_images"] == drift.FALSE_ALARM_IMAGES
    assert "Write who" in waypost("drift", "--restart", "ROOM1").stderr
    anew = ("--by", "Ada", "--reason", "a new detector")
    assert "No station ROOM9" in waypost("drift", "--restart", "ROOM9", *anew).stderr
    assert "No image was watched yet." in waypost("drift", "--restart", "ROOM1", *anew).stdout
    store = Store(data / "waypost.db")
    with store.read() as db:
        (event,) = drift_streams.events(db)
    store.close()
    assert (event["kind"], event["actor"], event["comment"]) == ("restart", "Ada", "a new detector")


def test_the_week_is_small_without_a_patient_and_honestly_not_sent(waypost, data):
    said = waypost("drift", "--summary")
    told = json.loads(said.stdout)
    assert "not sent" in said.stderr
    assert told["box"] == "Waypost"
    assert told["stations"] == []  # the readings are of 1970


def test_the_week_counts_what_was_read_in_it(data):
    watched(data, 500, 20.0)
    store = Store(data / "waypost.db")
    with store.transaction() as db:
        db.execute("update reading set body = json_set(body, '$.quality.fit', json('false'))"
                   " where id = 1")  # fmt: skip
        db.execute("delete from score where reading_id = 1")
    text = StationWatch(store, lambda: 100.0).summary("Waypost")
    store.close()
    (week,) = json.loads(text)["stations"]
    assert len(text.encode()) <= 2048
    assert (week["station"], week["model"], week["channel"]) == (
        "ROOM1", f"{manifest().id} {manifest().version}", "digital"
    )  # fmt: skip
    assert (week["images"], week["scored"], week["unfit"]) == (80, 79, 1)
    assert sum(week["scores"]) == 79
    assert 20 < week["abnormal"] < 60
    assert week["alarms"] == ["brightness higher"]
    for secret in ("9.1", "1.2.1", "Ada"):
        assert secret not in text
