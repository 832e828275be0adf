"""What `open` sets restricts the client, whatever its URL says; anything else is refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from eventhub.columns import Column, Columns, Kind
from eventhub.config import MessageEndpoint
from eventhub.config.handlers.open_arguments import mistakes
from eventhub.errors import EventHubError, Rejected
from eventhub.filters.arguments import CONTROLS, Args
from eventhub.filters.query import Query, parse
from eventhub.filters.restriction import (
    RestrictionError,
    Sent,
    check_hideable,
    readable_names,
    restriction_of,
)
from eventhub.handler import Handler, User
from eventhub.hooks import Hooks
from tests.examples import examples

COLUMNS = Columns(
    [
        Column("recipient"),
        Column("points", Kind.INTEGER),
        Column("score", Kind.REAL),
        Column("done", Kind.BOOLEAN),
        Column("day", Kind.DATE),
        Column("data", Kind.JSON),
    ]
)
ME, BOB = {"recipient": "me"}, {"recipient": "bob"}


async def opened(
    source: str, args: Args, user: str = "me", hidden: frozenset[str] = frozenset()
) -> Query:
    """Return the query of a client's arguments after an `open`."""
    endpoint = MessageEndpoint(name="chat", pattern="/chat", table="chat", open=source)
    handler = Handler(current_user=User({"id": user}), session={"id": "s"}, args=args)
    chosen = await Hooks(endpoint, Path()).open(handler)
    restriction, keys = restriction_of(chosen, COLUMNS, hidden)
    asked = {name: values for name, values in handler.args.items() if name not in keys}
    return parse(asked, COLUMNS).within(restriction)


ONLY_MINE = [
    "args.update(recipient=[handler.current_user.id])",
    "args.update({'recipient': [handler.current_user.id]})",
    "args.setdefault('recipient', []).append(handler.current_user.id)",
    "args.__setitem__('recipient', [handler.current_user.id])",
    "[args.setdefault('recipient', []).clear(), args['recipient'].append(handler.current_user.id)]",
    "setattr(handler, 'args', {**args, 'recipient': [handler.current_user.id]})",
    "setattr(handler, 'args', {'recipient': [handler.current_user.id]})",
    "operator.setitem(args, 'recipient', [handler.current_user.id])",
    "operator.ior(args, {'recipient': [handler.current_user.id]})",
]


@pytest.mark.parametrize("source", ONLY_MINE)
@pytest.mark.parametrize(
    "args",
    [
        {},
        {"recipient": ["me"]},
        {"recipient": ["bob"]},
        {"recipient": ["bob", "me"]},
        {"recipient": [""]},
        {"recipient!": [""]},
        {"recipient!": ["me"]},
        {"recipient~": ["b"]},
        {"_c": ["recipient"]},
        {"_limit": ["-1"], "_sort": ["recipient"]},
    ],
    ids=str,
)
async def test_no_url_widens_what_open_allows(source: str, args: Args) -> None:
    query = await opened(source, args)
    assert [row for row in (ME, BOB) if query.restriction.matches(row)] == [ME]
    assert not query.filter.matches(BOB)


@pytest.mark.parametrize(
    ("user", "row", "is_seen"),
    [("a", "a", True), (" bob", "bob", False), (" bob", " bob", True), ("bob ", "bob", False)],
)
async def test_values_of_a_restriction_are_compared_unchanged(
    user: str, row: str, is_seen: bool
) -> None:
    """Python shares the object of a single letter; white space makes another user."""
    query = await opened(ONLY_MINE[0], {"recipient": [user]}, user)
    assert query.filter.matches({"recipient": row}) is is_seen
    assert query.restriction.conditions


KEEPS_THE_CLIENTS = [
    "logging.info('opened by %s', handler_current_user)",
    "args.update(points=['1'])",
    "args.pop('nothing', None)",
    "setattr(handler, 'args', {**args})",
]


@pytest.mark.parametrize("source", KEEPS_THE_CLIENTS)
async def test_arguments_that_open_leaves_alone_do_not_restrict(source: str) -> None:
    query = await opened(source, {"recipient": ["bob"], "nonsense": ["1"]})
    assert not query.filter.matches({**ME, "points": 1})
    assert query.filter.matches({**BOB, "points": 1})
    assert query.restriction.matches({**ME, "points": 1})


async def test_open_may_add_what_a_client_may_replace() -> None:
    source = "args.setdefault('recipient', ['me'])"
    assert not (await opened(source, {})).filter.matches(BOB)
    assert (await opened(source, {"recipient": ["bob"]})).filter.matches(BOB)


