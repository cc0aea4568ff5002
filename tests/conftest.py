"""Real servers for the tests: one of each kind per test worker, a mailbox or database of its own per test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.servers import certificate as certificates
from tests.servers.certificate import Certificate
from tests.servers.dovecot import Dovecot, Mailbox
from tests.servers.found import head_lines, require
from tests.servers.postfix import Postfix
from tests.servers.rspamd import Rspamd
from tests.servers.sink import Sink

if TYPE_CHECKING:
    from tests.servers.postgres import Postgres

# A clean clone is judged by the same examples each time; on a developer's machine they are drawn anew.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_report_header() -> list[str]:
    """Say first which real servers the run has."""
    return head_lines()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for localhost."""
    return certificates.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def dovecot(certificate: Certificate) -> Iterator[Dovecot]:
    """An IMAP server with all capabilities."""
    require("dovecot")
    server = Dovecot(certificate)
    yield server
    server.stop()


@pytest.fixture
def mailbox(dovecot: Dovecot) -> Mailbox:
    """A mailbox that no other test uses."""
    return dovecot.mailbox()


@pytest.fixture(scope="session")
def rspamd() -> Iterator[Rspamd]:
    """A spam filter that condemns GTUBE and nothing else."""
    require("rspamd")
    server = Rspamd()
    yield server
    server.stop()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """An SMTP server that takes everything, without TLS."""
    server = Sink()
    yield server
    server.stop()


@pytest.fixture
def tls_sink(certificate: Certificate) -> Iterator[Sink]:
    """An SMTP server that takes everything and offers STARTTLS."""
    server = Sink(tls=certificate.server())
    yield server
    server.stop()


@pytest.fixture
def postfix(sink: Sink) -> Iterator[Postfix]:
    """A relay that hands everything to ``sink``."""
    require("postfix")
    server = Postfix(f"smtp:[127.0.0.1]:{sink.port}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    require("postgres")
    from tests.servers.postgres import Postgres

    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty PostgreSQL database."""
    url = postgres.database()
    yield url
    postgres.drop(url)


@pytest.fixture(params=["sqlite file", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each engine: every store test runs on both."""
    if request.param == "sqlite file":
        return f"sqlite:///{tmp_path / 'helpdesk.db'}"
    return str(request.getfixturevalue("postgres_url"))
