"""Histories, diffs and reverts agree with folding the log, whatever happened to a row."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import projections.past
from eventhub.audit.diff import RowChange, row_change
from eventhub.audit.history import differ, events_of
from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.delivery.versions import version_of
from eventhub.delivery.view import record_of
from eventhub.errors import Conflict
from eventhub.event import StoredEvent
from eventhub.ingest.reverting import revert
from eventhub.memory import MemoryStream
from projections.past import StorePast
from projections.store import Store
from tests.examples import examples
from tests.projecting import EVERY_KIND, Change, Row, history, query, write
from tests.values import values

DECLARED = [column for column in EVERY_KIND.columns if column.name not in ("id", "user")]
SOME = st.fixed_dictionaries({}, optional={column.name: values(column) for column in DECLARED})
METHODS = st.sampled_from(["POST", "PUT", "PUT", "DELETE"])
IDS = "ab"
CHANGES: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(METHODS, st.sampled_from(IDS), SOME), max_size=25
)
TOPICS = Channel("topics", Columns([Column("topic"), Column("n", Kind.INTEGER)]))
MINE = query(TOPICS, topic=["mine"]).filter
TOPIC_CHANGES: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(
        METHODS,
        st.sampled_from(IDS),
        st.fixed_dictionaries(
            {}, optional={"topic": st.sampled_from(["mine", "secret"]), "n": st.integers(0, 3)}
        ),
    ),
    max_size=25,
)


def state(events: Iterable[StoredEvent], up_to: int) -> dict[str, Row]:
    """The slow, obvious fold: rows by id after an event."""
    rows: dict[str, Row] = {}
    for stored in events:
        if stored.sequence <= up_to:
            rows.pop(stored.event.id, None)
            if stored.event.row is not None:
                rows[stored.event.id] = stored.event.row
    return rows


def exactly(value: object) -> str:
    """Return a text that distinguishes 1, 1.0 and true, 0.0 and -0.0, and orders of keys."""
    return repr(value)


@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(CHANGES, st.integers(1, 3), st.sampled_from([1, 1 << 20]), st.data())
def test_histories_and_diffs_are_those_of_the_log(
    monkeypatch: pytest.MonkeyPatch,
    changes: list[Change],
    page_rows: int,
    page_bytes: int,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(projections.past, "PAGE_ROWS", page_rows)
    monkeypatch.setattr(projections.past, "PAGE_BYTES", page_bytes)
    monkeypatch.setattr(projections.past, "PAIRS", page_rows)
    events = history(EVERY_KIND, changes)
    ends = st.integers(0, len(events))
    earlier, later = sorted((data.draw(ends), data.draw(ends)))

    async def scenario(folder: str) -> None:
        async with Store(Path(folder) / "p", [EVERY_KIND]) as store:
            await store.append(EVERY_KIND.name, events)
            await store.fold(EVERY_KIND.name)
            past = StorePast(store, EVERY_KIND.name)
            for row_id in IDS:
                found = events_of(row_id, [v async for page in past.versions(row_id) for v in page])
                expected = [stored for stored in events if stored.event.id == row_id]
                assert [facts(each) for each in found] == [facts(each) for each in expected]
            pairs = [pair async for page in past.pairs(earlier, later) for pair in page]
        assert len({pair.id for pair in pairs}) == len(pairs)
        found_changes = {c.id: c for c in map(row_change, pairs) if c is not None}
        assert exactly(by_id(found_changes)) == exactly(by_id(differences(events, earlier, later)))

    with TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))


def facts(stored: StoredEvent) -> tuple[Any, ...]:
    event = stored.event
    rows = exactly(event.row), exactly(stored.before)
    return stored.sequence, event.method, event.time, event.endpoint, event.user, *rows


def by_id(changes: dict[str, RowChange]) -> list[RowChange]:
    return [changes[row_id] for row_id in sorted(changes)]


def differences(events: list[StoredEvent], earlier: int, later: int) -> dict[str, RowChange]:
    before, after = state(events, earlier), state(events, later)
    found = {}
    for row_id in before.keys() | after.keys():
        old, new = before.get(row_id), after.get(row_id)
        if old is None and new is not None:
            found[row_id] = RowChange(id=row_id, change="added", row=new)
        elif new is None and old is not None:
            found[row_id] = RowChange(id=row_id, change="removed", row=old)
        elif exactly(old) != exactly(new) and old is not None and new is not None:
            was = {name: old[name] for name in new if exactly(old[name]) != exactly(new[name])}
            found[row_id] = RowChange(id=row_id, change="changed", row=new, was=was)
    return found


@settings(max_examples=examples(200), deadline=None)
@given(TOPIC_CHANGES)
def test_a_version_shows_no_row_outside_the_restriction(changes: list[Change]) -> None:
    asked = query(TOPICS).within(MINE)
    for stored in history(TOPICS, changes):
        version = version_of(stored, asked)
        rows = [stored.before, stored.event.row]
        visible = [row for row in rows if row is not None and MINE.matches(row)]
        assert (version is not None) == bool(visible)
        if version is not None:
            shown = [version[name] for name in ("row", "was") if version[name] is not None]
            assert "secret" not in repr(shown)
            assert version["row"] == (stored.event.row if stored.event.row in visible else None)
            assert record_of(stored, asked.filter, within=MINE).name.startswith("RECORD")


@settings(max_examples=examples(60), deadline=None)
@given(CHANGES.filter(bool), st.data())
def test_after_a_revert_the_row_is_what_it_was_and_no_other_changes(
    changes: list[Change], data: st.DataObject
) -> None:
    events = history(EVERY_KIND, changes)
    if not events:
        return
    row_id = data.draw(st.sampled_from(sorted({stored.event.id for stored in events})))
    own = [stored.sequence for stored in events if stored.event.id == row_id]
    target = data.draw(st.sampled_from([0, *own]))

    async def scenario() -> None:
        stream = MemoryStream(EVERY_KIND)
        await write(stream, events)
        with suppress(Conflict):
            await revert(stream, row_id, target, None)
        log = [await stored_at(stream, n + 1) for n in range(stream.length)]
        assert exactly([facts(each) for each in log[: len(events)]]) == exactly(
            [facts(each) for each in events]
        )
        wanted = state(events, target).get(row_id)
        assert exactly(state(log, len(log)).get(row_id)) == exactly(wanted)
        others = state(events, len(events)), state(log, len(log))
        assert len({exactly({k: v for k, v in s.items() if k != row_id}) for s in others}) == 1
        is_new = exactly(state(events, len(events)).get(row_id)) != exactly(wanted)
        assert len(log) - len(events) == is_new
        if is_new:
            assert log[-1].event.was is None or all(
                log[-1].event.row is None or differ(old, log[-1].event.row[name])
                for name, old in log[-1].event.was.items()
            )

    asyncio.run(scenario())


async def stored_at(stream: MemoryStream, sequence: int) -> StoredEvent:
    stored = await stream.get(sequence)
    assert stored is not None
    return stored
