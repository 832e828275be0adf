"""A client that applies the frames it gets holds exactly the rows that its filter matches."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.delivery.view import Change, change_for, change_of, frame_of, record_of
from eventhub.event import StoredEvent
from eventhub.filters.query import Query, parse
from tests.examples import examples
from tests.subscribing import Frame, Matches, Table, apply, history, tables

CHANNEL = Channel(
    "chat",
    Columns(
        [
            Column("text"),
            Column("votes", Kind.INTEGER, default=0),
            Column("flag", Kind.BOOLEAN),
            Column("data", Kind.JSON),
        ]
    ),
)

# Each rule is written twice: as a URL spells it, and as plain Python.
RULES: dict[str, Callable[[Any, Any], bool]] = {
    "": lambda value, asked: value == asked,
    "!": lambda value, asked: value is not None and value != asked,
    ">": lambda value, asked: value is not None and value > asked,
    "<~": lambda value, asked: value is not None and value <= asked,
    "~": lambda value, asked: value is not None and asked in value,
    "!*": lambda value, asked: value is not None and asked.lower() not in value.lower(),
}
conditions = st.one_of(
    st.tuples(st.just("text"), st.sampled_from([*RULES]), st.sampled_from(["a", "b", "ab"])),
    st.tuples(st.just("votes"), st.sampled_from(["", "!", ">", "<~"]), st.sampled_from([0, 1, 2])),
    st.tuples(st.just("flag"), st.sampled_from(["", "!"]), st.booleans()),
)
filters = st.lists(conditions, max_size=2, unique_by=lambda condition: condition[:2])

ABSENT = object()
CHOICES: dict[str, list[Any]] = {
    "text": [ABSENT, None, "a", "b", "ab", "A", ""],
    "votes": [ABSENT, None, 0, 1, 2],
    "flag": [ABSENT, True, False],
    "data": [ABSENT, None, 0, False, 1, True, 1.0, [1], [True]],
    "extra": [ABSENT, "no column"],
}
METHODS = ["POST", "PUT", "PUT", "DELETE"]
# One draw for each message: every combination, so that many can be drawn.
MESSAGES = [
    {"_method": method, "id": row_id}
    | {key: value for key, value in zip(CHOICES, values, strict=True) if value is not ABSENT}
    for values in product(*CHOICES.values())
    for method, row_id in product(METHODS, "xy")
]
events = st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=30).map(
    lambda messages: history(messages, CHANNEL)
)
picks = st.sampled_from([[], ["text"], ["votes", "id"], ["-text"], ["-votes", "-id"]])


def rule_of(asked: list[tuple[str, str, Any]]) -> Matches:
    def matches(row: Mapping[str, Any]) -> bool:
        return all(RULES[operator](row[column], value) for column, operator, value in asked)

    return matches


def query_of(asked: list[tuple[str, str, Any]], columns: list[str]) -> Query:
    args = {column + operator: [str(value)] for column, operator, value in asked}
    return parse({**args, "_c": columns}, CHANNEL.columns)


def frames_of(stored: StoredEvent, query: Query, *, sequenced: bool = False) -> list[Frame]:
    change = change_of(stored, query.filter)
    if change is Change.NOTHING:
        return []
    return [frame_of(change, stored, query, sequenced=sequenced)]


def exact(value: Any) -> str:
    """Return a text that distinguishes 1, True and 1.0."""
    return repr(value)


@settings(max_examples=examples(250), deadline=None)
@given(events, filters, st.booleans())
def test_the_table_of_a_client_is_the_filtered_table_at_every_step(
    events: list[StoredEvent], asked: list[tuple[str, str, Any]], is_v1: bool
) -> None:
    held: Table = {}
    expected = tables(events, rule_of(asked))
    for stored in events:
        for each in frames_of(stored, query_of(asked, []), sequenced=is_v1):
            assert each.get("_seq") == (stored.sequence if is_v1 else None)
            apply(held, each, CHANNEL)
        assert exact(sorted(held.items())) == exact(sorted(expected[stored.sequence].items()))


@settings(max_examples=examples(200), deadline=None)
@given(events, filters)
def test_a_client_learns_nothing_of_a_row_that_does_not_match(
    events: list[StoredEvent], asked: list[tuple[str, str, Any]]
) -> None:
    matched = tables(events, rule_of(asked))
    for stored in events:
        before, after = matched[stored.sequence - 1], matched[stored.sequence]
        frames = frames_of(stored, query_of(asked, []))
        assert len(frames) == (stored.event.id in before or stored.event.id in after)
        for each in frames:
            assert each["id"] in (before if each["_method"] == "DELETE" else after)
            if stored.event.method != "DELETE" and each["_method"] == "DELETE":
                assert each == {"_method": "DELETE", "id": stored.event.id}


@settings(max_examples=examples(200), deadline=None)
@given(events, filters, picks)
def test_picked_columns_are_all_that_is_sent_and_suffice(
    events: list[StoredEvent], asked: list[tuple[str, str, Any]], columns: list[str]
) -> None:
    query = query_of(asked, columns)
    hidden = {name[1:] for name in columns if name.startswith("-")} - {"id"}
    picked = {*columns, "id"} if columns and not hidden else None
    keys = {*CHANNEL.columns.names} - hidden if picked is None else picked
    held: Table = {}
    expected = tables(events, rule_of(asked))
    for stored in events:
        for each in frames_of(stored, query, sequenced=True):
            assert not each.keys() & hidden
            assert picked is None or each.keys() <= {"_method", "_seq", *picked}
            apply(held, each, CHANNEL)
        assert [{key: row[key] for key in keys} for _, row in sorted(held.items())] == [
            {key: row[key] for key in keys} for _, row in sorted(expected[stored.sequence].items())
        ]


@settings(max_examples=examples(200), deadline=None)
@given(events, filters, st.sampled_from([[], ["text"], ["data", "votes"]]))
def test_history_has_each_event_whose_old_or_new_row_matches(
    events: list[StoredEvent], asked: list[tuple[str, str, Any]], columns: list[str]
) -> None:
    query, names = query_of(asked, columns), columns or [*CHANNEL.columns.names]
    whole, matched = tables(events), tables(events, rule_of(asked))
    for stored in events:
        row_id, number = stored.event.id, stored.sequence
        is_seen = row_id in matched[number - 1] or row_id in matched[number]
        assert record_of(stored, query.filter) is (Change.RECORD if is_seen else Change.NOTHING)
        old, new = whole[number - 1].get(row_id), whole[number].get(row_id)
        expected = {
            "_seq": number,
            "_time": "2026-11-23T10:00:00.000000Z",
            "_method": stored.event.method,
            "id": row_id,
            "_user": None,
            "row": new and {name: new[name] for name in names},
            "was": old
            and {n: old[n] for n in names if new is None or exact(old[n]) != exact(new[n])},
        }
        found = frame_of(Change.RECORD, stored, query, sequenced=True)
        assert exact(found) == exact(expected)


@settings(max_examples=examples(200), deadline=None)
@given(events, filters, filters)
def test_history_reveals_nothing_of_a_row_outside_a_restriction(
    events: list[StoredEvent],
    asked: list[tuple[str, str, Any]],
    within: list[tuple[str, str, Any]],
) -> None:
    """A record is then the same as in a log of only the rows within the restriction."""
    restriction = query_of(within, []).filter
    query = query_of(asked, []).within(restriction)
    whole = tables(events)
    for stored in events:
        row_id, number = stored.event.id, stored.sequence
        old, new = whole[number - 1].get(row_id), whole[number].get(row_id)
        old = old if old is not None and rule_of(within)(old) else None
        new = new if new is not None and rule_of(within)(new) else None
        is_seen = any(row is not None and rule_of(asked)(row) for row in (old, new))
        change = record_of(stored, query.filter, within=query.restriction)
        assert (change is not Change.NOTHING) is is_seen
        if not is_seen:
            continue
        record = frame_of(change, stored, query, sequenced=True)
        assert exact(record["row"]) == exact(new)
        if old is None or new is None:
            assert record["_method"] == ("POST" if old is None else "DELETE")
            assert exact(record["was"]) == exact(old)
        else:
            assert record["_method"] == stored.event.method
            assert exact({**new, **record["was"]}) == exact(old)


HIDDEN = frozenset({"votes", "data"})
NOTHING = Change.NOTHING
messages = st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=30)


@settings(max_examples=examples(200), deadline=None)
@given(messages, filters, st.booleans())
def test_a_reader_gets_the_same_whatever_is_in_the_columns_that_it_may_not_read(
    messages: list[Frame], asked: list[tuple[str, str, Any]], is_history: bool
) -> None:
    query = query_of([each for each in asked if each[0] not in HIDDEN], [])
    query = replace(query, columns=("text", "flag", "id", "user", "timestamp")).hiding(HIDDEN)
    blank = [{key: each[key] for key in each if key not in HIDDEN} for each in messages]
    blank = [each for each in blank if each.keys() - {"id", "_method"} or each["_method"] != "PUT"]
    found = []
    for events in (history(messages, CHANNEL), history(blank, CHANNEL)):
        changes = [(e, change_for(e, query, history=is_history)) for e in events]
        frames = [frame_of(c, e, query, sequenced=False) for e, c in changes if c is not NOTHING]
        found.append([{**each, "_seq": None} for each in frames])
    assert exact(found[0]) == exact(found[1])