async def test_open_may_choose_among_the_clients_values() -> None:
    source = "args.update(recipient=[r for r in args.get('recipient', []) if r in ('me', 'us')])"
    query = await opened(source, {"recipient": ["bob", "me"]})
    assert [row for row in (ME, BOB) if query.filter.matches(row)] == [ME]
    with capture_logs(), pytest.raises(EventHubError, match="internal error in open"):
        await opened(source, {"recipient": ["bob"]})


WRONG = {
    "one letter off": ("recpient", ["me"]),
    "another case": ("Recipient", ["me"]),
    "a space": ("recipient ", ["me"]),
    "an operator twice": ("recipient!!", ["me"]),
    "an operator that is none": ("recipient=", ["me"]),
    "no control": ("_limits", ["10"]),
    "nothing": ("", ["me"]),
    "a match of a number": ("points~", ["1"]),
    "an order of a truth": ("done>", ["true"]),
    "any value of JSON": ("data", ["1"]),
    "not a number": ("points", ["many"]),
    "no day": ("day>", ["yesterday"]),
    "NaN": ("score", ["nan"]),
    "other than NaN": ("score!", ["nan"]),
    "a blank text": ("recipient", [""]),
    "white space": ("recipient", [" \t"]),
    "a blank text among others": ("recipient", ["me", ""]),
    "other than a blank text": ("recipient!", [""]),
    "a blank bound": ("points>", [""]),
    "a hidden column one letter off": ("_c", ["-recpient"]),
    "a column of another case": ("_c", ["Recipient"]),
}


@pytest.mark.parametrize(("key", "values"), WRONG.values(), ids=[*WRONG])
def test_a_restriction_without_effect_is_found_before_the_start(
    key: str, values: list[str]
) -> None:
    for source in (
        f"args.update({{{key!r}: {values!r}}})",
        f"handler.args.update([({key!r}, {values!r})])",
        f"args.__setitem__({key!r}, {values!r})",
        f"dict.update(args, {{{key!r}: {values!r}}})",
        f"setattr(handler, 'args', dict(args, **{{{key!r}: {values!r}}}))",
        f"args.update({{{key!r}: {values!r}}} if handler_current_user else {{'id': ['x']}})",
        f"[args.update({{**{{{key!r}: {values!r}}}}}) for _ in [1]]",
    ):
        assert [mistake.key for mistake in mistakes(source, COLUMNS)] == [key], source


@pytest.mark.parametrize(("key", "values"), WRONG.values(), ids=[*WRONG])
async def test_a_restriction_without_effect_is_refused(key: str, values: list[str]) -> None:
    with pytest.raises(RestrictionError) as caught:
        await opened(f"args.update([('{key}', {values!r}[:])])", {"id": ["1"]})
    assert caught.value.key == key


@pytest.mark.parametrize("key", ["recpient", "Recipient", "recpient!", "recipient "])
def test_the_nearest_column_is_named(key: str) -> None:
    with pytest.raises(RestrictionError, match="did you mean recipient"):
        restriction_of({key: ["me"]}, COLUMNS)


@pytest.mark.parametrize(
    "source",
    [
        *ONLY_MINE,
        *KEEPS_THE_CLIENTS,
        'args.update({"timestamp>~": ["2023-04"]})\n',
        "args.update(_limit=['10'], _sort=['-timestamp'], _c=['-points'])",
        "args.update(**{'points>': ['3'], 'user!': ['x']})",
        "msgs.update(recpient=['x'])",
        "args.get('recpient')",
    ],
)
def test_a_valid_restriction_is_accepted_before_the_start(source: str) -> None:
    assert list(mistakes(source, COLUMNS)) == []


async def test_a_wrong_value_of_the_client_that_open_moved_is_reported_to_the_client() -> None:
    source = "args.update(points=args.pop('p'))"
    assert (await opened(source, {"p": ["3"]})).filter.matches({"points": 3})
    for wrong in ("many", "", "  "):
        with pytest.raises(Rejected) as caught:
            await opened(source, {"p": [wrong]})
        assert caught.value.code == "bad_filter"


texts = st.sampled_from(["me", "bob", "", " ", "1", "-recipient", "recipient", "rows", "nan"])
names = st.sampled_from(
    [f"{c}{o}" for c in ("recipient", "id") for o in ("", "!", ">", "<~", "~", "!*")]
    + [*CONTROLS, "recpient"]
)


