"""Operators and values mean what the table of operators says, and nothing else."""

from urllib.parse import unquote_plus

import pytest

from tests.filtering import COLUMNS, matches, query, refused


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
