"""Groups are found by what an event says, and leave nothing behind."""

from dataclasses import dataclass
from typing import Literal
from unicodedata import normalize

import pytest

from eventhub.channel import Channel
from eventhub.columns import Column, Columns, Kind
from eventhub.delivery.broadcast import Sink
from eventhub.delivery.frames import Form
from eventhub.delivery.groups import Groups
from eventhub.delivery.view import View
from eventhub.filters.query import parse
from tests.builders import channel
from tests.subscribing import history, sink_by

FILTERS: list[dict[str, list[str]]] = [
    {},
    {"text": ["a"]},
    {"text": ["a", "b"], "votes": ["1"]},
    {"votes": ["1"], "text!": ["a"]},
    {"id": ["1"]},
    {"text": []},
    {"votes>": ["1"]},
]


@dataclass(eq=False)
class Idle:
    """A member that is only counted."""

    view: View
    position: int = 0

    def __post_init__(self) -> None:
        self.sink: Sink = sink_by(lambda _data: None)

    def heartbeat(self) -> None:
        pass


def member(columns: Columns, args: dict[str, list[str]]) -> Idle:
    return Idle(View(Form.V1, parse(args, columns), history=False, epoch="e"))


def test_members_with_equal_views_are_one_group() -> None:
    groups, columns = Groups(), channel().columns
    first, second = (member(columns, {"text": texts}) for texts in (["a", "b"], ["b", "a", "a"]))
    other = member(columns, {"text": ["a"]})
    for each in (first, second, other):
        groups.add(each)
    assert [set(group.members) for group in groups] == [{first, second}, {other}]
    assert [[len(sinks) for sinks in group.sinks.values()] for group in groups] == [[2], [1]]
    groups.discard(first)
    assert [set(group.members) for group in groups] == [{second}, {other}]
    assert (first in groups, second in groups) == (False, True)


def test_a_group_has_a_set_of_sinks_for_each_number_of_a_subscription() -> None:
    """Its filter is applied once, whatever numbers clients give to their subscriptions."""
    groups, query = Groups(), parse({}, channel().columns)
    members = [
        Idle(View(Form.V2, query, history=False, epoch="e", number=number)) for number in (1, 1, 2)
    ]
    for each in members:
        groups.add(each)
    [group] = groups
    assert {number: len(sinks) for number, sinks in group.sinks.items()} == {1: 2, 2: 1}
    groups.discard(members[2])
    groups.discard(members[2])
    assert {number: len(sinks) for number, sinks in group.sinks.items()} == {1: 2}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_text_finds_the_groups_of_both_its_forms(form: Literal["NFC", "NFD"]) -> None:
    groups, columns = Groups(), channel().columns
    asked = [{"text": ["é", "x"]}, {"text": ["e\u0301"]}, {"id": ["é"]}, {"id": ["e\u0301"]}]
    for args in asked:
        groups.add(member(columns, args))
    word = normalize(form, "é")
    [event] = history([{"id": word, "text": word}], channel())
    assert event.event.row is not None
    asked_by = [group.view.query.filter for group in groups.candidates(event)]
    assert sorted(each.matches(event.event.row) for each in asked_by) == [False, True, True, True]


@pytest.mark.parametrize("args", FILTERS)
def test_a_group_without_members_is_not_looked_at(args: dict[str, list[str]]) -> None:
    groups, only = Groups(), member(channel().columns, args)
    [event] = history([{"id": "1", "text": "a", "votes": 1}], channel())
    groups.add(only)
    groups.discard(only)
    assert (list(groups), list(groups.candidates(event))) == ([], [])


def test_an_equality_inside_json_is_found_by_value_and_type() -> None:
    """Only the groups of an event's own value are candidates."""
    documents = Channel("documents", Columns([Column("data", Kind.JSON)]))
    groups = Groups()
    members = {
        text: member(documents.columns, {"data.org": [text]})
        for text in ["x", "y", "5", "5.0", "true", "false"]
    }
    for each in members.values():
        groups.add(each)
    for value, expected in [
        ("x", {"x"}),
        (5, {"5", "5.0"}),
        ("5", {"5"}),
        (True, {"true"}),
        (None, set()),
        (["x"], set()),
        ({"x": 1}, set()),
    ]:
        [event] = history([{"id": "1", "data": {"org": value}}], documents)
        found = {each for group in groups.candidates(event) for each in group.members}
        assert found == {members[text] for text in expected}
    for each in members.values():
        groups.discard(each)
    [event] = history([{"id": "1", "data": {"org": "x"}}], documents)
    assert list(groups.candidates(event)) == []
