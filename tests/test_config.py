from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import Config, Limits, Reading, Station, Target, load_config, parse_config
from appliance.errors import ConfigError


def test_no_file_means_the_defaults(tmp_path):
    assert load_config(tmp_path / "waypost.toml") == Config()


def test_a_file_says_what_differs(tmp_path):
    path = tmp_path / "waypost.toml"
    path.write_text(
        """
[station]
ae_title = "CLINIC7"
dicom_port = 104
[limits]
decode_seconds = 5
[[target]]
name = "hospital"
kind = "cstore"
host = "10.0.0.2"
ae_title = "PACS"
[[target]]
name = "cloud"
kind = "stow"
url = "https://pacs.example/dicom-web"
""",
        encoding="utf-8",
    )
    config = load_config(path)
    assert config.station.ae_title == "CLINIC7"
    assert config.limits.decode_seconds == 5.0
    assert [target.name for target in config.target] == ["hospital", "cloud"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("station = 1", "as a section"),
        ("[station]\ncolour = 'red'", r"unknown key station\.colour\. Known here: ae_title"),
        ("[station]\ndicom_port = '104'", "must be of type int"),
        ("[station]\ndicom_port = true", "must be of type int"),
        ("[station]\nae_title = 'more than sixteen characters'", "1 to 16 characters"),
        ("[station]\nae_title = '   '", "1 to 16 characters"),
        ("[reading]\nthreads = 0", "at least 1"),
        ("[target]\nname = 'a'", r"write target as \[\[target\]\]"),
        ("target = [1]", r"write target as \[\[target\]\]"),
        ("[[target]]\nname = 1", r": target\.kind is missing"),
        ("[[target]]\nkind = 'stow'\nname = 1", r": target\.name must be of type str"),
        ("[[target]]\nname = 'a'", r"target\.kind is missing"),
        ("[[target]]\nname = 'a'\nkind = 'ftp'", "must be cstore or stow"),
        ("[[target]]\nname = 'a'\nkind = 'cstore'", "needs host, port and ae_title"),
        ("[[target]]\nname = 'a'\nkind = 'stow'\nurl = 'ftp://x'", "needs a url"),
        (
            "[[target]]\nname='a'\nkind='stow'\nurl='http://x'\n" * 2,
            "two targets have the same name",
        ),
        ("[station", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parse_config(text)


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path):
    path = tmp_path / "waypost.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path)


@given(key=st.from_regex(r"[a-z]{1,12}", fullmatch=True))
def test_no_unknown_key_passes(key):
    known = {field.name for field in dataclasses.fields(Config)}
    if key in known:
        return
    with pytest.raises(ConfigError, match="unknown key"):
        parse_config(f"{key} = 1")


def test_there_are_at_most_forty_keys():
    kinds = (Station, Limits, Reading, Target)
    assert sum(len(dataclasses.fields(kind)) for kind in kinds) <= 40
