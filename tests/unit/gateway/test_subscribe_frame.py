"""A frame that subscribes names a path and a query as a URL has them, or is refused."""

from typing import Any

import pytest

from eventhub.errors import Rejected
from eventhub.gateway.subscribe_frame import SubscribeFrame, number_of

RIGHT: dict[str, Any] = {"_subscribe": 3, "path": "/chat/%C3%A4", "query": "text=a%20b&_c=id"}


def test_path_and_query_are_taken_as_they_are() -> None:
    number = number_of(RIGHT, "_subscribe")
    asked = SubscribeFrame.parse({**RIGHT, "since": "now", "_ref": 1}, number)
    assert (asked.number, asked.since) == (3, "now")
    assert (asked.url.raw_path, asked.url.raw_query_string) == (RIGHT["path"], RIGHT["query"])
    assert SubscribeFrame.parse({"_subscribe": 3, "path": "/"}, 3).url.raw_query_string == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"path": None}, "bad_control"),
        ({"path": "chat"}, "bad_control"),
        ({"path": "//evil.example/chat"}, "bad_control"),
        ({"path": "/chat?text=a"}, "bad_control"),
        ({"path": "/chat#x"}, "bad_control"),
        ({"path": "/ä"}, "bad_control"),
        ({"path": "/a b"}, "bad_control"),
        ({"query": "text=a\r\nX: y"}, "bad_control"),
        ({"query": ["text=a"]}, "bad_control"),
        ({"query": "a#b"}, "bad_control"),
        ({"query": "x" * (64 << 10)}, "url_too_long"),
        ({"since": ""}, "bad_position"),
        ({"since": 9}, "bad_position"),
        ({"since": "x" * 201}, "bad_position"),
        ({"columns": ["id"]}, "bad_control"),
    ],
)
def test_anything_else_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as refused:
        SubscribeFrame.parse(RIGHT | changes, 3)
    assert refused.value.code == code


@pytest.mark.parametrize("number", [0, 65, -1, 1.0, True, "1", None, [1]])
def test_a_number_is_whole_and_of_1_to_64(number: object) -> None:
    with pytest.raises(Rejected, match="1 to 64"):
        number_of({"_unsubscribe": number}, "_unsubscribe")
