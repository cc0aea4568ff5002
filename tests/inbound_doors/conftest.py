"""What every test of a listening door needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpdesk.inbound.listener import Listener
from tests.inbound_doors.doors import Shelf, listening


@pytest.fixture
def shelf() -> Shelf:
    """Keeps what the door takes."""
    return Shelf()


@pytest.fixture
def door(shelf: Shelf) -> Iterator[Listener]:
    """An SMTP listener with the usual limits."""
    with listening(shelf.keep) as listener:
        yield listener
