"""A daemon per file of stories, a customer of its own for each story."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.servers.sink import Sink
from tests.stories import running
from tests.stories.company import Company
from tests.stories.posts import InSink
from tests.stories.running import Running


@pytest.fixture(scope="module")
def relay() -> Iterator[Sink]:
    """Where the daemon of this file hands its mail."""
    server = Sink()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def company() -> Company:
    """What the daemon of this file is told; a file with other needs has a fixture of its own."""
    return Company()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, relay: Sink, company: Company) -> Iterator[Running]:
    """A started daemon whose mails end in ``relay``."""
    told = replace(company, relay_port=relay.port)
    with running.started(tmp_path_factory.mktemp("desk"), told, InSink(relay)) as desk:
        yield desk
