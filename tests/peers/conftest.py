from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.namespace import Namespace, why_not


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network of its own, since these peers listen on every address."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made = Namespace()
    try:
        yield made
    finally:
        made.close()
