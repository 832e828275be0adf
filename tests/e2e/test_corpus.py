"""A query string means the corpus's rows on every output of a running hub: replay, GET, live."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from tests.e2e.client import V1, Client, Closed, Frame
from tests.e2e.hub import Hub, running_hub

CORPUS = json.loads(
    (Path(__file__).parents[1] / "conformance/corpus.json").read_text(encoding="utf-8")
)
COLUMNS = list(CORPUS["schema"]["columns"])
BOOLEANS = ("flag", "done")
Vector = dict[str, Any]
VECTORS: list[Vector] = CORPUS["vectors"]
AT_ONCE = 32
"""Requests in progress at a time; live sockets are open all at once."""
DEADLINE_SECONDS = 40.0


def config() -> str:
    """One endpoint for each way to get rows; clients cannot set `user`, so it is set from `who`."""
    defaults = {"user": "msg.get('who')", "timestamp": "msg.get('when')"}
    kwargs = {
        "columns": CORPUS["schema"]["columns"],
        "message_default": {"POST": defaults, "PUT": defaults},
    }
    urls = {
        name: {"pattern": f"/{name}", "handler": "MessageHandler", "kwargs": kwargs}
        for name in ("stored", "posted", "changed")
    }
    return json.dumps({"server": {"heartbeat": 0.2}, "url": urls})


def expected_row(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: bool(row[name]) for name in BOOLEANS if row[name] is not None}


ROWS = {row["id"]: expected_row(row) for row in CORPUS["rows_in_insertion_order"]}


def message(row: dict[str, Any], method: str, *, is_empty: bool = False) -> dict[str, Any]:
    """A row as a message: complete, or its id with NULL in all columns."""
    values = {name: None if is_empty else row[name] for name in COLUMNS if name != "id"}
    values |= {"who": values.pop("user"), "when": values.pop("timestamp")}
    return {"_method": method, "id": row["id"], **values}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), config()) as hub:
        yield hub


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """One session with as many connections as asked for."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as opened:
        yield opened


@pytest.fixture
async def stored(hub: Hub, session: aiohttp.ClientSession) -> str:
    """URL of the endpoint that has the corpus's rows."""
    url = f"{hub.url}/stored"
    async with session.get(url) as answer:
        is_empty = await answer.json() == []
    if is_empty:
        await write(session, url, "POST")
    return url


async def write(
    session: aiohttp.ClientSession, url: str, method: str, *, is_empty: bool = False
) -> int:
    """Send all rows in order in one request; return the last one's sequence."""
    messages = [message(row, method, is_empty=is_empty) for row in ROWS.values()]
    async with session.post(url, json=messages) as answer:
        receipts = await answer.json()
    assert all("_seq" in receipt for receipt in receipts), receipts
    return int(receipts[-1]["_seq"])


def at(url: str, *queries: str) -> URL:
    """The URL with its query byte for byte: clients normalise what the corpus means to send."""
    return URL(f"{url}?{'&'.join(query for query in queries if query)}", encoded=True)


def unshaped(vector: Vector) -> str:
    """The query without what shapes the replay only."""
    parts = vector["qs"].split("&")
    return "&".join(part for part in parts if not part.startswith(("_limit", "_offset", "_sort")))


def told_live(vector: Vector) -> set[str]:
    """Columns that a live frame may have: those asked for, and always the id."""
    return {"id", *vector["expect"].get("columns", COLUMNS)}


