from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sync.peers_in_process import StorePeer, StowPeer, store_peer, stow_peer


@pytest.fixture
def store_scp() -> Iterator[StorePeer]:
    with store_peer() as peer:
        yield peer


@pytest.fixture
def stow_server() -> Iterator[StowPeer]:
    with stow_peer() as peer:
        yield peer
