"""The arguments of a URL mean what the table of operators says, and nothing else."""

from typing import Any
from urllib.parse import unquote_plus

import pytest

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import Rejected
from eventhub.filters.arguments import Stranger, meaning_of, parse_query_string
from eventhub.filters.conditions import Filter
from eventhub.filters.query import Query, parse

COLUMNS = Columns(
    [
        Column("topic"),
        Column("topic!"),
        Column("count", Kind.INTEGER),
        Column("score", Kind.REAL),
        Column("done", Kind.BOOLEAN),
        Column("day", Kind.DATE),
        Column("moment", Kind.TIMESTAMP),
        Column("data", Kind.JSON),
    ]
)


def query(raw: str) -> Query:
    return parse(parse_query_string(raw), COLUMNS)


def matches(raw: str, **row: Any) -> bool:
    return query(raw).filter.matches(row)


def refused(raw: str) -> Rejected:
    with pytest.raises(Rejected) as caught:
        query(raw)
    assert caught.value.code == "bad_filter"
    return caught.value


# --- The query string --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "args"),
    [
        ("", {}),
        ("&&", {}),
        ("x", {"x": [""]}),
        ("=x", {"": ["x"]}),
        ("x=1&y=2&x=3", {"x": ["1", "3"], "y": ["2"]}),
        ("timestamp>=2023", {"timestamp>": ["2023"]}),
        ("x>~=1", {"x>~": ["1"]}),
        ("x!=1", {"x!": ["1"]}),
        ("x=a=b", {"x": ["a=b"]}),
        ("x%3Dy=1", {"x=y": ["1"]}),
        ("x=a+b%2Bc;y=1", {"x": ["a b+c;y=1"]}),
        ("x=%C3%A9&y=é&z=100%", {"x": ["é"], "y": ["é"], "z": ["100%"]}),
    ],
)
def test_query_string_is_split_at_the_first_equals_sign(
    raw: str, args: dict[str, list[str]]
) -> None:
    parsed = parse_query_string(raw)
    assert parsed == args
    assert list(parsed) == list(args)


@pytest.mark.parametrize(
    ("raw", "column"),
    [("topic=%ff", "topic"), ("topic!~=%ff", "topic"), ("%ff=1", "%ff"), ("topic=\udc80", "topic")],
)
def test_a_query_string_that_is_not_utf8_is_refused(raw: str, column: str) -> None:
    assert refused(raw).column == column


# --- Keys --------------------------------------------------------------------------------------


def test_a_key_that_is_a_column_is_that_column() -> None:
    assert query("topic!=x").filter.equalities == {"topic!": frozenset("x")}


def test_the_longest_operator_that_leaves_a_column_counts() -> None:
    assert matches("topic!~=x", **{"topic": "y", "topic!": "y"})
    assert matches("topic!!=x", **{"topic!": "y"})
    assert not matches("topic!!=x", **{"topic!": "x"})


@pytest.mark.parametrize(
    "raw",
    [
        "nosuch=1",
        "nosuch",
        "=x",
        "topic|MAX=x",
        "topic-x=1",
        "topics_of_all=1",
        "ay=1&dy=2&ida=3",  # `day` has three letters only: they may be words of their own
        "_=1715&_by=topic&_meta&_download=x.csv&_xsrf=2",
        "_format=csv&_since=1.2&_replay=log",
    ],
)
def test_keys_that_may_be_meant_for_the_page_are_ignored(raw: str) -> None:
    assert query(raw) == query("")


