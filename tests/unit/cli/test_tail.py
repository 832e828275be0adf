"""Options of a tail become controls of its URL, next to the filters that it has."""

import pytest
from yarl import URL

from eventhub.cli.tail import extend_url


@pytest.mark.parametrize("url", ["http://h/notes", "http://h/notes?topic=Help&votes>=3"])
@pytest.mark.parametrize("since", [None, "-5", "3aryii2dti0e29x.9", "2026-11-30T10:00:00+01:00"])
@pytest.mark.parametrize("history", [False, True])
def test_options_are_added_to_the_query(url: str, since: str | None, history: bool) -> None:
    before, after = URL(url).query, URL(extend_url(url, since=since, history=history)).query
    wanted = {"_since": since, "_replay": "log" if history else None}
    assert dict(after) == {**before, **{key: value for key, value in wanted.items() if value}}


def test_without_options_the_url_is_unchanged() -> None:
    assert extend_url("http://h/notes?a=%20b#c", since=None, history=False) == (
        "http://h/notes?a=%20b#c"
    )
