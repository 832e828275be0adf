"""Arguments say which rows, in what order, how many, and which columns."""

import pytest

from eventhub.columns import Column, Columns
from eventhub.errors import Rejected
from eventhub.filters.arguments import parse_query_string
from eventhub.filters.conditions import Filter
from eventhub.filters.query import parse
from tests.filtering import COLUMNS, query, refused

MISTAKES = ["_limt=1", "nosuch!=1", "Topic=x", "topci=x", "count.x=1", "_sort=nosuch", "_c=-nosuch"]


@pytest.mark.parametrize("raw", [*MISTAKES, "nosuch=1", "=x", "_sort=topic,id"])
def test_unknown_refuse_refuses_every_unknown_key(raw: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse(parse_query_string(raw), COLUMNS, "refuse")
    assert caught.value.code == "bad_filter"
    assert query("topic=a&_limit=1&_by=x") == parse(
        parse_query_string("topic=a&_limit=1&_by=x"), COLUMNS, "refuse"
    )


@pytest.mark.parametrize("raw", MISTAKES)
def test_unknown_ignore_ignores_every_unknown_key(raw: str) -> None:
    refused(raw)
    ignoring = parse(parse_query_string(raw), COLUMNS, "ignore")
    assert ignoring.filter == Filter()
    assert (ignoring.sort, ignoring.limit, ignoring.columns) == ((), None, COLUMNS.names)


def test_values_set_by_hooks_count_as_their_text() -> None:
    args = {"count": [1, None, (2.0).__int__()], "topic": "alice"}
    assert parse(args, COLUMNS) == query("count=1&count=2&topic=alice")
    with pytest.raises(Rejected, match="topic"):
        parse({"topic": ["\udc80"]}, COLUMNS)


@pytest.mark.parametrize(
    ("raw", "limit", "offset"),
    [
        ("", None, 0),
        ("_limit=5&_limit=3&_offset=5&_offset=3", 3, 3),
        ("_limit=-1&_limit=5&_offset=-2", None, 0),
        ("_limit=0", 0, 0),
        (f"_limit={2**63}&_offset={2**63}", None, 2**63 - 1),
    ],
)
def test_the_smallest_limit_and_offset_count(raw: str, limit: int | None, offset: int) -> None:
    assert (query(raw).limit, query(raw).offset) == (limit, offset)


@pytest.mark.parametrize(
    "raw", ["_limit=abc", "_limit=", "_limit", "_offset=1.0", "_offset=&_offset=1"]
)
def test_a_limit_that_is_not_a_number_is_refused(raw: str) -> None:
    assert refused(raw).column in ("_limit", "_offset")


def test_null_sorts_first_and_ties_go_by_creation() -> None:
    assert query("_sort=-topic&_sort=&_sort=count&_sort=topic").order_by() == (
        '"topic" DESC NULLS LAST, "count" ASC NULLS FIRST, _created_seq'
    )
    assert query("").order_by() == "_created_seq"


@pytest.mark.parametrize("name", ["nosuch", "-nosuch", "Topic", "-", "--topic", "+topic", "data.x"])
def test_sorting_by_an_unknown_column_is_refused(name: str) -> None:
    assert refused(f"_sort={name}").column == "_sort"
    assert refused(f"_sort=topic&_sort={name}").column == "_sort"


def test_text_may_be_sorted_without_case() -> None:
    order = query("_sort=-topic*&_sort=count").order_by()
    assert order.startswith("lower(CASE ")
    assert order.endswith(
        ' ELSE "topic" END) DESC NULLS LAST, "count" ASC NULLS FIRST, _created_seq'
    )
    assert query("_sort=topic&_sort=topic*") == query("_sort=topic")
    assert query("_sort=topic*") != query("_sort=topic")
    for other in ("count*", "data*", "topic**", "*"):
        assert refused(f"_sort={other}").column == "_sort"
    columns = Columns([Column("x"), Column("x*")])
    assert parse({"_sort": ["x*"]}, columns).order_by().startswith('"x*" ASC')


def test_an_empty_sort_and_a_list_of_columns_as_in_gramex_do_not_sort() -> None:
    for raw in ("_sort=", "_sort", "_sort=topic,-id"):
        assert query(raw) == query("")
    assert refused("_sort=topic,nosuch").column == "_sort"


def test_a_column_that_begins_with_a_minus_can_be_named() -> None:
    columns = Columns([Column("x"), Column("-x")])
    assert parse({"_sort": ["-x", "--x"]}, columns).sort == (("-x", False),)
    assert parse({"_c": ["-x"]}, columns).columns == ("-x",)


@pytest.mark.parametrize(
    "raw", ["_c=nosuch", "_c=", "_c", "_c=ID", "_c=-", "_c=-ID", "_c=id&_c=-nosuch", "_c=id&_c="]
)
def test_an_unknown_column_and_a_choice_that_leaves_none_are_refused(raw: str) -> None:
    assert refused(raw).column == "_c"
    assert refused("&".join(f"_c=-{name}" for name in COLUMNS.names)).column == "_c"


MESSAGE = {"_method": "PUT", "topic": "a", "extra": 1, "id": "x", "count": 2, "_seq": 9}


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("_c=count&_c=topic&_c=done", ["_method", "id", "_seq", "count", "topic"]),
        ("_c=topic&_c=id&_c=topic", ["_method", "_seq", "topic", "id"]),
        ("_c=id&_c=-id", ["_method", "_seq", "id"]),
        ("_c=-topic&_c=-id", ["_method", "extra", "id", "count", "_seq"]),
        ("_c=-count", ["_method", "topic", "extra", "id", "_seq"]),
    ],
)
def test_a_live_message_has_the_columns_that_were_picked(raw: str, wanted: list[str]) -> None:
    picked = query(raw).pick(MESSAGE)
    assert list(picked) == wanted
    assert picked.items() <= MESSAGE.items()


def test_without_a_choice_the_message_is_unchanged() -> None:
    assert query("topic=a").pick(MESSAGE) is MESSAGE
    assert query("topic=a").picks is None


def test_picks_are_equal_if_they_choose_the_same() -> None:
    assert query("_c=id&_c=topic").picks == query("_c=id&_c=topic&_c=id").picks
    assert query("_c=-id&_c=-topic").picks == query("_c=-topic&_c=-id").picks
    several = ["_c=id&_c=topic", "_c=topic&_c=id", "_c=-id", "_c=-topic", ""]
    assert len({query(raw).picks for raw in several}) == len(several)


def test_a_replay_has_the_columns_that_were_asked_for() -> None:
    assert query("_c=id&_c=topic").columns == ("id", "topic")
    assert query("_c=-id").columns == tuple(n for n in COLUMNS.names if n != "id")
    assert query("").columns == COLUMNS.names


def test_a_reader_gets_no_column_that_it_may_not_read() -> None:
    names = frozenset({"topic"})
    for raw in ("", "_c=-user", "_c=id"):
        asked = parse(parse_query_string(raw), COLUMNS.without(names)).hiding(names)
        assert "topic" not in asked.columns
        assert "topic" not in asked.pick({**MESSAGE, "topic": "secret"})
        assert asked.picks != query(raw).picks
        assert asked.picks != query("_c=-topic").picks, "it hides more: who wrote the row"
    assert query("").hiding(frozenset()) == query("")
