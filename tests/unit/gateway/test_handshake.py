"""A WebSocket is opened by a request that says all that RFC 6455 section 4.2.1 asks for."""

from collections.abc import Mapping

import pytest
from aiohttp import HttpVersion, HttpVersion10, HttpVersion11
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from structlog.testing import capture_logs

from eventhub.errors import Rejected
from eventhub.gateway.handshake import check_handshake, wants_websocket

RIGHT = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def check(
    *more: tuple[str, str],
    changes: Mapping[str, str | None] | None = None,
    version: HttpVersion = HttpVersion11,
) -> None:
    """Check the right handshake with some headers changed, left out or added."""
    headers = CIMultiDict(RIGHT)
    for name, value in (changes or {}).items():
        headers.popall(name, None)
        if value is not None:
            headers[name] = value
    headers.extend(more)
    check_handshake(make_mocked_request("GET", "/", headers, version=version))


def test_a_right_handshake_passes_in_any_case_and_spacing() -> None:
    check()
    check(changes={"Upgrade": " WebSocket ", "Connection": "UPGRADE"})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Upgrade": None}, "bad_request"),
        ({"Upgrade": "h2c"}, "bad_request"),
        ({"Connection": None}, "bad_request"),
        ({"Connection": "keep-alive"}, "bad_request"),
        ({"Sec-WebSocket-Version": None}, "upgrade_required"),
        ({"Sec-WebSocket-Version": "8"}, "upgrade_required"),
        ({"Sec-WebSocket-Key": None}, "bad_request"),
        ({"Sec-WebSocket-Key": "short"}, "bad_request"),
        ({"Sec-WebSocket-Protocol": "a, b c"}, "bad_request"),
    ],
)
def test_each_mistake_has_its_code(changes: dict[str, str | None], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        check(changes=changes)
    assert caught.value.code == code


def test_a_key_or_version_that_is_repeated_is_refused() -> None:
    for name in ("Sec-WebSocket-Key", "Sec-WebSocket-Version"):
        with pytest.raises(Rejected):
            check((name, RIGHT[name]))


def test_http_1_0_cannot_be_upgraded() -> None:
    with pytest.raises(Rejected, match=r"HTTP/1\.1"):
        check(version=HttpVersion10)


def test_an_unknown_subprotocol_is_logged_and_accepted() -> None:
    with capture_logs() as logs:
        check(changes={"Sec-WebSocket-Protocol": "chat.v7, eventhub.v1.json"})
        assert logs == []
        check(changes={"Sec-WebSocket-Protocol": "chat.v7"})
    assert [(each["event"], each["offered"]) for each in logs] == [
        ("subprotocol_unknown", "chat.v7")
    ]


@pytest.mark.parametrize(
    ("headers", "wants"),
    [
        ({}, False),
        ({"Upgrade": "WebSocket"}, True),
        ({"Sec-WebSocket-Key": "x"}, True),
        ({"Upgrade": "h2c"}, False),
    ],
)
def test_a_get_that_means_a_websocket_is_recognized(headers: dict[str, str], wants: bool) -> None:
    assert wants_websocket(make_mocked_request("GET", "/", headers)) is wants
