"""Rows: tables, named queries that return snapshots, claims and leases, migrations."""
