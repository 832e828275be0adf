"""A stream is made with the wanted settings, and an existing one gets those that it lacks."""

from typing import Any

import pytest

from eventhub.errors import Misconfigured
from eventhub.jetstream import api
from eventhub.jetstream.connection import Connection
from eventhub.jetstream.making import ensure

WANTED = {"name": "NOTES", "subjects": ["notes.*"], "max_msgs_per_subject": 1}


async def settings(connection: Connection) -> dict[str, Any]:
    info = await api.call(connection, "STREAM.INFO.NOTES")
    found: dict[str, Any] = info["config"]
    return found


async def test_a_stream_is_made_with_what_every_stream_has(connection: Connection) -> None:
    await ensure(connection, None, dict(WANTED), {"made": "once"})
    found = await settings(connection)
    assert found["max_msgs_per_subject"] == 1
    assert (found["storage"], found["allow_direct"], found["num_replicas"]) == ("file", True, 1)
    assert found["metadata"]["made"] == "once"


async def test_only_what_differs_is_changed(connection: Connection) -> None:
    await ensure(connection, None, {**WANTED, "max_msgs": 7}, {"made": "once"})
    await ensure(connection, None, {**WANTED, "max_msgs_per_subject": 5}, {"made": "again"})
    found = await settings(connection)
    assert (found["max_msgs"], found["max_msgs_per_subject"]) == (7, 5)
    assert found["metadata"]["made"] == "once", "metadata is for new streams"


async def test_a_stream_that_is_refused_is_named(connection: Connection) -> None:
    with pytest.raises(Misconfigured, match="stream NOTES"):
        await ensure(connection, 3, dict(WANTED))
