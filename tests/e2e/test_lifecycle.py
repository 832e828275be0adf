"""A hub starts, stops, changes and shares its log without losing or repeating anything."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventhub.broker import EmbeddedBroker
from tests.e2e.client import V1, Client, Closed, connect, get, request
from tests.e2e.command import GOOD
from tests.e2e.hub import DEADLINE_SECONDS, Hub, HubFactory
from tests.integration.alerts.sink import Sink

ENDPOINT = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {columns}
"""


def config(columns: str = "{body: TEXT, n: INTEGER}", top: str = "", kwargs: str = "") -> str:
    return top + ENDPOINT.format(columns=columns) + "".join(f"      {line}\n" for line in [kwargs])


async def post(url: str, **message: Any) -> dict[str, Any]:
    status, receipt = await request("POST", url, json=message)
    assert status == 201, receipt
    return dict(receipt)


# --- Stopping


async def flood(client: Client, run: int, answered: list[dict[str, Any]]) -> int:
    """Send without waiting for answers until the hub closes; return the close code."""

    async def send() -> None:
        number = 0
        while not client.socket.closed:
            await client.send({"n": number, "body": str(run), "_ref": f"{run}.{number}"})
            number += 1
            await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        sending = group.create_task(send())
        try:
            while True:
                frame = await client.receive()
                if "_ack" in frame:
                    answered.append(frame)
        except Closed as closed:
            sending.cancel()
            return closed.code or 0


async def test_a_stop_under_load_answers_what_it_stores_and_says_1012(
    hub_factory: HubFactory,
) -> None:
    hub: Hub = await asyncio.to_thread(hub_factory, config())
    url, answered = f"{hub.url}/notes", list[dict[str, Any]]()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        clients = [await stack.enter_async_context(connect(f"{url}?_since=now")) for _ in range(20)]
        listeners = [
            await stack.enter_async_context(connect(f"{url}?n=-1", bare=True)) for _ in range(20)
        ]
        floods = [
            group.create_task(flood(client, run, answered)) for run, client in enumerate(clients)
        ]
        silent = [group.create_task(closed_with(client)) for client in listeners]
        async with asyncio.timeout(40):
            while len(answered) < 200:
                await asyncio.sleep(0.01)
        started = time.monotonic()
        watching = group.create_task(readiness(hub))
        assert await asyncio.to_thread(hub.stop) == 0
        took = time.monotonic() - started
    assert took < 10
    assert {task.result() for task in floods + silent} == {1012}
    assert watching.result() <= {503, None}
    await asyncio.to_thread(hub.start)
    stored = {event["_seq"] for event in await history(url)}
    assert stored == {receipt["_seq"] for receipt in answered}


async def readiness(hub: Hub) -> set[int | None]:
    """What `/readyz` says once it does not say ready, up to the end of the process."""
    statuses: set[int | None] = set()
    async with asyncio.timeout(DEADLINE_SECONDS), aiohttp.ClientSession() as session:
        while hub.process is not None and hub.process.poll() is None:
            status = await _readyz(session, hub.url)
            if status != 200 or statuses:
                statuses.add(status)
            await asyncio.sleep(0.01)
    return statuses


async def _readyz(session: aiohttp.ClientSession, url: str) -> int | None:
    try:
        async with session.get(f"{url}/readyz") as answer:
            return answer.status
    except (aiohttp.ClientError, ConnectionError):
        return None


async def closed_with(client: Client) -> int | None:
    with pytest.raises(Closed) as closed:
        await client.until(lambda _: False)
    return closed.value.code


async def history(url: str) -> list[dict[str, Any]]:
    async with connect(f"{url}?_replay=log") as client:
        return await client.replay()


async def test_clients_that_read_nothing_do_not_delay_the_stop_for_others(
    hub_factory: HubFactory,
) -> None:
    """Clients that do not answer a close frame are waited for at once, not one after the other."""
    hub: Hub = await asyncio.to_thread(hub_factory, config())
    url = f"{hub.url}/notes?_since=now"
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for _ in range(5):
            deaf = await stack.enter_async_context(connect(url))
            await deaf.replay()
            _transport(deaf).pause_reading()
            stack.callback(_transport(deaf).abort)
        clients = [await stack.enter_async_context(connect(url)) for _ in range(5)]
        codes = [group.create_task(closed_with(client)) for client in clients]
        started = time.monotonic()
        assert await asyncio.to_thread(hub.stop) == 0
        assert time.monotonic() - started < 9
    assert [task.result() for task in codes] == [1012] * 5
    assert "drain_cut_short" not in hub.stderr()


