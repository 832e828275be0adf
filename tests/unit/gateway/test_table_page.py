"""The page of an endpoint is one query: its form, links and downloads ask for it again."""

import re
from html import unescape

import pytest

from eventhub.channel import Endpoint
from eventhub.config import MessageEndpoint
from eventhub.filters.arguments import parse_query_string
from eventhub.filters.query import parse
from eventhub.gateway.table_page import MAX_PAGE_ROWS, PAGE_HEADERS, PAGE_ROWS, TablePage
from tests.builders import channel

ENTRY = MessageEndpoint(name="chat", pattern="/chat", table="chat")
ROW = b'{"text":"a","votes":1,"id":"r1","user":null,"timestamp":null}'


def page(query: str = "") -> TablePage:
    found = parse(parse_query_string(query), channel().columns)
    return TablePage(Endpoint(ENTRY, channel()), found, query)


def links(text: bytes) -> dict[str, str]:
    """Return the address of each link by its text."""
    pairs = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', text.decode())
    return {re.sub("<.*?>", "", name): unescape(link) for link, name in pairs}


@pytest.mark.parametrize(
    ("query", "size"),
    [("", PAGE_ROWS), ("_limit=5", 5), ("_limit=100000", MAX_PAGE_ROWS), ("_limit=0", 0)],
)
def test_one_row_more_than_is_shown_is_read(query: str, size: int) -> None:
    assert page(query).query.limit == size + 1


def test_a_page_leads_to_the_one_before_and_after() -> None:
    found = links(page("_limit=2&_offset=3&votes>~=1").render(ROW + b"\n" + ROW + b"\n" + ROW))
    assert parse_query_string(found["Next"][1:]) == {
        "_limit": ["2"],
        "_offset": ["5"],
        "votes>~": ["1"],
    }
    assert parse_query_string(found["Previous"][1:])["_offset"] == ["1"]
    last = links(page("_limit=2").render(ROW))
    assert "Next" not in last
    assert "Previous" not in last


def test_the_count_says_which_rows_these_are() -> None:
    assert b"Rows 4 to 4, the last ones." in page("_offset=3").render(ROW)
    assert b"Rows 1 to 1; there are more." in page("_limit=1").render(ROW + b"\n" + ROW)
    assert b"No rows." in page().render(b"")


def test_a_column_is_sorted_by_its_head_and_turned_around_by_it_again() -> None:
    assert "_sort=votes" in links(page().render(ROW))["votes"]
    assert "_sort=-votes" in links(page("_sort=votes").render(ROW))["votes ▲"]
    assert "_sort=votes" in links(page("_sort=-votes").render(ROW))["votes ▼"]


def test_the_form_keeps_what_it_has_no_field_for() -> None:
    text = page("votes>~=1&id=r1&_sort=votes&_offset=3").render(ROW).decode()
    assert '<input name="votes&gt;~" value="1"' in text
    assert '<input type="hidden" name="id" value="r1">' in text
    assert '<input type="hidden" name="_sort" value="votes">' in text
    assert 'name="_offset"' not in text  # a filter begins with the first page


def test_downloads_are_of_all_rows() -> None:
    found = links(page("text=a&_limit=2&_offset=2").render(ROW))
    assert parse_query_string(found["csv"][1:]) == {"text": ["a"], "_format": ["csv"]}
    safe = {"text": ["a"], "_format": ["csv"], "_csv": ["safe"]}
    assert parse_query_string(found["csv for a spreadsheet"][1:]) == safe


def test_nothing_that_a_client_or_a_row_says_becomes_markup() -> None:
    row = ROW.replace(b'"a"', b'"<script>x</script>"')
    text = page("text=%3Cscript%3Ex%3C/script%3E&id=%22%3E%3Cscript%3E").render(row)
    assert b"<script" not in text
    assert b"&lt;script&gt;" in text


def test_the_policy_allows_the_style_of_the_page_and_nothing_else() -> None:
    policy = PAGE_HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
