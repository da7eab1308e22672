from __future__ import annotations

import http.client
import time
from pathlib import Path

import pytest
from caseload import Caseload, read
from click.testing import CliRunner
from serving import serving, start, stop

from appliance.errors import ConfigError
from web.__main__ import main
from web.server import address_of, bind

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("address", ["0.0.0.0:80", "192.168.1.4:0", "clinic.example:80", "[::]:80"])
def test_the_clinics_network_is_not_opened(address: str) -> None:
    with pytest.raises(ConfigError, match="only with login and TLS"):
        bind(address)


@pytest.mark.parametrize("address", ["", "127.0.0.1", ":80", "127.0.0.1:x", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_explained(address: str) -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:8080"):
        bind(address)


def test_a_taken_port_is_explained() -> None:
    with bind("127.0.0.1:0") as listener:
        address = address_of(listener)
        assert not address.endswith(":0")
        with pytest.raises(ConfigError, match="Choose another port"):
            bind(address)


def test_the_command_ends_with_the_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--web", "0.0.0.0:8080"])
    assert result.exit_code == 2
    assert "login and TLS" in result.output


def test_many_streams_starve_nobody_and_end_with_the_server(
    load: Caseload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    load.case(read())
    process, address = start(load.data)
    streams = []
    try:
        for _ in range(40):
            stream = http.client.HTTPConnection(address, timeout=10)
            stream.request("GET", "/events")
            streams.append(stream)
        began = time.monotonic()
        page = http.client.HTTPConnection(address, timeout=10)
        page.request("GET", "/")
        assert page.getresponse().status == 200
        page.close()
        assert time.monotonic() - began < 5
    finally:
        took = stop(process)
        for stream in streams:
            stream.close()
    assert process.returncode == 0
    assert took < 2.0


def test_events_arrive_over_the_wire(load: Caseload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    with serving(load.data) as address:
        stream = http.client.HTTPConnection(address, timeout=10)
        stream.request("GET", "/events")
        answer = stream.getresponse()
        first = [answer.readline() for _ in range(5)]
        load.arrive()
        assert answer.readline() == b"event: change\n"
        assert answer.readline() != first[3]
        stream.close()