def _transport(client: Client) -> asyncio.Transport:
    connection = client.socket._response.connection
    assert connection is not None
    transport = connection.transport
    assert isinstance(transport, asyncio.Transport)
    return transport


async def test_http_writes_in_progress_at_a_stop_are_answered(hub_factory: HubFactory) -> None:
    hub: Hub = await asyncio.to_thread(hub_factory, config())
    url, answered = f"{hub.url}/notes", list[int]()

    async def write() -> None:
        async with aiohttp.ClientSession() as session:
            try:
                while True:
                    async with session.post(url, json={"body": "x"}) as answer:
                        answered.append((await answer.json())["_seq"])
            except (aiohttp.ClientError, ConnectionError):
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(write())
        async with asyncio.timeout(40):
            while len(answered) < 100:
                await asyncio.sleep(0.01)
        assert await asyncio.to_thread(hub.stop) == 0
    await asyncio.to_thread(hub.start)
    assert {event["_seq"] for event in await history(url)} == set(answered)


# --- Health


async def test_health_and_metrics_report_what_happened(hub_factory: HubFactory) -> None:
    hub: Hub = await asyncio.to_thread(hub_factory, config())
    url = f"{hub.url}/notes"
    row_id = (await post(url, body="a"))["id"]
    await post(url, body="b")
    await request("PUT", url, json={"id": row_id, "body": "c"})
    assert (await request("POST", url, json={"n": "x"}))[0] == 400
    assert (await request("POST", url, json={"_method": "PATCH"}))[0] == 400
    assert (await request("GET", f"{url}?n=x"))[0] == 400
    limited = f"{url}?_limit=9"  # these rows come from the tables alone, which have them by then
    async with connect(limited) as client, aiohttp.ClientSession() as session:
        await client.replay()
        async with session.get(f"{hub.url}/metrics") as answer:
            assert answer.content_type == "text/plain"
            samples = {
                (sample.name, *sorted(sample.labels.values())): sample.value
                for family in text_string_to_metric_families(await answer.text())
                for sample in family.samples
            }
        for path, text in (("healthz", "alive\n"), ("readyz", "ready\n")):
            async with session.get(f"{hub.url}/{path}") as answer:
                assert (answer.status, await answer.text()) == (200, text)
    assert samples["eventhub_events_appended_total", "POST", "notes"] == 2
    assert samples["eventhub_events_appended_total", "PUT", "notes"] == 1
    assert samples["eventhub_messages_refused_total", "bad_value"] == 1
    assert samples["eventhub_messages_refused_total", "bad_method"] == 1
    assert samples["eventhub_messages_refused_total", "bad_filter"] == 1
    assert samples["eventhub_connections", "notes", "v1"] == 1
    assert samples["eventhub_projected_sequence", "notes"] == 3
    assert samples["eventhub_broker_connected",] == 1


# --- Sessions


