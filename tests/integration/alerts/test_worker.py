"""Each event that fires is mailed once, over retries, crashes and restarts; no server blocks."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventhub.alerts import operations
from eventhub.alerts.dead_letters import DeadLetter
from eventhub.alerts.pending import alert_key
from eventhub.alerts.sender import RECORD_SECONDS, RECORDS
from eventhub.alerts.worker import AlertWorker, RetryPolicy
from eventhub.broker import EmbeddedBroker
from eventhub.channel import Endpoint
from eventhub.config import Config, EmailService, MessageEndpoint
from eventhub.errors import Rejected
from eventhub.event import Position
from eventhub.jetstream import JetStreamLog, requests
from eventhub.stream import WORK_QUEUE, Delivery, EventStream
from tests.builders import channel, make_event
from tests.integration.alerts.sink import DEADLINE_SECONDS, Sink
from tests.unit.alerts.builders import make_endpoint

QUICK = RetryPolicy(first_seconds=0.05, longest_seconds=0.1, attempts=3)
ALERT: dict[str, Any] = {"to": "{{ to }}", "subject": "Message: {{ text }}", "body": "{{ text }}"}


class Hub:
    """The alert worker of a hub, its stream and its configuration."""

    def __init__(self, log: JetStreamLog, stream: EventStream, config: Config) -> None:
        self.log = log
        self.stream = stream
        self.config = config
        self.endpoints = [Endpoint(entry, channel()) for entry in config.of_kind(MessageEndpoint)]

    async def post(self, text: str = "hello", **changes: Any) -> int:
        """Append a POST to its endpoint; return its sequence."""
        row_id = f"r{(await self.stream.bounds()).last + 1}"
        message = {"id": row_id, "text": text, "to": "a@example.org"}
        event = make_event(**{"id": row_id, "message": message, **changes})
        return (await self.stream.append(event, expect=0)).sequence

    @asynccontextmanager
    async def working(self, policy: RetryPolicy = QUICK, stream: Any = None) -> AsyncIterator[None]:
        """Run the worker for the length of a block, and let it drain at the end."""
        streams = {"chat": stream or self.stream}
        worker = AlertWorker(self.config, self.endpoints, self.log, streams, policy=policy)
        await worker.prepare()
        stop = asyncio.Event()
        async with asyncio.timeout(2 * DEADLINE_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(worker.run(stop))
            yield
            stop.set()

    async def dead(self, count: int) -> list[DeadLetter]:
        """Wait until there are `count` dead letters."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(found := await operations.list_dead_letters(self.log)) != count:
                await asyncio.sleep(0.02)  # the broker does not announce new records
        return found


