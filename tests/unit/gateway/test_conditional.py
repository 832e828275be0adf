"""Conditional headers are those of RFC 9110; an entity tag is a sequence."""

from typing import Literal

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from eventhub.errors import Rejected
from eventhub.gateway.conditional import SINGLE, check_single, precondition_of
from eventhub.ingest.command import Precondition


def request(*headers: tuple[str, str]) -> web.Request:
    return make_mocked_request("PUT", "/rows", CIMultiDict(headers))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('"3"', frozenset({3})),
        ("3", frozenset({3})),
        (' "3" , "4",', frozenset({3, 4})),
        ("*", "*"),
        ('W/"3"', frozenset()),  # a weak tag matches nothing
        ('"abc", "5"', frozenset({5})),  # not a tag of the hub
    ],
)
def test_if_match_lists_the_sequences_that_a_row_may_have(
    text: str, match: frozenset[int] | Literal["*"]
) -> None:
    found = precondition_of(request(("If-Match", text)))
    assert found == Precondition(match=match, none_match=None)


def test_weak_tags_count_for_if_none_match() -> None:
    found = precondition_of(request(("If-None-Match", 'W/"3", "4"')))
    assert found == Precondition(match=None, none_match=frozenset({3, 4}))


def test_without_the_headers_there_is_no_condition() -> None:
    assert precondition_of(request()) is None


@pytest.mark.parametrize("text", ["", "abc", '"3', '"3" "4"', "3-4", "W/3"])
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
def test_a_header_that_is_not_a_list_of_tags_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(Rejected) as caught:
        precondition_of(request((name, text)))
    assert (caught.value.code, caught.value.column) == ("bad_control", name)


@pytest.mark.parametrize("name", SINGLE)
def test_a_header_that_decides_something_may_be_sent_once(name: str) -> None:
    check_single(request((name, "3")))
    with pytest.raises(Rejected, match=name):
        check_single(request((name, "3"), (name, "3")))
