"""Bytes into a Reading: no database, no network but DNS, and nothing that raises on a stranger's bytes."""