class LosesAcks:
    """A stream whose broker forgets the first acknowledgement of each event, as in a crash."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self.acknowledged = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @asynccontextmanager
    async def work(self, worker: str) -> AsyncIterator[AsyncIterator[Delivery]]:
        """Hand on deliveries that lose their first acknowledgement."""
        async with self._stream.work(worker) as deliveries:
            yield (Forgotten(delivery, self.acknowledged) async for delivery in deliveries)


class Forgotten:
    """A delivery of such a stream."""

    def __init__(self, delivery: Delivery, acknowledged: asyncio.Event) -> None:
        self._delivery = delivery
        self._acknowledged = acknowledged

    def __getattr__(self, name: str) -> Any:
        return getattr(self._delivery, name)

    async def ack(self) -> None:
        """Be delivered again instead, the first time."""
        if self._delivery.attempt == 1:
            await self._delivery.retry(0.05)
            return
        await self._delivery.ack()
        self._acknowledged.set()


async def make_hub(
    log: JetStreamLog, folder: Path, sinks: dict[str, Sink], *endpoints: Endpoint
) -> Hub:
    email = {
        name: EmailService(host="127.0.0.1", port=sink.port, email=f"{name}@example.org")
        for name, sink in sinks.items()
    }
    entries = tuple(endpoint.config for endpoint in endpoints)
    config = Config(path=folder / "hub.yaml", data=folder, email=email, endpoints=entries)
    hub = Hub(log, await log.open(channel()), config)
    await hub.stream.enlist(WORK_QUEUE)
    return hub


@pytest.fixture
async def hub(log: JetStreamLog, sink: Sink, tmp_path: Path) -> Hub:
    """A hub with one alert through `sink`."""
    return await make_hub(log, tmp_path, {"main": sink}, make_endpoint(**ALERT))


async def test_each_event_is_mailed_with_its_own_message_id(hub: Hub, sink: Sink) -> None:
    async with hub.working():
        first, second = await hub.post("one"), await hub.post("two")
        taken = await sink.has(2)
    found = {str(each.mail["Message-ID"]): str(each.mail["Subject"]) for each in taken}
    epoch = hub.stream.epoch
    assert found == {
        f"<{epoch}.{first}.chat@eventhub>": "Message: one",
        f"<{epoch}.{second}.chat@eventhub>": "Message: two",
    }


async def test_events_that_do_not_fire_cause_no_mail(
    log: JetStreamLog, sink: Sink, tmp_path: Path
) -> None:
    hub = await make_hub(log, tmp_path, {"main": sink}, make_endpoint(**ALERT, suppressible=True))
    async with hub.working():
        await hub.post("suppressed", alert=False)
        await hub.post("of another endpoint", endpoint="other")
        await hub.post("last")
        await sink.has(1)
    assert [each.mail["Subject"] for each in sink.taken] == ["Message: last"]


async def test_a_failed_mail_is_retried_after_a_second(hub: Hub, sink: Sink) -> None:
    sink.answers = ["451 later"]
    async with hub.working(RetryPolicy()):
        await hub.post()
        await sink.has(1)
    first, second = sink.attempts
    assert 0.9 < second - first < 3.0


async def test_a_refused_mail_is_a_dead_letter_until_a_retry_sends_it(hub: Hub, sink: Sink) -> None:
    sink.answers = ["554 spam", "554 spam"]
    async with hub.working():
        sequence = await hub.post()
        (letter,) = await hub.dead(1)
        assert (letter.sequence, letter.endpoint, letter.attempts) == (sequence, "chat", 1)
        assert (letter.to, letter.subject) == (["a@example.org"], "Message: hello")
        assert "554 spam" in letter.reason
    (again,) = await operations.retry_dead_letters(hub.config, hub.endpoints, hub.log)
    assert again.error is not None
    assert (await hub.dead(1))[0].attempts == 2
    (again,) = await operations.retry_dead_letters(hub.config, hub.endpoints, hub.log)
    assert again.error is None
    await hub.dead(0)
    assert len(sink.taken) == 1


async def test_a_mail_is_a_dead_letter_after_the_last_attempt(hub: Hub, sink: Sink) -> None:
    sink.answers = ["451 later"] * QUICK.attempts
    async with hub.working():
        await hub.post()
        (letter,) = await hub.dead(1)
        assert letter.attempts == QUICK.attempts
        await hub.post("next")
        await sink.has(1)
    assert len(sink.attempts) == QUICK.attempts + 1


async def test_a_template_that_fails_is_a_dead_letter_at_once(
    log: JetStreamLog, sink: Sink, tmp_path: Path
) -> None:
    endpoint = make_endpoint(to="a@example.org", subject="{{ 1 / (text | length) }}")
    hub = await make_hub(log, tmp_path, {"main": sink}, endpoint)
    async with hub.working():
        await hub.post("")
        (letter,) = await hub.dead(1)
    assert "url: chat: alert: subject: ZeroDivisionError" in letter.reason
    assert letter.attempts == 1


async def test_a_retry_mails_only_recipients_who_have_not_received_it(hub: Hub, sink: Sink) -> None:
    sink.refusals = {"b@example.org": "550 no such user", "c@example.org": "451 greylisted"}
    to = "a@example.org, b@example.org, c@example.org, nonsense"
    async with hub.working():
        await hub.post(message={"text": "x", "to": to})
        await sink.has(1)
        sink.refusals.pop("c@example.org")
        await sink.has(2)
        (letter,) = await hub.dead(1)
    assert [each.recipients for each in sink.taken] == [["a@example.org"], ["c@example.org"]]
    assert letter.recipients == ["nonsense", "b@example.org"]
    sink.refusals.clear()
    (again,) = await operations.retry_dead_letters(hub.config, hub.endpoints, hub.log)
    assert again.error == "nonsense: not an address"
    assert sink.taken[2].recipients == ["b@example.org"]


async def test_some_dead_letters_are_retried_by_id_and_the_rest_stay(hub: Hub, sink: Sink) -> None:
    sink.answers = ["554 spam"] * 4
    async with hub.working():
        for text in ("one", "two", "three", "four"):
            await hub.post(text)
        letters = await hub.dead(4)
    assert {letter.row_id for letter in letters} == {"r1", "r2", "r3", "r4"}
    assert {letter.id for letter in letters} == {"chat:1", "chat:2", "chat:3", "chat:4"}
    with pytest.raises(Rejected, match="no dead letter 'chat:9'"):
        await operations.retry_dead_letters(
            hub.config, hub.endpoints, hub.log, ["chat:1", "chat:9"]
        )
    assert sink.taken == []
    sent = await operations.retry_dead_letters(
        hub.config, hub.endpoints, hub.log, ["chat:1", "3", "r4"]
    )
    assert [each.error for each in sent] == [None] * 3
    assert {str(taken.mail["Subject"]) for taken in sink.taken} == {
        "Message: one",
        "Message: three",
        "Message: four",
    }
    assert [letter.id for letter in await hub.dead(1)] == ["chat:2"]


async def test_a_slow_server_does_not_delay_the_mails_of_another(
    log: JetStreamLog, sink: Sink, second_sink: Sink, tmp_path: Path
) -> None:
    slow = make_endpoint("slow", service="slow", **ALERT)
    quick = make_endpoint("quick", service="quick", **ALERT)
    hub = await make_hub(log, tmp_path, {"slow": sink, "quick": second_sink}, slow, quick)
    sink.hang()
    async with hub.working():
        for _ in range(6):
            await hub.post(endpoint="slow")
        await sink.has_waiting(4)
        await hub.post(endpoint="quick")
        await second_sink.has(1)
        assert sink.taken == []
        sink.resume()
        await sink.has(6)


async def test_a_lost_acknowledgement_causes_no_second_mail(hub: Hub, sink: Sink) -> None:
    forgetful = LosesAcks(hub.stream)
    async with hub.working(stream=forgetful):
        await hub.post()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await forgetful.acknowledged.wait()
    assert len(sink.taken) == 1
    assert await operations.list_dead_letters(hub.log) == []


async def test_a_mail_is_not_sent_again_because_the_broker_stood_still_after_it(
    hub: Hub, sink: Sink, broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "REQUEST_SECONDS", 0.1)
    monkeypatch.setattr(requests, "PATIENCE_SECONDS", 0.1)
    sink.hang()
    async with hub.working():
        sequence = await hub.post()
        await sink.has_waiting(1)
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            with capture_logs() as lines:
                sink.resume()
                while not any(line["event"] == "alert_not_recorded" for line in lines):
                    await asyncio.sleep(0.01)
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        sent = await hub.log.records(RECORDS, max_age_seconds=RECORD_SECONDS)
        key = alert_key(Position(hub.stream.epoch, sequence), "chat")
        while await sent.get(key) is None:
            await asyncio.sleep(0.01)
    assert len(sink.taken) == 1


async def test_pending_alerts_survive_a_restart_of_hub_and_broker(
    sink: Sink, tmp_path: Path
) -> None:
    endpoint = make_endpoint(**ALERT)
    for step in ("append", "send"):
        async with (
            EmbeddedBroker(tmp_path / "data") as broker,
            JetStreamLog.connect(broker.url, token=broker.token) as log,
        ):
            hub = await make_hub(log, tmp_path, {"main": sink}, endpoint)
            if step == "append":
                await hub.post("kept")
                continue
            async with hub.working():
                await sink.has(1)
    assert [each.mail["Subject"] for each in sink.taken] == ["Message: kept"]


async def test_a_stop_lets_the_mail_in_progress_finish(hub: Hub, sink: Sink) -> None:
    worker = AlertWorker(hub.config, hub.endpoints, hub.log, {"chat": hub.stream})
    stop = asyncio.Event()
    sink.hang()
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        task = group.create_task(worker.run(stop))
        await hub.post()
        await sink.has_waiting(1)
        stop.set()
        done, _ = await asyncio.wait([task], timeout=0.1)
        assert not done
        sink.resume()
    assert len(sink.taken) == 1


async def test_a_test_sends_each_alert_to_the_given_address(hub: Hub, sink: Sink) -> None:
    (tested,) = await operations.send_test(hub.config, hub.endpoints)
    assert tested.error == "no recipient"
    (tested,) = await operations.send_test(hub.config, hub.endpoints, to="me@example.org")
    assert tested.error is None
    assert sink.taken[0].recipients == ["me@example.org"]
    assert sink.taken[0].mail["Subject"] == "Message: test"
