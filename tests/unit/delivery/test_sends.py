"""What is sent without being stored reaches subscribers in fair turns, within bounds."""

from collections import defaultdict

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventhub.delivery.frames import Form
from eventhub.delivery.sends import MAX_WAITING, MAX_WAITING_BYTES, FairQueue
from eventhub.feed import TURN_EVENTS
from eventhub.filters.query import parse
from eventhub.ingest.sending import Passing
from tests.builders import channel
from tests.subscribing import Frame, Pipe, Reading, eventually, reading

SIGNATURE = channel().columns.signature


def passing(client: str, columns: str = SIGNATURE, **message: object) -> Passing:
    return Passing(client=client, columns=columns, message=message)


@given(st.lists(st.sampled_from("abc")))
def test_each_sender_is_heard_in_its_order_and_all_by_turns(clients: list[str]) -> None:
    queue, left = FairQueue(), defaultdict[str, list[int]](list)
    for number, client in enumerate(clients):
        assert queue.put(passing(client, number=number), 1) == 0
        left[client].append(number)
    taken = []
    while queue:
        taken += [(each.client, each.message["number"]) for each in queue.turn()]
    while left:
        for client in [each for each in left if left[each]]:
            assert taken.pop(0) == (client, left[client].pop(0))
        left = defaultdict(list, {client: each for client, each in left.items() if each})
    assert not taken


def test_of_a_flood_the_oldest_are_dropped_and_of_others_nothing() -> None:
    queue = FairQueue()
    queue.put(passing("quiet"), 1)
    dropped = sum(queue.put(passing("loud", number=n), 1) for n in range(MAX_WAITING + 10))
    assert dropped == 10
    turn = queue.turn()
    assert [each.client for each in turn[:2]] == ["quiet", "loud"]
    assert turn[1].message["number"] == 10
    assert len(turn) == TURN_EVENTS


def test_beyond_all_bytes_the_sender_with_the_most_loses_what_it_has() -> None:
    queue, half = FairQueue(), MAX_WAITING_BYTES // 2
    assert queue.put(passing("large"), half + 1) == 0
    assert queue.put(passing("small"), 100) == 0
    assert queue.put(passing("other"), half - 50) == 1
    taken = []
    while queue:
        taken += [each.client for each in queue.turn()]
    assert taken == ["small", "other"]


async def say(hub: Reading, *messages: Passing) -> None:
    """Say messages as any process does, once this one listens."""
    if not hub.channel.sends.is_heard:
        hub.channel.tasks.start(hub.channel.sends.run(), name="sends")
        await eventually(lambda: hub.channel.sends.is_heard)
    for each in messages:
        await hub.channel.signals.say(channel(), "sent", msgspec.json.encode(each))


def sent(pipe: Pipe) -> list[Frame]:
    """Return the frames of messages that were not stored."""
    return [frame for frame in pipe.frames if frame.get("_method") == "SEND"]


async def test_subscribers_get_what_matches_their_filters_in_order() -> None:
    async with reading() as hub:
        everything, mine, bare = Pipe(), Pipe(), Pipe()
        await hub.joined(everything)
        await hub.joined(mine, hub.view(text=["mine"]))
        await hub.joined(bare, hub.view(Form.BARE, text=["mine"], votes=["1"]))
        await say(hub, passing("a", text="mine", votes=1), passing("a", text="yours"), passing("a"))
        await eventually(lambda: len(sent(everything)) == 3)
        assert sent(everything) == [
            {"_method": "SEND", "text": "mine", "votes": 1},
            {"_method": "SEND", "text": "yours"},
            {"_method": "SEND"},
        ]
        assert sent(mine) == sent(bare) == sent(everything)[:1]


async def test_history_and_polls_get_nothing_and_the_log_is_as_it_was() -> None:
    async with reading() as hub:
        live, past, poll = Pipe(), Pipe(), Pipe()
        await hub.joined(live)
        await hub.joined(past, hub.view(history=True))
        await hub.joined(poll, hub.view(Form.POLL))
        before = (past.frames, poll.frames, hub.feed.head)
        await say(hub, passing("a", text="x"))
        await eventually(lambda: sent(live))
        assert (past.frames, poll.frames, hub.feed.head) == before


async def test_a_subscriber_that_is_behind_misses_it_and_then_gets_the_next() -> None:
    async with reading() as hub:
        slow, quick = Pipe(capacity=200), Pipe()
        await hub.joined(quick)
        subscriber = await hub.joined(slow)
        await hub.write(_method="POST", id="1", text="x" * 300)
        await eventually(lambda: not hub.fanout.is_attached(subscriber))
        await say(hub, passing("a", text="missed"))
        await eventually(lambda: sent(quick))
        slow.take()
        await eventually(lambda: hub.fanout.is_attached(subscriber))
        await say(hub, passing("a", text="seen"))
        await eventually(lambda: sent(slow))
        assert [frame["text"] for frame in sent(slow)] == ["seen"]


async def test_values_of_other_columns_are_read_as_todays() -> None:
    async with reading() as hub:
        pipe = Pipe()
        await hub.joined(pipe, hub.view(votes=["7"]))
        await say(hub, passing("a", votes="7", columns="others"), passing("a", votes=7))
        await eventually(lambda: len(sent(pipe)) == 2)


async def test_what_is_no_message_is_left_out() -> None:
    async with reading() as hub:
        pipe = Pipe()
        await hub.joined(pipe)
        await say(hub)
        await hub.channel.signals.say(channel(), "sent", b"{")
        await say(hub, passing("a", text="x"))
        await eventually(lambda: sent(pipe))


async def test_a_flood_is_dropped_but_the_message_of_another_is_not() -> None:
    async with reading() as hub:
        pipe = Pipe()
        await hub.joined(pipe)
        flood = [passing("loud", votes=number) for number in range(2 * MAX_WAITING)]
        await say(hub, *flood, passing("quiet", text="x"))
        await eventually(lambda: any(frame.get("text") for frame in sent(pipe)))
        await say(hub, passing("loud", text="last"))
        await eventually(lambda: len([f for f in sent(pipe) if f.get("text")]) == 2)
        assert len(sent(pipe)) < len(flood)


async def test_a_message_that_cannot_be_decided_on_does_not_end_the_others() -> None:
    async with reading() as hub:
        pipe, later = Pipe(), Pipe()
        await hub.joined(pipe)
        await hub.joined(later, hub.view().asking(parse({"votes>": ["1"]}, channel().columns)))
        await say(hub, passing("a", votes={"of": "another version"}))
        await say(hub, passing("a", votes=2))
        await eventually(lambda: sent(later))
        assert sent(later) == [{"_method": "SEND", "votes": 2}]
