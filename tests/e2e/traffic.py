"""Traffic: random writers, and an oracle that knows nothing of the hub's filters."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from tests.e2e.client import V1, Client, Closed

Row = dict[str, Any]
TOPICS = ("Help", "Sales", "help", "Ünïcode", None)

FILTERS: dict[str, Callable[[Row], bool]] = {
    "": lambda _: True,
    "topic=Help": lambda row: row["topic"] == "Help",
    "topic!=Help": lambda row: row["topic"] not in (None, "Help"),
    "topic!": lambda row: row["topic"] is None,
    "topic*=help": lambda row: "help" in (row["topic"] or "").lower(),
    "n>=5": lambda row: row["n"] is not None and row["n"] > 5,
    "n<~=3&topic=Sales": lambda row: (
        row["n"] is not None and row["n"] <= 3 and row["topic"] == "Sales"
    ),
    "flag=true": lambda row: row["flag"] is True,
    "flag!": lambda row: row["flag"] is None,
}
"""Query string → what it means, written a second time by hand."""


@dataclass
class Sent:
    """What a writer knows: each acknowledged write, by sequence."""

    acknowledged: dict[int, Row] = field(default_factory=dict)
    unknown: int = 0
    """Writes that were never answered."""


def random_fields(rng: random.Random) -> Row:
    fields = {
        "topic": rng.choice(TOPICS),
        "n": rng.choice((None, rng.randrange(10))),
        "flag": rng.choice((None, True, False)),
        "body": rng.choice(("", "x", "ß\u2028'\"")) * rng.randrange(20),
    }
    return {key: fields[key] for key in rng.sample(sorted(fields), rng.randrange(1, 5))}


def random_message(rng: random.Random, ids: list[str]) -> Row:
    """A POST, or a change of a row that some writer has made, deleted or not."""
    method = rng.choices(("POST", "PUT", "DELETE"), (5, 8, 2))[0]
    if method == "POST" or not ids:
        return {"_method": "POST", **random_fields(rng)}
    row_id = rng.choice(ids)
    if method == "DELETE":
        return {"_method": "DELETE", "id": row_id}
    return {"_method": "PUT", "id": row_id, **random_fields(rng)}


async def write(
    session: aiohttp.ClientSession, url: str, rng: random.Random, ids: list[str], sent: Sent,
    stop: asyncio.Event,
) -> None:  # fmt: skip
    """Write over WebSockets until stopped; reconnect when the hub goes away."""
    count = 0
    while not stop.is_set():
        try:
            async with session.ws_connect(f"{url}?_since=now", protocols=(V1,)) as socket:
                while not stop.is_set():
                    count += 1
                    message = random_message(rng, ids)
                    await socket.send_json({**message, "_ref": count})
                    sent.unknown += 1
                    reply = await _answer(socket, count)
                    sent.unknown -= 1
                    if "_ack" in reply:
                        sent.acknowledged[reply["_seq"]] = {**message, "id": reply["id"]}
                        if message["_method"] == "POST":
                            ids.append(reply["id"])
        except (aiohttp.ClientError, ConnectionError, Closed):
            await asyncio.sleep(0.05)


async def _answer(socket: aiohttp.ClientWebSocketResponse, ref: int) -> Row:
    async with asyncio.timeout(30):
        while True:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise Closed(socket.close_code)
            reply: Row = msgspec.json.decode(message.data)
            if reply.get("_ack") == ref or reply.get("_error", {}).get("ref") == ref:
                return reply


def check_seen(client: Client, frame: Row, matches: Callable[[Row], bool]) -> None:
    """What a client holds after a frame matches its filter."""
    if "id" in frame and "_ack" not in frame and frame.get("_method") != "DELETE":
        row = client.table[frame["id"]]
        whole = {"topic": None, "n": None, "flag": None, **row}
        assert matches(whole), f"saw {frame}"


def plain(rows: list[Row]) -> dict[str, Row]:
    """Rows by id, as a client that leaves out NULLs would hold them."""
    return {row["id"]: {k: v for k, v in row.items() if v is not None} for row in rows}
