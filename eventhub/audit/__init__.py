"""Audit: what happened to rows, how two states of a table differ, and what restores an older one.

Pure rules: `projections` reads the past, `gateway` and `cli` show it, `ingest` restores.
"""
