"""A key of a URL is a column with an operator, a control, or unknown, and then maybe a mistake."""

import pytest

from eventhub.columns import Column, Columns
from eventhub.filters.arguments import Stranger, meaning_of, parse_query_string
from tests.filtering import matches, query, refused

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
        ("_zq=5", "_zq", "choose among _sort, _limit"),
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
