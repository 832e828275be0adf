"""The messages of one array are stored in order, and each gets an answer of its own."""

from typing import Any

from eventhub.errors import EventHubError
from eventhub.ingest.receipts import Receipt
from eventhub.memory import MemoryStream
from tests.builders import channel
from tests.unit.ingest.writer import Writer


async def test_posts_of_one_array_keep_their_order_and_each_has_its_own_answer() -> None:
    writer = Writer(MemoryStream(channel()))
    messages: list[dict[str, Any]] = [{"text": str(number)} for number in range(600)]
    messages[5] = {"votes": "many"}
    messages[300] = {"_method": "PUT", "id": "nobody"}
    outcomes = await writer.all(*messages)
    refused = {n: each.code for n, each in enumerate(outcomes) if isinstance(each, EventHubError)}
    assert refused == {5: "bad_value", 300: "not_found"}
    stored = [each for each in outcomes if isinstance(each, Receipt)]
    assert [each.sequence for each in stored] == list(range(1, 599))
    texts = [writer.stream.at(each.sequence).event.message["text"] for each in stored]
    assert texts == [m["text"] for n, m in enumerate(messages) if n not in refused]


async def test_messages_of_one_array_see_the_rows_of_those_before_them() -> None:
    writer = Writer(MemoryStream(channel()))
    outcomes = await writer.all(
        {"id": "a", "text": "1"},
        {"id": "a", "text": "again"},
        {"_method": "PUT", "id": "a", "text": "2"},
        {"_method": "DELETE", "id": "a"},
        {"id": "a", "text": "3"},
        {"id": "b"},
    )
    codes = [each.code if isinstance(each, EventHubError) else None for each in outcomes]
    assert codes == [None, "exists", None, None, None, None]
    last = await writer.stream.last("a")
    assert last is not None
    assert last.event.row is not None
    assert last.event.row["text"] == "3"


async def test_a_retry_is_recognized_although_a_hook_makes_the_ids() -> None:
    defaults = {"POST": {"id": "uuid.uuid4().hex"}}
    writer = Writer(MemoryStream(channel()), message_default=defaults)
    first = await writer(id="mine", _key="k1")
    assert await writer(id="mine", _key="k1") == first._replace(duplicate=True)


async def test_a_message_does_not_overtake_one_whose_row_was_deleted(stream: MemoryStream) -> None:
    """A POST of a deleted id has to look where the row ended; what follows it waits."""
    writer = Writer(stream)
    await writer(id="1")
    await writer(_method="DELETE", id="1")
    outcomes = await writer.all({"id": "0"}, {"id": "1"}, {"id": "2"}, {"id": "1"}, {"id": "3"})
    sequences = [t.sequence for t in outcomes if isinstance(t, Receipt)]
    assert sequences == [3, 4, 5, 6]
    assert [t.code for t in outcomes if isinstance(t, EventHubError)] == ["exists"]