@settings(max_examples=examples(300))
@given(st.dictionaries(names, st.lists(texts, min_size=1, max_size=3)), st.sampled_from(ONLY_MINE))
async def test_a_restricted_client_sees_no_row_of_another_whatever_it_asks(
    args: Any, source: str
) -> None:
    try:
        query = await opened(source, args)
    except Rejected:
        return  # its arguments were refused
    for recipient in ("bob", "", None, " me", "ME", "me "):
        assert not query.filter.matches({"recipient": recipient, "id": "1"})
        assert not query.restriction.matches({"recipient": recipient, "id": "1"})


async def test_a_restriction_may_be_inside_a_json_column() -> None:
    source = "args.update({'data.team': [handler.current_user.id]})"
    for args in ({}, {"data.team": ["bob"]}, {"data.team!": ["me"]}, {"data": [""]}):
        query = await opened(source, dict(args))
        assert not query.filter.matches({"data": {"team": "bob"}})
        assert not query.filter.matches({"data": None})
    assert (await opened(source, {})).filter.matches({"data": {"team": "me"}})
    for wrong in ("args.update({'data.team': [' ']})", "args.update({'points.team': ['me']})"):
        with pytest.raises(RestrictionError):
            await opened(wrong, {})


def test_a_restriction_and_keys_compare_code_points() -> None:
    """Two users whose names differ only in how an accent is written are two users."""
    restriction, _ = restriction_of({"recipient": ["e\u0301"]}, COLUMNS)
    assert [restriction.matches({"recipient": name}) for name in ("e\u0301", "é")] == [True, False]
    assert "nfc" not in restriction.sql()[0]
    asked = parse({"recipient": ["e\u0301"]}, COLUMNS)
    assert [asked.filter.matches({"recipient": name}) for name in ("e\u0301", "é")] == [True, True]
    both = asked.within(restriction).filter
    assert [both.matches({"recipient": name}) for name in ("e\u0301", "é")] == [True, False]
    for key in ("id", "user", "id*", "user~"):
        exact = parse({key: ["e\u0301"]}, COLUMNS).filter
        name = key.rstrip("*~")
        assert [exact.matches({name: value}) for value in ("e\u0301", "é")] == [True, False]
        assert "nfc" not in exact.sql()[0]


HIDDEN = frozenset({"points"})


def test_a_restriction_may_use_a_column_that_is_hidden() -> None:
    restriction, keys = restriction_of({"points>": ["5"]}, COLUMNS, HIDDEN)
    assert restriction.matches({"points": 6})
    assert keys == {"points>"}


@pytest.mark.parametrize(
    "source",
    [
        "args.update({key: list(values) for key, values in args.items()})",
        "args.update({'points>': args['points>'][:1]})",
        "args.update({'points>': ['5', *args['points>']]})",
    ],
)
async def test_a_hidden_column_is_not_restricted_to_what_the_client_sent_for_it(
    source: str,
) -> None:
    """It would answer questions about it; to ignore it could show more than `open` meant."""
    with pytest.raises(RestrictionError, match="hidden from it"):
        await opened(source, {"points>": ["5"]}, hidden=HIDDEN)
    await opened(source, {"points>": ["5"]})
    found = await opened("args.update(points=args.pop('key'))", {"key": ["5"]}, hidden=HIDDEN)
    assert found.filter.matches({"points": 5})
    assert not found.filter.matches({"points": 6})


@pytest.mark.parametrize(
    ("control", "values", "left"),
    [
        ("_c", ["points", "day"], ["day"]),
        ("_c", ["-points"], []),
        ("_c", ["-points", "-day"], ["-day"]),
        ("_sort", ["-points", "points*", "day"], ["day"]),
        ("_c", [Sent("points", "_c")], ["points"]),
    ],
)
def test_open_names_no_hidden_column(control: str, values: list[str], left: list[str]) -> None:
    assert readable_names(control, values, HIDDEN) == left


def test_open_that_picks_nothing_but_hidden_columns_shows_nothing() -> None:
    for values in (["points"], ["points", "-day"]):
        with pytest.raises(RestrictionError, match="none of these"):
            readable_names("_c", values, HIDDEN)


@pytest.mark.parametrize("args", [{"points>": ["1"]}, {"_sort": ["-points"]}, {"_c": ["points"]}])
def test_default_arguments_need_no_column_that_may_be_hidden(args: Args) -> None:
    with pytest.raises(RestrictionError, match="may hide the column"):
        check_hideable(args, COLUMNS, HIDDEN)
    check_hideable({"day": ["2026-01-01"], "_c": ["day"], "foo": ["1"]}, COLUMNS, HIDDEN)
