"""Values are the same numbers and instants on every output of a hub, also after a changed type."""

import asyncio
import csv
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.e2e.client import V1, connect, get, request
from tests.e2e.command import run
from tests.e2e.hub import Hub, HubFactory
from tests.integration.alerts.sink import Sink

COLUMNS = (
    "{price: 'DECIMAL(22,2)', rate: DECIMAL, at: TIMESTAMP, due: TIMESTAMPTZ, day: DATE,"
    " n: INTEGER, done: BOOLEAN, data: JSON}"
)
LONG = "12345678901234567890.10"
"""More digits than a float has."""
BIG = 9007199254740993
"""2^53 + 1: the first whole number that a float is not."""
SENT = (
    f'{{"id": "a", "price": {LONG}, "rate": 0.1, "at": "2026-08-19T14:17:03+05:30",'
    f' "due": "2026-08-19 14:17:03.5+0530", "n": {BIG}, "data": [{BIG}, 0.1, 1e22]}}'
)
SPELLED = {
    "price": LONG,
    "rate": "0.1000000000",
    "at": '"2026-08-19T08:47:03"',
    "due": '"2026-08-19T08:47:03.500000Z"',
    "n": str(BIG),
}
"""The JSON of what was sent, letter for letter."""


def config(columns: str = COLUMNS, more: str = "", top: str = "") -> str:
    """Two endpoints of one table: one as Gramex has it, one by the hub's clock and with a `Z`."""
    return f"""{top}
url:
  plain:
    pattern: /plain
    handler: MessageHandler
    kwargs:
      table: values
      columns: {columns}
      {more}
  zoned:
    pattern: /zoned
    handler: MessageHandler
    kwargs: {{table: values, timestamps: [hub, z]}}
"""


async def post(url: str, text: str) -> tuple[int, Any]:
    return await request("POST", url, data=text, headers={"Content-Type": "application/json"})


