"""Old events are sealed before they leave the stream, and each row keeps its last one there."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from eventhub.broker import EmbeddedBroker
from eventhub.errors import Conflict, Damaged
from eventhub.jetstream import JetStreamLog, api
from eventhub.jetstream.stream import JetStreamStream
from eventhub.methods import Method
from eventhub.segments import Original, Segment
from projections.sealing import Sealer, changed_rows
from projections.segment_file import ParquetSegments
from tests.builders import channel, make_event
from tests.sealing import all_read, now, seal, sealer_of, sealing_of, write

CHANGES: list[tuple[Method, str]] = [
    ("POST", "once"),
    ("POST", "changed"),
    ("POST", "gone"),
    ("PUT", "changed"),
    ("DELETE", "gone"),
    ("PUT", "changed"),
]
LAST = {"once": 1, "changed": 6, "gone": 5}


@pytest.fixture
async def log(broker: EmbeddedBroker) -> AsyncIterator[JetStreamLog]:
    async with JetStreamLog.connect(
        broker.url, token=broker.token, segments=ParquetSegments()
    ) as connected:
        yield connected


@pytest.fixture
async def stream(log: JetStreamLog) -> JetStreamStream:
    stream = await log.open(channel())
    await write(CHANGES, stream)
    return stream


async def held(stream: JetStreamStream) -> list[int]:
    """Return the sequences that the server itself has."""
    found = []
    for sequence in range(1, await stream.end() + 1):
        query = {"seq": sequence}
        if await api.get(stream._connection, stream.channel.stream, query) is not None:
            found.append(sequence)
    return found


async def test_each_row_keeps_its_last_event_in_the_stream(
    log: JetStreamLog, stream: JetStreamStream
) -> None:
    sealer = await seal(log, stream)
    assert await held(stream) == sorted(LAST.values())
    assert sealer.manifest.trimmed == sealer.manifest.last == 6
    for row, sequence in LAST.items():
        last = await stream.last(row)
        assert last is not None
        assert last.sequence == sequence
    await write([("PUT", "once"), ("POST", "gone")], stream)
    await seal(log, stream)
    assert await held(stream) == [5, 6, 7, 8], "a DELETE stays until its new row changes"
    await write([("PUT", "gone")], stream)
    await seal(log, stream)
    assert await held(stream) == [6, 7, 9]
    assert [event.sequence for event in await all_read(stream)] == [*range(1, 10)]


async def test_a_process_that_knows_nothing_of_the_sealing_finds_an_instant_in_it(
    log: JetStreamLog,
) -> None:
    """The stream still begins with its first event, and has others after the instant."""
    stream, unaware = await log.open(channel()), await log.open(channel())
    await write(CHANGES[:3], stream)
    moment = now()
    await write(CHANGES[3:], stream)
    await seal(log, stream)
    assert await held(stream) == [1, 5, 6]
    assert await unaware.sequence_before(moment) == 3


async def test_a_follower_goes_on_where_events_leave_before_it_gets_them(
    log: JetStreamLog,
) -> None:
    """It has asked the server for a part of them; each comes once, and in order."""
    stream, other = await log.open(channel()), await log.open(channel())
    rows: dict[str, int] = {f"r{number}": 0 for number in range(500)}

    async def change(row_id: str) -> None:
        event = make_event(id=row_id, message={"id": row_id})
        rows[row_id] = (await stream.append(event, expect=rows[row_id])).sequence

    for _ in range(6):
        async with asyncio.TaskGroup() as group:
            for row_id in rows:
                group.create_task(change(row_id))
    found: list[int] = []
    async with asyncio.timeout(60), other.follow_sealed(0) as batches:
        found += [event.sequence for event in await anext(batches)]
        assert len(found) < 2000, "the server holds some of them back"
        await seal(log, stream)
        while len(found) < 3000:
            found += [event.sequence for event in await anext(batches)]
    assert found == [*range(1, 3001)]


async def test_events_that_are_not_old_enough_stay(
    log: JetStreamLog, stream: JetStreamStream
) -> None:
    sealer = Sealer(stream, await sealing_of(log, stream), timedelta(hours=1))
    assert not await sealer.run_once()
    assert len(await held(stream)) == len(CHANGES)


async def test_a_segment_waits_until_it_is_full_or_late(
    log: JetStreamLog, stream: JetStreamStream
) -> None:
    """Otherwise each look would make one of a few events."""
    keep = timedelta(seconds=0.5)
    sealing = await sealing_of(log, stream)
    await asyncio.sleep(keep.total_seconds())
    assert await Sealer(stream, sealing, keep, most_events=6).run_once()
    assert not await Sealer(stream, sealing, timedelta(hours=1), most_events=6).run_once()


async def test_what_alerts_have_not_done_is_not_trimmed(
    log: JetStreamLog, stream: JetStreamStream
) -> None:
    await stream.enlist("alerts")
    await write([("PUT", "changed"), ("PUT", "changed")], stream)
    sealer = await seal(log, stream)
    assert sealer.manifest.last == 8
    assert sealer.waits_for == 8
    assert await held(stream) == [*range(1, 9)]
    async with stream.work("alerts") as deliveries:
        for _ in range(2):
            await (await anext(deliveries)).ack()
    sealer = await seal(log, stream)
    assert sealer.waits_for == 0
    assert await held(stream) == [1, 5, 8]


class _Damaging:
    """Objects of which the stored bytes are not those that were put."""

    def __init__(self, log: JetStreamLog) -> None:
        assert log.segments is not None
        self._objects = log.segments.objects
        self.listed, self.get, self.delete = (
            self._objects.listed,
            self._objects.get,
            self._objects.delete,
        )

    async def put(self, name: str, data: bytes) -> None:
        damaged = bytearray(data)
        damaged[len(data) // 2] ^= 1
        await self._objects.put(name, bytes(damaged))


async def test_a_segment_that_is_not_read_back_as_it_was_is_not_trusted(
    log: JetStreamLog, stream: JetStreamStream
) -> None:
    assert log.segments is not None
    log.segments.objects = _Damaging(log)
    with pytest.raises(Damaged, match="another checksum"):
        await seal(log, stream)
    assert len(await held(stream)) == len(CHANGES)
    manifest, _ = await (await sealing_of(log, stream)).manifest()
    assert manifest.segments == ()
    assert (await log.segments.objects.listed()).whole == []


async def _replaced(log: JetStreamLog, segment: Segment, data: bytes | None) -> None:
    assert log.segments is not None
    objects = log.segments.objects
    stored = await objects.get(segment.name)
    assert stored is not None
    await objects.delete(segment.name)
    if data is not None:
        await objects.put(segment.name, data)


@pytest.mark.parametrize("data", [b"PAR1", None])
async def test_a_damaged_or_missing_segment_is_an_error_for_readers(
    log: JetStreamLog, stream: JetStreamStream, data: bytes | None
) -> None:
    sealer = await seal(log, stream)
    await _replaced(log, sealer.manifest.segments[0], data)
    with pytest.raises(Damaged, match=sealer.manifest.segments[0].name):
        await all_read(stream)
    with pytest.raises(Damaged):
        async with stream.follow(0) as batches:
            await anext(batches)


async def test_a_segment_damaged_before_the_trim_is_not_trimmed(
    log: JetStreamLog, stream: JetStreamStream
) -> None:
    sealer = await sealer_of(log, stream)
    assert await sealer.run_once()
    await _replaced(log, sealer.manifest.segments[0], b"PAR1")
    with pytest.raises(Damaged):
        await sealer.run_once()
    assert len(await held(stream)) == len(CHANGES)


async def test_of_two_sealers_one_seals(log: JetStreamLog, stream: JetStreamStream) -> None:
    both = [await sealer_of(log, stream, most_events=2) for _ in range(2)]
    for _ in range(6):
        outcomes = await asyncio.gather(*(each.run_once() for each in both), return_exceptions=True)
        assert all(isinstance(each, bool | Conflict) for each in outcomes), outcomes
    manifest, _ = await (await sealing_of(log, stream)).manifest()
    assert [(each.first, each.last) for each in manifest.segments] == [(1, 2), (3, 4), (5, 6)]
    assert manifest.trimmed == 6
    assert log.segments is not None
    stored = (await log.segments.objects.listed()).whole
    assert stored == sorted(each.name for each in manifest.segments)


async def test_a_gap_in_the_log_is_not_sealed(log: JetStreamLog, stream: JetStreamStream) -> None:
    """It may be a sign that the list of earlier segments is lost."""
    subject = f"STREAM.MSG.DELETE.{channel().stream}"
    await api.call(stream._connection, subject, {"seq": 2})
    sealer = await sealer_of(log, stream, most_events=2)
    assert await sealer.run_once(), "one event may be erased"
    await api.call(stream._connection, subject, {"seq": 4})
    await api.call(stream._connection, subject, {"seq": 5})
    with pytest.raises(Damaged, match="4 and 5"):
        await sealer.run_once()


def test_a_row_whose_only_event_creates_it_has_nothing_to_trim() -> None:
    events = [
        Original(n, 0, f'{{"id":"{row}","method":"{method}"}}'.encode())
        for n, (method, row) in enumerate([*CHANGES, ("PUT", "old")], 1)
    ]
    assert changed_rows(events) == {"changed": 6, "gone": 5, "old": 7}
