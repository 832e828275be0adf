"""Ingest: from a client's message to an event in the log. Read this first.

A message of a WebSocket passes these files, in order:

1. `gateway/websocket.py` takes the client's bytes, and cuts them into text messages in its turn.
2. `gateway/inbox.py` decodes each with `decoding.py`, and bounds how many are being stored.
3. `writing.py`, the one way into the log: `post` for a plain POST, `write` for everything else.
4. `command.py` reads the controls: method, key, expectations.
5. `draft.py` runs hooks and columns, and makes the draft an event.
6. `jetstream/stream.py` encodes the event; `jetstream/writer.py` sends it to the broker in a batch.

The broker's answer comes back by one call-back: `Ingest._on_appended` makes it a receipt or an
error, and the inbox sends that to the client. Over HTTP, `gateway/rows.py` and `gateway/body.py`
stand in for the first two files.

A PUT, a DELETE, a retry or an id that exists needs more than its place in the log: `settling.py`
reads the row (`row_cache.py`) or the first attempt (`receipts.py`). `slices.py` lets a long array
share the event loop.
"""
