"""Projections: tables derived from the log. They can always be deleted and rebuilt.

`projector` follows a log into the tables of the `store`, which has the one DuckDB file. `snapshot`
gives current rows to clients, `verify` compares the tables with the log, `export` writes files.
"""