@pytest.mark.parametrize(
    ("raw", "column", "wanted"),
    [
        # Begins with `_`, and is not a control.
        ("_limt=1", "_limt", "'_limt' is not a control: did you mean _limit?"),
        ("_Sort=id", "_Sort", "did you mean _sort?"),
        ("_LIMIT=1", "_LIMIT", "did you mean _limit?"),
        ("_limit>=1", "_limit>", "did you mean _limit?"),
        ("_as_of=5", "_as_of", "choose among _sort, _limit"),
        ("_>=1", "_>", "choose among _sort, _limit"),
        ("__=1", "__", "choose among _sort, _limit"),
        # Has an operator, and does not name a column.
        ("nosuch!=1", "nosuch", "!= needs one: choose among topic,"),
        ("nosuch!", "nosuch", "!= needs one"),
        ("x*=a", "x", "*= needs one"),
        ("cuont>~=1", "cuont", "did you mean count?"),
        (">=1", ">", "needs one"),
        ("count!>=a", "count!", "did you mean count?"),
        # Differs from a column only by case, or by space around it.
        ("Topic=x", "Topic", "did you mean topic?"),
        ("DAY=2023", "DAY", "did you mean day?"),
        ("topic%20=x", "topic ", "did you mean topic?"),
        ("+id=x", " id", "did you mean id?"),
        ("%C2%A0Count=1", "\N{NO-BREAK SPACE}Count", "did you mean count?"),
        # Is one edit away from a column of four letters.
        ("toopic=x", "toopic", "did you mean topic?"),
        ("xtopic=x", "xtopic", "did you mean topic?"),
        ("topics=x", "topics", "did you mean topic?"),
        ("topi=x", "topi", "did you mean topic?"),
        ("opic=x", "opic", "did you mean topic?"),
        ("tipic=x", "tipic", "did you mean topic?"),
        ("otpic=x", "otpic", "did you mean topic?"),
        ("topci=x", "topci", "did you mean topic?"),
        ("dne=1", "dne", "did you mean done?"),
        ("Toopic=x", "Toopic", "did you mean topic?"),
        # Asks for a part of a column.
        ("count.x=1", "count.x", "not a column: count is not JSON"),
        ("topic[]=x", "topic[]", "topic is not JSON"),
        ("data->>org=x", "data->>org", "write data.key for"),
        ("data__org=x", "data__org", "write data.key for"),
        ("Data:org=x", "Data:org", "write data.key for"),
        ("data.=x", "data.", "did you mean data?"),
        ("data.a..b=x", "data.a..b", "write data.key for"),
        ("Data.org=x", "Data.org", "write data.key for"),
        ("data.a[0]!=x&daat.x=1", "daat.x", "write data.key for"),
    ],
)
def test_keys_that_look_like_a_mistake_are_refused(raw: str, column: str, wanted: str) -> None:
    error = refused(raw)
    assert error.column == column
    assert wanted in error.message


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


@pytest.mark.parametrize("one", ["abcd", "abca", "topic"])
def test_one_edit_is_an_insertion_deletion_replacement_or_swap(one: str) -> None:
    """Every word that one edit makes is found, and none that needs two."""
    near = {one}
    for at in range(len(one) + 1):
        near |= {one[:at] + letter + one[at:] for letter in "ax"}
        near |= {one[:at] + letter + one[at + 1 :] for letter in ["a", "x", ""]}
        near |= {one[:at] + one[at + 1 : at + 2] + one[at : at + 1] + one[at + 2 :]}
    columns = Columns([Column(one)])
    for key in near - {one, ""}:
        assert isinstance(meaning_of(key, columns), Stranger)
        assert one in meaning_of(key, columns).mistake, key  # type: ignore[union-attr]
    for key in (f"xx{one}", f"{one}xx", one[2:], f"x{one[:-1]}y", one[::-1]):
        if key not in near:
            assert meaning_of(key, columns).mistake == "", key  # type: ignore[union-attr]


# --- Values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ["count=", "count", "count=&count="])
def test_equality_without_a_value_means_not_null(raw: str) -> None:
    assert matches(raw, count=0)
    assert not matches(raw, count=None)


@pytest.mark.parametrize("raw", ["data!", "data!=", "data!=&data!="])
def test_inequality_without_a_value_means_null(raw: str) -> None:
    assert matches(raw, data=None)
    assert not matches(raw, data=[])