def test_a_hub_without_sql_starts_no_process_but_its_broker(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    assert hub.process is not None
    started = psutil.Process(hub.process.pid).children(recursive=True)
    assert [each.name() for each in started] == ["nats-server"]


async def test_a_session_begins_with_the_upgrade_and_outlives_a_restart(
    hub_factory: HubFactory,
) -> None:
    kwargs = "message_default: {POST: {body: \"handler.session['id']\"}}"
    hub: Hub = await asyncio.to_thread(hub_factory, config(kwargs=kwargs))
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address, not of a name
    ids = []
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        for _ in range(2):
            async with session.ws_connect(f"{hub.url}/notes?_since=now", protocols=(V1,)) as socket:
                client = Client(socket)
                reply = await client.write({})
                ids.append(client.table[reply["id"]]["body"])
            assert [cookie.key[:9] for cookie in jar] == ["eventhub-"]
            assert await asyncio.to_thread(hub.stop) == 0
            await asyncio.to_thread(hub.start)
        async with session.post(f"{hub.url}/notes", json={}) as answer:
            row_id = (await answer.json())["id"]
    [row] = await get(f"{hub.url}/notes", id=row_id)
    assert len(ids[0]) > 20
    assert ids == [row["body"], row["body"]]


# --- One broker, several processes


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    """A NATS server that is no hub's own."""
    async with EmbeddedBroker(tmp_path / "broker") as started:
        yield started


def shared(broker: EmbeddedBroker, top: str = "", kwargs: str = "") -> str:
    return config(
        top=f"broker: {{url: '{broker.url}', token: '{broker.token}'}}\n{top}", kwargs=kwargs
    )


async def test_two_gateways_on_one_broker_are_one_hub(
    hub_factory: HubFactory, broker: EmbeddedBroker
) -> None:
    one: Hub = await asyncio.to_thread(hub_factory, shared(broker), role=["gateway"])
    two: Hub = await asyncio.to_thread(hub_factory, shared(broker), role=["gateway"])
    urls = [f"{one.url}/notes", f"{two.url}/notes"]
    async with connect(urls[0]) as left, connect(urls[1]) as right:
        await left.replay()
        await right.replay()
        mine, yours = await left.ask({"body": "left"}), await right.ask({"body": "right"})
        for client in (left, right):
            while len(client.table) < 2:
                await client.receive()
            assert list(client.table) == [mine["id"], yours["id"]]
    for number in range(20):
        receipt = await post(urls[number % 2], n=number)
        [row] = await get(urls[1 - number % 2], id=receipt["id"])
        assert row["n"] == number


async def test_a_retry_through_another_gateway_gets_the_first_receipt(
    hub_factory: HubFactory, broker: EmbeddedBroker
) -> None:
    one: Hub = await asyncio.to_thread(hub_factory, shared(broker), role=["gateway"])
    two: Hub = await asyncio.to_thread(hub_factory, shared(broker), role=["gateway"])
    message = {"id": "own", "body": "once", "_key": "k1"}
    first = await post(f"{one.url}/notes", **message)
    again = await request("POST", f"{two.url}/notes", json=message)
    assert again == (200, {**first, "duplicate": True})
    change = {"id": "own", "body": "changed", "_key": "k3"}
    _, changed = await request("PUT", f"{one.url}/notes", json=change)
    assert await request("POST", f"{two.url}/notes", json=message) == again
    gone = {"id": "own", "_key": "k2"}
    _, deleted = await request("DELETE", f"{one.url}/notes", json=gone)
    for _ in range(2):
        assert await request("POST", f"{two.url}/notes", json=message) == again
        reply = await request("PUT", f"{two.url}/notes", json=change)
        assert reply == (200, {**changed, "duplicate": True})
        reply = await request("DELETE", f"{two.url}/notes", json=gone)
        assert reply == (200, {**deleted, "duplicate": True})
        await asyncio.to_thread(two.kill)
        await asyncio.to_thread(two.start)
    assert len(await history(f"{two.url}/notes")) == 3


async def test_alerts_in_a_separate_process_mail_once(
    hub_factory: HubFactory, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    async with Sink.running() as sink:
        top = f"email: {{s: {{host: 127.0.0.1, port: {sink.port}, email: hub@example.org}}}}\n"
        text = shared(broker, top, 'alert: {to: ann@example.org, subject: "{{ body }}"}')
        hubs = [await asyncio.to_thread(hub_factory, text, role=["gateway"]) for _ in range(2)]
        await post(f"{hubs[0].url}/notes", body="before")
        workers = [Worker(text, tmp_path / name) for name in ("first", "second")]
        try:
            for worker in workers:
                await worker.works()
            for number in range(10):
                await post(f"{hubs[number % 2].url}/notes", body=str(number))
            await sink.has(11)
        finally:
            codes = [await asyncio.to_thread(worker.stop) for worker in workers]
    assert codes == [0, 0]
    subjects = sorted(taken.mail["Subject"] for taken in sink.taken)
    assert subjects == sorted(["before", *map(str, range(10))])


class Worker:
    """`eventhub serve --role alerts`: takes no traffic, so it never says that it is ready."""

    def __init__(self, text: str, folder: Path) -> None:
        folder.mkdir()
        (folder / "eventhub.yaml").write_text(text)
        self._log = folder / "stderr.txt"
        command = [sys.executable, "-m", "eventhub", "serve", str(folder / "eventhub.yaml")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--role", "alerts"], stderr=log, start_new_session=True
            )

    async def works(self) -> None:
        """Wait until it says so in its log."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while '"serving"' not in self._log.read_text():
                await asyncio.sleep(0.02)

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise


# --- Restarts with something changed


async def restart(hub: Hub, text: str) -> None:
    """Stop a hub and start it with another configuration on the same data."""
    assert await asyncio.to_thread(hub.stop) == 0
    (hub.folder / "eventhub.yaml").write_text(text)
    await asyncio.to_thread(hub.start)


async def test_a_column_added_or_of_another_type_is_seen_in_old_rows_at_once(
    hub_factory: HubFactory,
) -> None:
    hub: Hub = await asyncio.to_thread(hub_factory, config("{body: TEXT, n: TEXT}"))
    url = f"{hub.url}/notes"
    await post(url, id="a", body="a", n="12")
    await post(url, id="b", body="b", n="many")
    added = "{body: TEXT, n: INTEGER, mood: TEXT, level: {type: INTEGER, default: 3}}"
    await restart(hub, config(added))
    old = {"a": (12, None, 3), "b": (None, None, 3)}
    assert values_of(await get(url)) == old
    async with connect(url) as client, connect(f"{url}?n=12&level=3") as matching:
        assert values_of(await client.replay()) == old
        assert values_of(await matching.replay()) == {"a": old["a"]}
        await request("PUT", url, json={"id": "a", "mood": "glad"})
        put = await client.receive()
        assert (put["_method"], put["id"], put["mood"]) == ("PUT", "a", "glad")
        assert (await matching.receive())["mood"] == "glad"
        await request("PUT", url, json={"id": "b", "n": "12"})
        entered = (await matching.until(lambda frame: "id" in frame))[-1]
        assert (entered["_method"], values_of([entered])) == ("POST", {"b": (12, None, 3)})
    assert values_of(await get(url)) == {"a": (12, "glad", 3), "b": (12, None, 3)}


def values_of(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    return {row["id"]: (row["n"], row["mood"], row["level"]) for row in rows}


async def test_a_deleted_projection_is_built_again(hub_factory: HubFactory) -> None:
    hub: Hub = await asyncio.to_thread(hub_factory, config())
    url = f"{hub.url}/notes"
    for number in range(50):
        await post(url, id=str(number), n=number)
    for number in range(0, 50, 2):
        await request("PUT", url, json={"id": str(number), "body": "even"})
    await request("DELETE", url, json={"id": "7"})
    before = await get(url)
    assert await asyncio.to_thread(hub.stop) == 0
    for file in (hub.folder / "data").glob("projection.duckdb*"):
        file.unlink()
    await asyncio.to_thread(hub.start)
    assert len(before) == 49
    assert await get(url) == before


async def test_a_deleted_log_resets_the_projection_and_its_clients(
    hub_factory: HubFactory,
) -> None:
    hub: Hub = await asyncio.to_thread(hub_factory, config())
    url = f"{hub.url}/notes"
    for number in range(5):
        await post(url, n=number)
    async with connect(url) as client:
        await client.replay()
    assert await asyncio.to_thread(hub.stop) == 0
    shutil.rmtree(hub.folder / "data" / "jetstream")
    await asyncio.to_thread(hub.start)
    assert await get(url) == []
    for number in range(7):  # the old position would be one of the new log too
        await post(url, n=100 + number)
    async with connect(f"{url}?_since={client.position}") as again:
        frames = await again.until(lambda frame: "_ready" in frame)
    assert frames[0]["_resume"] == {"recovered": False, "reason": "epoch"}
    assert frames[-1]["_ready"]["recovered"] is False
    assert [frame["n"] for frame in frames[1:-1]] == list(range(100, 107))
    assert msgspec.json.encode(await get(url)).count(b'"n":') == 7


async def test_a_client_that_is_still_connecting_is_closed_with_1012_at_a_stop(
    hub_factory: HubFactory,
) -> None:
    """Its `open` takes a second, and the stop comes within it."""
    text = """
url:
  slow:
    pattern: /slow
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}, open: asyncio.sleep(1)}
"""
    hub: Hub = await asyncio.to_thread(hub_factory, text)
    async with connect(f"{hub.url}/slow") as client, asyncio.TaskGroup() as group:
        code = group.create_task(closed_with(client))
        assert await asyncio.to_thread(hub.stop) == 0
    assert code.result() == 1012
    assert "drain_cut_short" not in hub.stderr()
