"""One contract for the fake and the real transports, and what is particular to each."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO

import pytest
from pydicom import dcmread

from appliance.errors import PeerRefusedError, PeerUnreachableError
from appliance.sync.cstore import CStoreTransport
from appliance.sync.stow import StowTransport
from appliance.sync.transport import BUSY, DENIED, REFUSED, UNCLEAR, Transport
from tests import builders
from tests.fakes import LOSE_ANSWER, TAKE, UNREACHABLE, FakeTransport
from tests.sync.peers_in_process import StorePeer, StowPeer, store_peer, stow_peer

TIMEOUT_S = 0.5


@dataclass
class Rig:
    transport: Transport
    behave: Callable[[str], None]
    kept: Callable[[], set[str]]
    close: Callable[[], None] = field(default=lambda: None)


def cstore(peer: StorePeer, called: str = "PEER", timeout_s: float = TIMEOUT_S) -> CStoreTransport:
    return CStoreTransport(
        "127.0.0.1",
        peer.port,
        called_ae_title=called,
        calling_ae_title="WAYPOST",
        timeout_s=timeout_s,
    )


STORE_ANSWERS = {
    TAKE: 0x0000,
    LOSE_ANSWER: "abort",
    UNREACHABLE: "abort",
    BUSY: 0xA700,
    DENIED: 0x0124,
    REFUSED: 0xA900,
    UNCLEAR: "name another",
}
STOW_ANSWERS = {
    TAKE: "named",
    LOSE_ANSWER: "hang",
    UNREACHABLE: "503",
    BUSY: "500",
    DENIED: "401",
    REFUSED: "failed",
    UNCLEAR: "empty",
}


@pytest.fixture(params=["fake", "cstore", "stow"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "fake":
        fake = FakeTransport()
        yield Rig(fake, fake.behave, lambda: set(fake.kept))
    elif request.param == "cstore":
        with store_peer() as peer:
            transport = cstore(peer)

            def behave_store(word: str) -> None:
                peer.status = STORE_ANSWERS[word]

            yield Rig(transport, behave_store, lambda: set(peer.kept))
            transport.close()
    else:
        with stow_peer() as server:
            sender = StowTransport(server.url, timeout_s=TIMEOUT_S)

            def behave_stow(word: str) -> None:
                server.mode = STOW_ANSWERS[word]

            yield Rig(sender, behave_stow, lambda: set(server.kept))
            sender.close()


def test_a_delivery_names_the_object_and_the_peer_has_it(rig: Rig) -> None:
    for uid in ("1.2.3.1", "1.2.3.2"):
        assert rig.transport.send(builders.make_cr(sop_instance_uid=uid), uid).object_uid == uid
    assert rig.kept() == {"1.2.3.1", "1.2.3.2"}


def test_sent_twice_it_is_one_object(rig: Rig) -> None:
    content = builders.make_cr(sop_instance_uid="1.2.3.1")
    rig.transport.send(content, "1.2.3.1")
    rig.transport.close()
    rig.transport.close()
    rig.transport.send(content, "1.2.3.1")
    assert rig.kept() == {"1.2.3.1"}


@pytest.mark.parametrize("word", [BUSY, DENIED, REFUSED, UNCLEAR])
def test_an_answer_that_is_no_says_of_which_sort(rig: Rig, word: str) -> None:
    rig.behave(word)
    with pytest.raises(PeerRefusedError) as caught:
        rig.transport.send(builders.make_cr(), "1.2.3.4.5")
    assert caught.value.code == word
    assert caught.value.text.endswith(".")


@pytest.mark.parametrize("word", [UNREACHABLE, LOSE_ANSWER])
def test_no_answer_is_unreachable_and_the_next_send_works(rig: Rig, word: str) -> None:
    rig.behave(word)
    with pytest.raises(PeerUnreachableError):
        rig.transport.send(builders.make_cr(), "1.2.3.4.5")
    rig.behave(TAKE)
    assert rig.transport.send(builders.make_cr(), "1.2.3.4.5").object_uid == "1.2.3.4.5"


# C-STORE


def test_one_association_carries_a_drain(store_scp: StorePeer) -> None:
    transport = cstore(store_scp)
    for n in range(5):
        transport.send(builders.make_cr(sop_instance_uid=f"1.2.{n}"), f"1.2.{n}")
    transport.close()
    assert store_scp.associations == 1
    assert len(store_scp.kept) == 5


def test_a_new_kind_is_negotiated_and_the_old_one_stays(store_scp: StorePeer) -> None:
    transport = cstore(store_scp)
    cr = builders.make_cr(sop_instance_uid="1.2.1")
    sc = builders.encode(
        builders.dataset(sop_class_uid=builders.SC, sop_instance_uid="1.2.2"),
    )
    transport.send(cr, "1.2.1")
    transport.send(sc, "1.2.2")
    transport.send(cr, "1.2.1")
    transport.close()
    assert store_scp.associations == 2
    assert set(store_scp.kept) == {"1.2.1", "1.2.2"}


def test_the_data_set_arrives_as_it_is_kept(store_scp: StorePeer) -> None:
    content = builders.make_cr(transfer_syntax=builders.IMPLICIT, PatientComments="é")
    transport = cstore(store_scp)
    transport.send(content, "1.2.3.4.5")
    transport.close()
    sent, kept = dcmread(BytesIO(content)), dcmread(BytesIO(store_scp.kept["1.2.3.4.5"]))
    assert kept == sent
    assert kept.file_meta.TransferSyntaxUID == builders.IMPLICIT


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007])
def test_a_warning_is_a_delivery_with_a_note(store_scp: StorePeer, status: int) -> None:
    store_scp.status = status
    transport = cstore(store_scp)
    assert transport.send(builders.make_cr(), "1.2.3.4.5").note == f"warning {status:04X}"
    transport.close()


def test_a_duplicate_is_a_delivery_only_when_it_names_the_instance(store_scp: StorePeer) -> None:
    store_scp.status = 0x0111
    transport = cstore(store_scp)
    assert "already" in transport.send(builders.make_cr(), "1.2.3.4.5").note
    store_scp.names_it = False
    with pytest.raises(PeerRefusedError) as caught:
        transport.send(builders.make_cr(), "1.2.3.4.5")
    assert caught.value.code == REFUSED
    transport.close()


def test_a_kind_that_the_peer_does_not_take_is_refused_for_good(store_scp: StorePeer) -> None:
    transport = cstore(store_scp)
    with pytest.raises(PeerRefusedError) as caught:
        transport.send(builders.make_us(), "1.2.3.4.6")
    assert caught.value.code == REFUSED
    assert transport.send(builders.make_cr(), "1.2.3.4.5")
    with pytest.raises(PeerRefusedError):
        transport.send(builders.make_us(), "1.2.3.4.6")
    transport.close()


def test_an_unknown_ae_title_is_for_somebody_to_set_up(store_scp: StorePeer) -> None:
    with pytest.raises(PeerRefusedError) as caught:
        cstore(store_scp, called="OTHER").send(builders.make_cr(), "1.2.3.4.5")
    assert caught.value.code == DENIED


def test_a_peer_that_hangs_is_left_after_the_timeout(store_scp: StorePeer) -> None:
    store_scp.status = "hang"
    started = time.monotonic()
    with pytest.raises(PeerUnreachableError):
        cstore(store_scp).send(builders.make_cr(), "1.2.3.4.5")
    assert time.monotonic() - started < 8


def test_what_is_no_dicom_is_refused_before_it_is_sent(store_scp: StorePeer) -> None:
    with pytest.raises(PeerRefusedError) as caught:
        cstore(store_scp).send(b"not DICOM", "1.2.3.4.5")
    assert caught.value.code == REFUSED
    assert store_scp.associations == 0


def test_a_data_set_that_cannot_be_encoded_is_refused(
    store_scp: StorePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("Failed to encode the supplied dataset")

    transport = cstore(store_scp)
    transport.send(builders.make_cr(), "1.2.3.4.5")
    monkeypatch.setattr(transport._association, "send_c_store", fail)
    with pytest.raises(PeerRefusedError) as caught:
        transport.send(builders.make_cr(), "1.2.3.4.5")
    assert caught.value.code == REFUSED
    transport.close()


def test_a_peer_that_goes_between_two_sends_is_unreachable_then_found_again(
    store_scp: StorePeer,
) -> None:
    transport = cstore(store_scp)
    transport.send(builders.make_cr(), "1.2.3.4.5")
    for association in store_scp.server.active_associations:
        association.abort()
    receipt = None
    for _ in range(3):
        try:
            receipt = transport.send(builders.make_cr(), "1.2.3.4.5")
        except PeerUnreachableError:
            continue
        break
    assert receipt is not None
    transport.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nobody_there_is_unreachable() -> None:
    port = closed_port()
    transports: list[Transport] = [
        CStoreTransport(
            "127.0.0.1", port, called_ae_title="A", calling_ae_title="B", timeout_s=TIMEOUT_S
        ),
        StowTransport(f"http://127.0.0.1:{port}", timeout_s=TIMEOUT_S),
    ]
    for transport in transports:
        with pytest.raises(PeerUnreachableError):
            transport.send(builders.make_cr(), "1.2.3.4.5")
        transport.close()


# STOW-RS


def stow(server: StowPeer, **more: str) -> StowTransport:
    return StowTransport(server.url, timeout_s=TIMEOUT_S, **more)


@pytest.mark.parametrize("mode", ["named", "wrapped in a list", "warned", "partial"])
def test_delivered_is_what_the_answer_names(stow_server: StowPeer, mode: str) -> None:
    stow_server.mode = mode
    transport = stow(stow_server)
    receipt = transport.send(builders.make_cr(), "1.2.3.4.5")
    transport.close()
    assert receipt.object_uid == "1.2.3.4.5"
    assert bool(receipt.note) == (mode == "warned")


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("empty", UNCLEAR),
        ("other", UNCLEAR),
        ("both", UNCLEAR),
        ("nonsense", UNCLEAR),
        ("numbers", UNCLEAR),
        ("truncated", UNCLEAR),
        ("200", UNCLEAR),
        ("400", UNCLEAR),
        ("409", UNCLEAR),
        ("301", DENIED),
        ("401", DENIED),
        ("403", DENIED),
        ("404", DENIED),
        ("413", REFUSED),
        ("415", REFUSED),
        ("500", BUSY),
    ],
)
def test_what_is_no_delivery(stow_server: StowPeer, mode: str, code: str) -> None:
    stow_server.mode = mode
    transport = stow(stow_server)
    with pytest.raises(PeerRefusedError) as caught:
        transport.send(builders.make_cr(), "1.2.3.4.5")
    transport.close()
    assert caught.value.code == code


@pytest.mark.parametrize("mode", ["cut", "hang", "endless", "503", "429"])
def test_what_counts_as_no_answer(stow_server: StowPeer, mode: str) -> None:
    stow_server.mode = mode
    transport = stow(stow_server)
    with pytest.raises(PeerUnreachableError):
        transport.send(builders.make_cr(), "1.2.3.4.5")
    transport.close()


@pytest.mark.parametrize(
    ("reason", "code"),
    [(0xA700, BUSY), (0x0110, BUSY), (0xA900, REFUSED), (0xC000, REFUSED), (0x0122, REFUSED)],
)
def test_a_failure_reason_is_read_as_the_standard_says(
    stow_server: StowPeer, reason: int, code: str
) -> None:
    stow_server.mode, stow_server.reason = "failed", reason
    transport = stow(stow_server)
    with pytest.raises(PeerRefusedError) as caught:
        transport.send(builders.make_cr(), "1.2.3.4.5")
    transport.close()
    assert caught.value.code == code


def test_user_and_password_go_along_and_no_proxy_of_the_environment(
    stow_server: StowPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    transport = stow(stow_server, user="box", password="secret")
    transport.send(builders.make_cr(), "1.2.3.4.5")
    transport.close()
    assert stow_server.authorization == "Basic Ym94OnNlY3JldA=="


def test_a_url_that_ends_in_studies_is_taken_as_it_is(stow_server: StowPeer) -> None:
    transport = StowTransport(f"{stow_server.url}/studies/", timeout_s=TIMEOUT_S)
    transport.send(builders.make_cr(), "1.2.3.4.5")
    transport.close()
