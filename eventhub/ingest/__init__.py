"""Ingest: from a client's message to an event in the log. Read this first.

`command` reads what one message says of itself, `writing` runs hooks and columns over it and has
the log append it, `receipts` and `row_cache` remember what was written lately, and `slices` lets
an array of messages yield to the loop.
"""