async def text_of(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def text_until(
    socket: aiohttp.ClientWebSocketResponse, is_last: Callable[[str], bool]
) -> str:
    """Return the text of the first frame that is asked for."""
    async with asyncio.timeout(40):
        while not is_last(text := await socket.receive_str()):
            pass
    return text


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """One session for several sockets."""
    async with aiohttp.ClientSession() as opened:
        yield opened


def assert_exact(text: str, names: tuple[str, ...] = tuple(SPELLED)) -> None:
    """Look at the JSON as it is written: a parser would round what it reads."""
    for name in names:
        assert f'"{name}":{SPELLED[name]}' in text, text


async def test_digits_and_instants_are_the_same_on_every_output(
    hub_factory: HubFactory, session: aiohttp.ClientSession
) -> None:
    hub = hub_factory(config())
    url = f"{hub.url}/plain"

    def is_a(text: str) -> bool:
        return '"id":"a"' in text

    async with (
        session.ws_connect(url) as bare,
        session.ws_connect(url, protocols=(V1,)) as v1,
        session.ws_connect(f"{url}?price={LONG}") as entering,
        session.ws_connect(f"{url}?_replay=log") as history,
    ):
        await text_until(v1, lambda text: "_ready" in text)
        assert (await post(url, SENT))[0] == 201
        for socket in (bare, v1, entering, history):
            assert_exact(await text_until(socket, is_a))
        await request("PUT", url, json={"id": "a", "price": "0.50"})
        assert '"price":0.50' in await text_until(v1, is_a)
        assert f'"was":{{"price":{LONG}}}' in await text_until(history, is_a)
        assert (await post(url, f'{{"_method": "PUT", "id": "a", "price": {LONG}}}'))[0] == 200
        assert_exact(await text_until(entering, lambda text: '"POST"' in text))
    assert_exact(await text_of(url))
    assert_exact(await text_of(f"{url}?_since=earliest"))
    async with session.ws_connect(url) as bare:
        assert_exact(await text_until(bare, is_a))
    [row] = csv.DictReader(io.StringIO(await text_of(f"{url}?_format=csv")))
    assert {name: row[name] for name in SPELLED} == {n: t.strip('"') for n, t in SPELLED.items()}
    assert row["data"] == f"[{BIG},0.1,1e22]"


@pytest.mark.parametrize(
    "query",
    [
        f"price={LONG}",
        f"price={LONG}00",
        f"price>~={LONG}",
        "price>=12345678901234567890.09",
        "price<=12345678901234567890.105",
        "price<=1e30",
        "rate=.1",
        f"n={BIG}",
        "due=2026-08-19T08:47:03.5Z",
        "due>~=2026-08-19T14:17:03.4%2B05:30",
        "due<=2026-08-19T08:47:03.6-00:00",
        "at=2026-08-19T14:17:03%2B05:30",
        "at>~=2026-08",
        "at<=2026-08-19 08:47:04",
    ],
)
async def test_filters_find_the_number_and_the_instant(values: str, query: str) -> None:
    assert [row["id"] for row in await get(f"{values}?{query}")] == ["a"]
    async with connect(f"{values}?{query}") as client:
        assert [row["id"] for row in await client.replay()] == ["a"]


@pytest.mark.parametrize(
    "query", ["price=1234567890123456789", "price>=1e19%20&price<=1", f"n={BIG - 1}", "price=0.005"]
)
async def test_filters_tell_apart_numbers_that_are_equal_as_floats(values: str, query: str) -> None:
    assert await get(f"{values}?{query}") == []


@pytest.mark.parametrize(
    ("query", "column"),
    [
        ("n=1_0", "n"),
        ("n=1e3", "n"),
        ("price=1,5", "price"),
        ("done=maybe", "done"),
        ("due=2026-W34", "due"),
        ("at=20260819", "at"),
        ("timestamp>=yesterday", "timestamp"),
        ("timestamp>~=2026-08-19T10:00:00 05:30", "timestamp"),
        ("_limit=1_0", "_limit"),
    ],
)
async def test_a_value_that_is_invalid_is_refused(values: str, query: str, column: str) -> None:
    status, body = await request("GET", f"{values}?{query}")
    assert (status, body["_error"]["code"], body["_error"]["column"]) == (400, "bad_filter", column)


@pytest.mark.parametrize(
    "message",
    [
        {"price": "0.001"},
        {"price": 1e21},
        {"rate": "nan"},
        {"n": "12.0"},
        {"n": 2**63},
        {"done": "perhaps"},
        {"due": "soon"},
        {"day": "20260819"},
        {"timestamp": "yesterday"},
        {"timestamp": 1787127423},
        {"timestamp": "2026-08"},
    ],
)
async def test_a_value_that_does_not_fit_is_refused_by_column(
    values: str, message: dict[str, Any]
) -> None:
    for method, given in (("POST", message), ("PUT", {"id": "a", **message})):
        _, reply = await request(method, values, json=given)
        assert (reply["_error"]["code"], reply["_error"]["column"]) == (
            "bad_value",
            *message,
        )


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """URL of a hub with the one row that is looked for."""
    folder = tmp_path_factory.mktemp("values")
    (folder / "eventhub.yaml").write_text(config())
    hub = Hub(folder / "eventhub.yaml", folder, [])
    hub.start()
    assert asyncio.run(post(f"{hub.url}/plain", SENT))[0] == 201
    yield f"{hub.url}/plain"
    hub.kill()


# --- timestamp


async def test_a_clients_timestamp_is_stored_in_one_form_and_never_lost(
    hub_factory: HubFactory,
) -> None:
    url = f"{hub_factory(config()).url}/plain"
    row_id = ""
    for sent in ("2026-08-19T14:17:03+05:30", "2026-08-19 08:47:03", "2026-08-19T08:47:03.000Z"):
        row_id = (await request("POST", url, json={"timestamp": sent}))[1]["id"]
        [row] = await get(url, id=row_id)
        assert row["timestamp"] == "2026-08-19T08:47:03"
    for nothing in (None, ""):
        assert (await request("PUT", url, json={"id": row_id, "timestamp": nothing}))[0] == 200
    assert (await get(url, id=row_id))[0]["timestamp"] == "2026-08-19T08:47:03"
    moved = {"id": row_id, "timestamp": "2026-08-20T00:00:00+01:00"}
    assert (await request("PUT", url, json=moved))[0] == 200
    assert (await get(url, id=row_id))[0]["timestamp"] == "2026-08-19T23:00:00"
    row_id = (await request("POST", url, json={"timestamp": None}))[1]["id"]
    [row] = await get(url, id=row_id)
    assert datetime.fromisoformat(row["timestamp"] + "Z") > datetime.now(UTC) - timedelta(minutes=1)


async def test_with_the_hubs_clock_a_clients_timestamp_is_ignored(hub_factory: HubFactory) -> None:
    url = f"{hub_factory(config()).url}/zoned"
    for sent in ("1999-01-01", "yesterday", 7, None):
        assert (await request("POST", url, json={"timestamp": sent}))[0] == 201
    rows = await get(url)
    stamps = [datetime.fromisoformat(row["timestamp"]) for row in rows]
    assert stamps == sorted(stamps)
    assert stamps[0] > datetime.now(UTC) - timedelta(minutes=1)
    put = {"id": rows[0]["id"], "timestamp": "1999-01-01", "n": 1}
    assert (await request("PUT", url, json=put))[0] == 200
    assert (await get(url))[0] == {**rows[0], "n": 1}


async def test_a_z_is_sent_on_every_output_of_its_endpoint_only(
    hub_factory: HubFactory, session: aiohttp.ClientSession
) -> None:
    hub = hub_factory(config())

    def is_row(text: str) -> bool:
        return '"timestamp"' in text

    async with (
        session.ws_connect(f"{hub.url}/zoned") as zoned,
        session.ws_connect(f"{hub.url}/plain") as plain,
        session.ws_connect(f"{hub.url}/zoned?_replay=log") as history,
        session.ws_connect(f"{hub.url}/zoned", protocols=(V1,)) as ready,
    ):
        await text_until(ready, lambda text: "_ready" in text)
        await request("POST", f"{hub.url}/plain", json={"timestamp": "2026-08-19T08:47:03Z"})
        for socket in (zoned, history):
            assert '"timestamp":"2026-08-19T08:47:03Z"' in await text_until(socket, is_row)
        assert '"timestamp":"2026-08-19T08:47:03"' in await text_until(plain, is_row)
    for query, form in (("/zoned", "03Z"), ("/plain", "03"), ("/zoned?timestamp<=2027", "03Z")):
        async with session.ws_connect(hub.url + query) as replay:
            assert f'"timestamp":"2026-08-19T08:47:{form}"' in await text_until(replay, is_row)
        assert [row["timestamp"][17:] for row in await get(hub.url + query)] == [form]
    assert "2026-08-19T08:47:03Z" in await text_of(f"{hub.url}/zoned?_format=csv")


async def test_a_timestamp_from_message_default_is_converted_too(hub_factory: HubFactory) -> None:
    more = "message_default: {POST: {timestamp: msg.get('when')}}"
    url = f"{hub_factory(config(more=more)).url}/plain"
    for when in ("2023", "2023-01-02 03:04:05", None):
        row_id = (await request("POST", url, json={"when": when}))[1]["id"]
        assert (await get(url, id=row_id))[0]["timestamp"] == when
    _, reply = await request("POST", url, json={"when": "yesterday"})
    assert (reply["_error"]["code"], reply["_error"]["column"]) == (
        "bad_value",
        "timestamp",
    )


# --- Mails


async def test_a_mail_template_calculates_with_a_decimal(hub_factory: HubFactory) -> None:
    alert = """alert:
        to: ann@example.org
        subject: "{{ price }} and {{ price * 2 }}, due {{ due }}"
        condition: msg['price'] > 10"""
    async with Sink.running() as sink:
        email = f"email: {{l: {{type: smtp, host: 127.0.0.1, port: {sink.port}, email: h@x.org}}}}"
        url = f"{hub_factory(config(more=alert, top=email)).url}/plain"
        await post(url, '{"price": 9.99}')
        assert (await post(url, '{"price": 10.50, "due": "2026-08-19T10:00:00+02:00"}'))[0] == 201
        [taken] = await sink.has(1)
    assert taken.mail["Subject"] == "10.50 and 21.00, due 2026-08-19T08:00:00Z"


# --- Changed types


async def test_old_values_are_cast_to_a_changed_type_and_the_tables_agree(
    hub_factory: HubFactory,
) -> None:
    before = "{a: TIMESTAMP, b: TEXT, c: REAL, d: DATE, e: BOOLEAN, f: INTEGER, g: REAL, h: JSON}"
    after = (
        "{a: DATE, b: 'DECIMAL(9,3)', c: INTEGER, d: TIMESTAMPTZ, e: INTEGER, f: TEXT,"
        " g: 'DECIMAL(5,2)', h: TEXT}"
    )
    hub = hub_factory(config(before))
    url = f"{hub.url}/plain"
    good = {"a": "2024-09-15T10:00:00", "b": " 4.20 ", "c": 2.0, "d": "2024-09-15", "e": True}
    await request("POST", url, json={"id": "good", **good, "f": 7, "g": 0.1, "h": {"k": [1]}})
    await request("POST", url, json={"id": "bad", "b": "many", "c": 2.5, "g": 0.125})
    await asyncio.to_thread(hub.stop)
    (hub.folder / "eventhub.yaml").write_text(config(after))
    await asyncio.to_thread(hub.start)
    rows = json.loads(await text_of(url), parse_float=Decimal)
    assert [tuple(row[name] for name in "abcdefgh") for row in rows] == [
        (
            "2024-09-15",
            Decimal("4.200"),
            2,
            "2024-09-15T00:00:00Z",
            1,
            "7",
            Decimal("0.10"),
            '{"k":[1]}',
        ),
        (None,) * 8,
    ]
    assert str(rows[0]["b"]) == "4.200"
    lost = [json.loads(line) for line in hub.stderr().splitlines() if "value_not_lifted" in line]
    assert sorted((line["column"], line["id"], line["count"]) for line in lost) == [
        (name, "bad", 1) for name in "bcg"
    ]
    async with connect(f"{url}?b=4.2&d>~=2024-09-15&_replay=log") as history:
        [event] = await history.replay()
        assert (event["id"], event["row"]["c"]) == ("good", 2)
    await asyncio.to_thread(hub.stop)
    done = await asyncio.to_thread(
        run, "verify", str(hub.folder / "eventhub.yaml"), "--data", str(hub.folder / "data")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (hub.folder / "eventhub.yaml").write_text(config(before))
    await asyncio.to_thread(hub.start)
    assert [row["b"] for row in await get(url)] == [" 4.20 ", "many"]


# --- The command line


async def test_the_command_line_keeps_all_digits(hub_factory: HubFactory) -> None:
    url = f"{hub_factory(config()).url}/plain"
    sent = f'{{"id": "c", "price": {LONG}, "n": {BIG}}}'
    done = await asyncio.to_thread(run, "post", url, sent)
    assert done.returncode == 0, done.stderr
    assert_exact(await text_of(url), ("price", "n"))
    command = [sys.executable, "-m", "eventhub", "tail", url]
    tail = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert tail.stdout is not None
        async with asyncio.timeout(20):
            line = await tail.stdout.readline()
    finally:
        tail.terminate()
        await tail.wait()
    assert_exact(line.decode(), ("price", "n"))
