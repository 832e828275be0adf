"""A question gets its own answer, is asked again while the broker is away, and leaves nothing."""

import asyncio

import pytest

from eventhub.errors import Unavailable
from eventhub.jetstream import requests
from eventhub.jetstream.parser import Message
from eventhub.jetstream.requests import Headers, NotPermitted, Requests

NO_RESPONDERS = b"NATS/1.0 503\r\n\r\n"


class Broker:
    """Keeps questions, and answers them when a test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, str]] = []
        self.is_away = False
        self.requests = Requests(self.publish, "_INBOX.me")

    async def publish(
        self, subject: str, payload: bytes, reply: str, headers: Headers | None
    ) -> None:
        if self.is_away:
            raise ConnectionError("not connected")
        self.asked.append((subject, payload, reply))

    def answer(self, index: int, *parts: bytes, headers: bytes | None = None) -> None:
        reply = self.asked[index][2].encode()
        self.requests.on_messages([Message(reply, b"", headers, part) for part in parts])

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(40):
            while len(self.asked) < count:
                await asyncio.sleep(0.001)


async def test_answers_go_to_their_questions_in_any_order() -> None:
    broker = Broker()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(broker.requests.ask("A", b"%d" % n)) for n in range(3)]
        await broker.until_asked(3)
        for index in (2, 0, 1):
            broker.answer(index, b"to %b" % broker.asked[index][1], b"once more")
    answers = [[message.data for message in task.result()] for task in tasks]
    assert answers == [[b"to 0"], [b"to 1"], [b"to 2"]]


async def test_an_answer_of_parts_is_whole_with_its_first_empty_message() -> None:
    broker = Broker()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(broker.requests.ask("A", b"", parts=True))
        await broker.until_asked(1)
        broker.answer(0, b"one", b"two", b"", b"late")
    assert [message.data for message in task.result()] == [b"one", b"two", b""]


async def test_a_lost_connection_asks_again_and_drops_the_parts_that_came() -> None:
    broker = Broker()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(broker.requests.ask("A", b"x", parts=True))
        await broker.until_asked(1)
        broker.answer(0, b"one")
        broker.requests.on_reconnect()
        await broker.until_asked(2)
        broker.answer(0, b"too late", b"")
        broker.answer(1, b"first", b"")
    assert [message.data for message in task.result()] == [b"first", b""]


async def test_while_no_server_serves_a_subject_it_is_asked_again() -> None:
    broker = Broker()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(broker.requests.ask("A", b"x"))
        await broker.until_asked(1)
        broker.answer(0, b"", headers=NO_RESPONDERS)
        await broker.until_asked(2)
        broker.answer(1, b"here")
    assert [message.data for message in task.result()] == [b"here"]


@pytest.mark.parametrize("is_away", [True, False], ids=["not connected", "no answer"])
async def test_without_an_answer_in_time_the_log_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, is_away: bool
) -> None:
    monkeypatch.setattr(requests, "REQUEST_SECONDS", 0.02)
    monkeypatch.setattr(requests, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(requests, "PATIENCE_SECONDS", 0.1)
    broker = Broker()
    broker.is_away = is_away
    with pytest.raises(Unavailable, match="does not answer"):
        await broker.requests.ask("A", b"x")
    assert broker.requests._waiting == {}


async def test_a_question_that_may_not_be_repeated_is_given_up_when_its_time_is_over() -> None:
    broker = Broker()
    with pytest.raises(Unavailable, match="does not answer"):
        await broker.requests.ask("A", b"x", within=0.01)
    assert len(broker.asked) == 1
    assert broker.requests._waiting == {}


async def test_a_cancelled_question_is_forgotten() -> None:
    broker = Broker()
    task = asyncio.ensure_future(broker.requests.ask("A", b"x"))
    await broker.until_asked(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    broker.answer(0, b"too late")
    assert broker.requests._waiting == {}


async def test_a_round_trip_goes_to_the_own_inbox() -> None:
    broker = Broker()
    async with asyncio.TaskGroup() as group:
        group.create_task(broker.requests.round_trip())
        await broker.until_asked(1)
        subject, _, reply = broker.asked[0]
        assert subject == reply
        broker.answer(0, b"")


async def test_what_the_server_does_not_allow_is_given_up_at_once() -> None:
    broker = Broker()
    async with asyncio.TaskGroup() as group:
        denied = group.create_task(_refusal(broker, "$JS.API.STREAM.INFO.EH_new"))
        allowed = group.create_task(broker.requests.ask("allowed", b""))
        await broker.until_asked(2)
        broker.requests.on_error("nats: something else")
        broker.requests.on_error(
            'nats: permissions violation for publish to "$js.api.stream.info.eh_new"'
        )
        broker.answer(1, b"answer")
    assert "not allow this user to publish to $js.api.stream.info.eh_new" in denied.result()
    assert "eventhub nats-permissions FILE" in denied.result()
    assert [message.data for message in allowed.result()] == [b"answer"]


async def test_without_answers_nothing_is_asked_until_the_next_connection() -> None:
    broker = Broker()
    broker.requests.on_error('nats: permissions violation for subscription to "_inbox.me.*"')
    assert "subscribe to _inbox.me.*" in await _refusal(broker, "a")
    assert broker.asked == []
    broker.requests.on_reconnect()
    async with asyncio.TaskGroup() as group:
        group.create_task(broker.requests.ask("a", b""))
        await broker.until_asked(1)
        broker.answer(0, b"answer")


async def _refusal(broker: Broker, subject: str) -> str:
    with pytest.raises(NotPermitted) as caught:
        await broker.requests.ask(subject, b"")
    return caught.value.message
