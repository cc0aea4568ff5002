from __future__ import annotations

from tests.store.databases import engine, postgres_engine, postgresql, sqlite, sqlite_template

__all__ = ["engine", "postgres_engine", "postgresql", "sqlite", "sqlite_template"]
