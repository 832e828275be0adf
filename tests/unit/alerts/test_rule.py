"""An alert fires for exactly the events that its methods and its condition select."""

from typing import Any

import pytest

from eventhub.errors import Misconfigured, Rejected
from eventhub.event import Event
from tests.builders import make_event
from tests.unit.alerts.builders import make_rule

ROW = {"text": "Help", "votes": 3, "id": "r1", "user": None, "timestamp": None}


def put(**changes: Any) -> Event:
    row = {**ROW, **changes}
    was = {key: ROW[key] for key in changes}
    return make_event(method="PUT", message={"id": "r1", **changes}, row=row, was=was)


def delete() -> Event:
    return make_event(method="DELETE", message={"id": "r1"}, row=None, was=ROW)


async def test_only_a_post_fires_unless_methods_names_others() -> None:
    events = [make_event(), put(votes=4), delete()]
    assert [await make_rule().fires(event) for event in events] == [True, False, False]
    every = make_rule(methods=["POST", "PUT", "DELETE"])
    assert [await every.fires(event) for event in events] == [True, True, True]


@pytest.mark.parametrize(("suppressible", "fires"), [(True, False), (False, True)])
async def test_a_writer_suppresses_an_alert_only_if_the_endpoint_allows_it(
    suppressible: bool, fires: bool
) -> None:
    rule = make_rule(suppressible=suppressible)
    assert await rule.fires(make_event(alert=False)) is fires


@pytest.mark.parametrize(
    ("condition", "fires"),
    [
        ("text=Help", True),
        ("text=Spam", False),
        ("text~=el&votes>~=3", True),
        ("votes>=3", False),
        ("votes", True),
        ("votes!", False),
        ("text!=Spam", True),
        ("text=%48elp", True),
    ],
)
async def test_a_filter_applies_to_the_row_after_the_event(condition: str, fires: bool) -> None:
    rule = make_rule(condition=condition, methods=["PUT"])
    assert await rule.fires(put(user="u")) is fires


async def test_an_imported_event_never_fires() -> None:
    assert not await make_rule(suppressible=False).fires(make_event(write="iw1", alert=False))


async def test_a_filter_applies_to_the_deleted_row() -> None:
    assert await make_rule(condition="text=Help", methods=["DELETE"]).fires(delete())


@pytest.mark.parametrize(
    ("condition", "fires"),
    [
        ("msg['text'] == 'hello'", True),
        ("msg.get('votes', 0) > 1", False),
        ("'hell' in msg['text'] and msg['_method'] == 'POST'", True),
        ("re.match('h', msg['text'])", True),
        ("msg['id'] != 'r1'", False),
        ("False", False),
    ],
)
async def test_any_other_condition_is_python_over_the_message(condition: str, fires: bool) -> None:
    assert await make_rule(condition=condition).fires(make_event()) is fires


async def test_python_gets_the_message_after_modify() -> None:
    event = make_event(broadcast={"text": "changed"})
    assert await make_rule(condition="msg['text'] == 'changed'").fires(event)


async def test_a_condition_that_raises_is_an_error_and_not_false() -> None:
    with pytest.raises(Rejected, match="condition: KeyError: 'topic'"):
        await make_rule(condition="msg['topic']").fires(make_event())


@pytest.mark.parametrize(
    "condition",
    ["text=='Help'", "votes > 3", "votes>=", "text =", "votes=x", "nosuch=1", "text=%ff&", ""],
)
def test_a_condition_that_is_neither_filter_nor_python_stops_the_start(condition: str) -> None:
    with pytest.raises(Misconfigured, match="url: chat: alert: condition: "):
        make_rule(condition=condition)


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ("Votes>=3", "'Votes' is not a column, and >= needs one: did you mean votes?"),
        ("txet=Help", "'txet' is not a column: did you mean text?"),
        ("votes>=3&Text=Help", "'Text' is not a column: did you mean text?"),
        ("nosuch=1", "'nosuch' is not a column: choose among text,"),
        ("text=Help&_limit=3", "_limit has no effect on an alert"),
        ("text=Help&_limt=3", "'_limt' is not a control: did you mean _limit?"),
        ("text~=", "a part of the filter has no value"),
    ],
)
def test_a_mistake_in_a_filter_names_the_nearest_column(condition: str, problem: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        make_rule(condition=condition)
    assert problem in str(caught.value)


def test_the_first_service_is_the_default() -> None:
    assert make_rule().service == "first"
    assert make_rule(service="second").service == "second"


def test_an_unknown_service_is_named_with_the_nearest() -> None:
    with pytest.raises(
        Misconfigured, match=r"alert: service: no 'secnd' under `email:`; did you mean second\?"
    ):
        make_rule(service="secnd")