@pytest.mark.parametrize("operator", [">", ">~", "<", "<~", "~", "*", "!~", "!*"])
def test_other_operators_without_a_value_restrict_nothing(operator: str) -> None:
    for column in COLUMNS.names:
        assert query(f"{column}{operator}=") == query("")


@pytest.mark.parametrize("blank", ["%20", "+", "%09", "%C2%A0", "%20%20"])
def test_a_blank_is_a_value(blank: str) -> None:
    """A percent-encoded value is used exactly; it is not dropped for being blank."""
    text = unquote_plus(blank)
    assert matches(f"topic={blank}", topic=text)
    assert not matches(f"topic={blank}", topic="x")
    assert not matches(f"topic!={blank}", topic=text)
    assert matches(f"topic~={blank}", topic=f"a{text}b")
    assert not matches(f"topic*={blank}", topic="ab")
    assert matches(f"topic=General{blank}", topic=f"General{text}")
    assert not matches(f"topic=General{blank}", topic="General")
    for column in ("count", "score", "day", "moment"):
        assert refused(f"{column}={blank}").column == column


@pytest.mark.parametrize(
    "raw",
    ["count=+1%09", "score=%201.5", "day=2023-04-01+", "moment=%0A2023-04-01T10:00", "done=+no"],
)
def test_space_around_a_number_date_or_truth_value_does_not_count(raw: str) -> None:
    key, _, value = raw.partition("=")
    assert query(raw) == query(f"{key}={unquote_plus(value).strip()}")


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        ("count!=1", None),
        ("count>=0", None),
        ("count!=99999999999999999999", None),
        ("count>=99999999999999999999", 2**63 - 1),
        ("count<=-99999999999999999999", -(2**63)),
        ("count=99999999999999999999", 2**63 - 1),
        ("count>=2&count>=3", 2),
        ("count<~=2&count<~=3", 4),
    ],
)
def test_rows_that_do_not_match(raw: str, count: int | None) -> None:
    assert not matches(raw, count=count)


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        ("count!=99999999999999999999", 2**63 - 1),
        ("count<=99999999999999999999", 2**63 - 1),
        ("count>~=-99999999999999999999", -(2**63)),
        ("count>=2&count>=3", 3),
        ("count<~=2&count<~=3", 3),
    ],
)
def test_rows_that_match(raw: str, count: int) -> None:
    assert matches(raw, count=count)


def test_nan_matches_nothing() -> None:
    for operator in ("", ">", ">~", "<", "<~"):
        assert not matches(f"score{operator}=nan", score=1.0)
    assert matches("score!=nan", score=1.0)
    assert not matches("score!=nan", score=None)
    assert query("score>=nan&score>=1") == query("score>=1")


@pytest.mark.parametrize("word", ["0", "n", "NO", "f", "False", "off", "0.0"])
def test_false_is_spelled_as_in_messages(word: str) -> None:
    assert matches(f"done={word}", done=False)
    assert not matches(f"done={word}", done=True)


@pytest.mark.parametrize("word", ["1", "y", "YES", "t", "True", "on", "2"])
def test_true_is_spelled_as_in_messages(word: str) -> None:
    assert matches(f"done={word}", done=True)
    assert not matches(f"done={word}", done=False)


def test_the_beginning_of_a_time_is_its_first_instant() -> None:
    assert matches("day>~=2023-04", day="2023-04-01")
    assert not matches("day>~=2023-04", day="2023-03-31")
    assert matches("day=2023", day="2023-01-01")
    assert matches("moment<=2023-04-01T10", moment="2023-04-01T09:59:59.999999")
    assert not matches("moment<=2023-04-01T10", moment="2023-04-01T10:00:00")
    assert matches("moment=2023-04-01T10:00%2B05:30", moment="2023-04-01T04:30:00")


def test_a_moment_within_a_day_lies_between_two_days() -> None:
    assert matches("day<=2023-04-01T10", day="2023-04-01")
    assert not matches("day>=2023-04-01T10", day="2023-04-01")
    assert matches("day>=2023-04-01T10", day="2023-04-02")


