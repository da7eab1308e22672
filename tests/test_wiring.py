from __future__ import annotations

import pytest

from appliance.config import Target
from appliance.errors import ConfigError, PeerUnreachableError
from appliance.sync.cstore import CStoreTransport
from appliance.sync.stow import StowTransport
from appliance.wiring.carrying import build_transport
from appliance.wiring.models import current_models, installed_models, open_package
from appliance.wiring.settings import Options, data_folder, load, parse_address
from tests.models import manifest


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:104", ("127.0.0.1", 104)), ("[::1]:0", ("::1", 0)), ("box:80", ("box", 80))],
)
def test_an_address_is_host_and_port(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["104", ":104", "box:", "box:x", "box:70000"])
def test_another_text_is_no_address(text):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_address(text)


def test_the_command_line_wins_over_the_file(tmp_path):
    (tmp_path / "waypost.toml").write_text('[station]\nae_title = "FILE"\ndicom_port = 1\n')
    assert load(Options(tmp_path)).station.ae_title == "FILE"
    config = load(Options(tmp_path, dicom="0.0.0.0:104", ae_title="LINE"))
    assert (config.station.ae_title, config.station.dicom_port) == ("LINE", 104)


def test_the_data_folder_is_given_or_found(tmp_path, monkeypatch):
    assert data_folder(Options(tmp_path)) == tmp_path
    monkeypatch.setenv("WAYPOST_HOME", "/srv/box")
    assert str(data_folder(Options())) == "/srv/box"
    monkeypatch.delenv("WAYPOST_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder(Options()).name == "waypost"


def test_each_kind_of_target_has_its_transport(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("secret\n")
    cstore = Target("a", "cstore", host="h", ae_title="PACS")
    stow = Target("b", "stow", url="http://h/dicom-web", user="u", password_file=str(secret))
    assert isinstance(build_transport(cstore, "WAYPOST"), CStoreTransport)
    assert isinstance(build_transport(stow, "WAYPOST"), StowTransport)


def test_a_missing_password_file_blocks_only_its_own_target(tmp_path):
    target = Target("b", "stow", url="http://h", user="u", password_file=str(tmp_path / "none"))
    transport = build_transport(target, "WAYPOST")
    with pytest.raises(PeerUnreachableError, match="password file of target b"):
        transport.send(b"", "1.2.3")
    transport.close()


def test_the_newest_usable_version_is_current(tmp_path, monkeypatch):
    for version in ("1.0.0", "1.10.0", "1.9.0"):
        folder = tmp_path / "models" / "m" / version
        folder.mkdir(parents=True)
        (folder / "manifest.toml").write_text("broken = 1")
    monkeypatch.setenv("WAYPOST_MODELS", str(tmp_path / "none"))
    names = [model.directory.name for model in installed_models(tmp_path)]
    assert names == ["1.10.0", "1.9.0", "1.0.0"]
    (model,) = current_models(tmp_path)
    assert model.directory.name == "1.10.0"
    assert model.trouble
    assert open_package(manifest().directory).trouble is None
