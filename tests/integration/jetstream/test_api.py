"""The API reads single messages as they are stored, and says what it refuses by number."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.msg import Msg

from eventhub.broker import EmbeddedBroker
from eventhub.errors import Unavailable
from eventhub.event import decode
from eventhub.jetstream import JetStreamLog, api
from eventhub.jetstream.api import STREAM_NOT_FOUND, ApiError, StoredMessage, sequence_of
from eventhub.jetstream.connection import Connection
from tests.builders import channel, make_event

STREAM = channel().stream


@pytest.fixture
async def filled(log: JetStreamLog) -> None:
    """A stream with three events."""
    stream = await log.open(channel())
    for row in "abc":
        await stream.append(make_event(id=row), expect=0)


async def test_a_stream_that_is_not_there_is_refused_by_number(connection: Connection) -> None:
    with pytest.raises(ApiError) as refusal:
        await api.call(connection, "STREAM.INFO.nothing")
    assert (refusal.value.number, refusal.value.status) == (STREAM_NOT_FOUND, 404)


@pytest.mark.usefixtures("filled")
async def test_a_message_is_read_by_sequence_and_by_subject(connection: Connection) -> None:
    found = [await api.get(connection, STREAM, {"seq": number}) for number in range(1, 5)]
    assert [each and each.sequence for each in found] == [1, 2, 3, None]
    subject = channel().subject("b")
    last = await api.get(connection, STREAM, {"last_by_subj": subject})
    assert last is not None
    assert (last.sequence, last.subject) == (2, subject)
    assert last.headers.startswith(b"NATS/1.0\r\nNats-Msg-Id: ")
    assert decode(last.data, channel().columns).id == "b"


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(("first", "expected"), [(1, [1, 2]), (2, [2, 3]), (3, [3]), (4, [])])
async def test_several_messages_are_read_at_once_without_their_end_mark(
    connection: Connection, first: int, expected: list[int]
) -> None:
    query = {"seq": first, "batch": 2, "next_by_subj": f"{channel().prefix}*"}
    found = await api.direct_get_batch(connection, STREAM, query)
    assert [sequence_of(each) for each in found] == expected


@pytest.mark.usefixtures("filled")
async def test_a_question_that_the_server_does_not_understand_is_no_missing_message(
    connection: Connection,
) -> None:
    with pytest.raises(ApiError, match="bad request"):
        await api.get(connection, STREAM, {})
    with pytest.raises(Unavailable, match="408"):
        await api.direct_get_batch(connection, STREAM, {})


LED: dict[str, Any] = {"message": {"subject": "s", "seq": 7}}


@pytest.mark.parametrize(
    ("ask", "expected"), [(api.get, StoredMessage("s", 7)), (api.call, LED)], ids=["get", "call"]
)
async def test_a_stream_without_a_leader_is_asked_until_it_has_one(
    broker: EmbeddedBroker, ask: Callable[..., Awaitable[Any]], expected: object
) -> None:
    """As while another leader is chosen; the API of a domain is answered by the test."""
    error = {"code": 503, "err_code": 10008, "description": "temporarily unavailable"}
    answers = [{"error": error}, {"error": error}, LED]
    client = await nats.connect(broker.url, token=broker.token)

    async def answer(question: Msg) -> None:
        await question.respond(msgspec.json.encode(answers.pop(0)))

    await client.subscribe("$JS.far.API.>", cb=answer)
    await client.flush()
    async with Connection.open(servers=broker.url, token=broker.token, domain="far") as connection:
        assert await ask(connection, "EH_chat", {"seq": 7}) == expected
    await client.close()
    assert not answers


async def test_a_message_is_stored_where_a_stream_takes_its_subject(
    connection: Connection, log: JetStreamLog
) -> None:
    stream = await log.open(channel())
    await api.store(connection, channel().subject("x"), b"anything")
    assert await stream.end() == 1