async def for_each(work: Callable[[Vector], Awaitable[object]]) -> dict[str, object]:
    """Do something for all vectors, some at a time; return the results by query string."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(vector: Vector) -> object:
        async with room:
            return await work(vector)

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        tasks = {name_of(vector): group.create_task(one(vector)) for vector in VECTORS}
    return {name: task.result() for name, task in tasks.items()}


def name_of(vector: Vector) -> str:
    return f"{vector['n']} ?{vector['qs']}"


def answer_to(vector: Vector) -> object:
    """What a reader of the current rows must get: rows in order with columns in order."""
    expect = vector["expect"]
    if "error" in expect:
        return ("bad_filter", expect["error"])
    columns = expect.get("columns", COLUMNS)
    return [[(name, ROWS[row_id][name]) for name in columns] for row_id in expect["ids"]]


def as_rows(frames: list[Frame]) -> object:
    """Rows as lists of their items: that keeps the order of columns. Or the one error."""
    if frames and "_error" in frames[-1]:
        assert len(frames) == 1, frames
        return (frames[0]["_error"]["code"], frames[0]["_error"]["column"])
    return [list(frame.items()) for frame in frames]


ANSWERS = {name_of(vector): answer_to(vector) for vector in VECTORS}


async def test_get_answers_the_corpus(stored: str, session: aiohttp.ClientSession) -> None:
    async def get(vector: Vector) -> object:
        async with session.get(at(stored, vector["qs"])) as answer:
            found = msgspec.json.decode(await answer.read())
        assert answer.status == (400 if "error" in vector["expect"] else 200)
        return as_rows(found if isinstance(found, list) else [found])

    assert await for_each(get) == ANSWERS


async def test_a_v1_replay_answers_the_corpus(stored: str, session: aiohttp.ClientSession) -> None:
    async def replay(vector: Vector) -> object:
        async with session.ws_connect(at(stored, vector["qs"]), protocols=(V1,)) as socket:
            client = Client(socket)
            frames = await client.until(lambda frame: "_ready" in frame or "_error" in frame)
            if "_error" in frames[-1]:
                with pytest.raises(Closed) as closed:
                    await client.receive()
                assert closed.value.code == 4400
                return as_rows(frames)
        assert all(frame.pop("_method") == "POST" and frame.pop("_seq") for frame in frames[:-1])
        return as_rows(frames[:-1])

    assert await for_each(replay) == ANSWERS


async def test_a_bare_replay_answers_the_corpus(
    stored: str, session: aiohttp.ClientSession
) -> None:
    """A client that is up to date gets a ping in silence: after it no row of the replay follows."""

    async def replay(vector: Vector) -> object:
        frames = []
        async with session.ws_connect(at(stored, vector["qs"]), autoping=False) as socket:
            while (received := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                frames.append(msgspec.json.decode(received.data))
        if "error" in vector["expect"]:
            assert socket.close_code == 4400
        else:
            assert received.type is aiohttp.WSMsgType.PING
        return as_rows(frames)

    assert await for_each(replay) == ANSWERS


async def test_every_client_gets_the_matching_rows_live(
    hub: Hub, session: aiohttp.ClientSession
) -> None:
    url = f"{hub.url}/posted"
    found: dict[str, list[Frame]] = {}
    async with sockets(session, url, lambda vector: [vector["qs"], "_since=now"]) as clients:
        for client in clients.values():
            assert [list(frame) for frame in await client.replay()] == [["_resume"]]
        last = await write(session, url, "POST")
        for vector in answered():
            frames = await until_at(clients[name_of(vector)], last)
            assert all(columns_of(frame) == told_live(vector) for frame in frames), name_of(vector)
            found[name_of(vector)] = frames
    ids = {name: [frame["id"] for frame in frames] for name, frames in found.items()}
    assert ids == await matching_ids(session, url)
    assert all(is_like_row(frame) for frames in found.values() for frame in frames)


async def test_rows_enter_and_leave_every_filter(hub: Hub, session: aiohttp.ClientSession) -> None:
    """Rows without values get them, and lose them: a client ends where it began."""
    url = f"{hub.url}/changed"
    await write(session, url, "POST", is_empty=True)
    empty = await unshaped_ids(session, url)
    async with sockets(session, url, lambda vector: [unshaped(vector)]) as clients:
        for client in clients.values():
            await client.replay()
        before = tables(clients)
        assert {name: list(table) for name, table in before.items()} == empty
        await until_all_at(clients, await write(session, url, "PUT"))
        for vector in answered():
            check_entered(clients[name_of(vector)], vector)
        ids = await matching_ids(session, url)
        assert {name: set(table) for name, table in tables(clients).items()} == {
            name: set(matching) for name, matching in ids.items()
        }
        await until_all_at(clients, await write(session, url, "PUT", is_empty=True))
        assert tables(clients) == before


def answered() -> list[Vector]:
    return [vector for vector in VECTORS if "error" not in vector["expect"]]


@asynccontextmanager
async def sockets(
    session: aiohttp.ClientSession, url: str, queries: Callable[[Vector], list[str]]
) -> AsyncIterator[dict[str, Client]]:
    """A v1 socket for every vector, all open at once; those of wrong queries get the error."""
    clients: dict[str, Client] = {}
    async with AsyncExitStack() as stack:
        for vector in VECTORS:
            connecting = session.ws_connect(at(url, *queries(vector)), protocols=(V1,))
            client = Client(await stack.enter_async_context(connecting))
            if "error" not in vector["expect"]:
                clients[name_of(vector)] = client
            elif vector["expect"]["error"] != "_limit" or "_limit" in queries(vector)[0]:
                error = (await client.receive())["_error"]
                assert (error["code"], error["column"]) == ("bad_filter", vector["expect"]["error"])
        yield clients


async def matching_ids(session: aiohttp.ClientSession, url: str) -> dict[str, list[str]]:
    """The ids of all rows that match, in order of creation: the corpus's own.

    Where a query has a limit the corpus lists some of them only; for those GET is asked.
    """
    ids = await unshaped_ids(session, url)
    for vector in answered():
        if "_limit" not in vector["qs"] and "_offset" not in vector["qs"]:
            ids[name_of(vector)] = [row_id for row_id in ROWS if row_id in vector["expect"]["ids"]]
    return ids


async def unshaped_ids(session: aiohttp.ClientSession, url: str) -> dict[str, list[str]]:
    """The ids of all rows that match now, in order of creation, as GET gives them."""
    ids = {}
    for vector in answered():
        async with session.get(at(url, unshaped(vector))) as answer:
            ids[name_of(vector)] = [row["id"] for row in await answer.json()]
    return ids


def columns_of(frame: Frame) -> set[str]:
    """The declared columns in a live frame; a message has other keys too."""
    assert frame["_method"] == "POST"
    assert frame["_seq"] > 0
    return frame.keys() & set(COLUMNS)


def is_like_row(frame: Frame) -> bool:
    row = ROWS[frame["id"]]
    return all(frame[name] == row[name] for name in frame.keys() & row.keys())


async def until_at(client: Client, sequence: int) -> list[Frame]:
    """Return the frames about rows up to a tick at a sequence or later."""

    def is_there(frame: Frame) -> bool:
        return "_tick" in frame and int(frame["_tick"].rpartition(".")[2]) >= sequence

    return [frame for frame in await client.until(is_there) if "id" in frame]


async def until_all_at(clients: dict[str, Client], sequence: int) -> None:
    for client in clients.values():
        await until_at(client, sequence)


def tables(clients: dict[str, Client]) -> dict[str, dict[str, Frame]]:
    """What each client holds, as values: its columns, and none of the message's other keys."""
    return {
        name: {
            row_id: {key: value for key, value in row.items() if key in COLUMNS}
            for row_id, row in client.table.items()
        }
        for name, client in clients.items()
    }


def check_entered(client: Client, vector: Vector) -> None:
    for row in client.table.values():
        assert row.keys() >= told_live(vector), name_of(vector)
        assert is_like_row(row), name_of(vector)