def test_case_does_not_count_in_any_script() -> None:
    assert matches("topic*=STRASSE", topic="Hauptstraße 1")
    assert matches("topic*=%C3%9F", topic="PASSAT")
    assert matches("topic*=ΟΔΟΣ", topic="η οδός μου, οδοσ")
    assert not matches("topic!*=help", topic="HELP")
    assert not matches("topic~=help", topic="HELP")


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("count=1.5", "count: '1.5' is not a whole number, such as 12"),
        ("score=abc", "score: 'abc' is not a number, such as 1.5"),
        (
            "day=2023-13",
            "day: '2023-13' is not a date, such as 2023-04-01, or the beginning",
        ),
        ("done=maybe", "done: 'maybe' is not true or false"),
        ("moment=0001-01-01T00:00%2B05:30", "moment: '0001-01-01T00:00+05:30' is not a time"),
        ("count~=1", "count~= does not work on a column of integer: use count= count!= count>="),
        ("done>=0", "done>= does not work on a column of boolean: use done= done!= done or done!"),
        ("data=1", "data= does not work on a column of json: use only data or data!"),
        (f"topic*={'x' * 4097}", "is not text of at most 4096 characters"),
    ],
)
def test_a_refusal_names_what_is_wrong_and_what_to_write(raw: str, wanted: str) -> None:
    error = refused(raw)
    assert wanted in error.message
    assert error.column is not None
    assert raw.startswith(error.column)


def test_values_set_by_hooks_count_as_their_text() -> None:
    args = {"count": [1, None, (2.0).__int__()], "topic": "alice"}
    assert parse(args, COLUMNS) == query("count=1&count=2&topic=alice")
    with pytest.raises(Rejected, match="topic"):
        parse({"topic": ["\udc80"]}, COLUMNS)


# --- Filter ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("topic=a&topic=b&count>=1", "count>=1&topic=b&topic=a"),
        ("count>=1&count>=2", "count>=1"),
        ("score=-0.0", "score=0"),
        ("topic*=HELP", "topic*=help"),
        ("day>=2023", "day>=2023-01-01"),
        ("_limit=1&_sort=id&_c=id", ""),
    ],
)
def test_filters_that_mean_the_same_have_one_key(one: str, other: str) -> None:
    assert query(one).filter.key == query(other).filter.key
    assert len({query(one).filter.key, query(other).filter.key}) == 1


@pytest.mark.parametrize(
    "other", ["topic=b", "topic!=a", "id=a", "topic=a&topic=b", "topic~=a", ""]
)
def test_filters_that_differ_have_different_keys(other: str) -> None:
    assert query("topic=a").filter.key != query(other).filter.key


def test_equalities_are_what_an_index_can_use() -> None:
    wanted = query("topic=a&topic=b&done=1&count>=1&id!=x&user").filter.equalities
    assert wanted == {"topic": frozenset("ab"), "done": frozenset([True])}


def test_every_condition_is_required() -> None:
    assert matches("topic=a&count>=1&done=1", topic="a", count=2, done=True)
    assert not matches("topic=a&count>=1&done=1", topic="a", count=2, done=False)


def test_sql_holds_no_value_and_quotes_names() -> None:
    columns = Columns([Column('a"b'), Column("day", Kind.DATE)])
    where, parameters = parse({'a"b': ["x", "y'"], "day>": ["2023"]}, columns).filter.sql()
    assert where == '"a""b" IN (?, ?) AND "day" > CAST(? AS TIMESTAMP)'
    assert parameters == ["x", "y'", "2023-01-01"]
    assert Filter().sql() == ("TRUE", [])


# --- Controls ----------------------------------------------------------------------------------


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
    assert query("_sort=-topic*&_sort=count").order_by() == (
        'lower("topic") DESC NULLS LAST, "count" ASC NULLS FIRST, _created_seq'
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
