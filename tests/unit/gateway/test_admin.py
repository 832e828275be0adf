"""Operators are local programs and requests with the token, and no other client."""

import asyncio

import pytest
from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from eventhub.config import Server
from eventhub.config.settings import Admin as AdminSettings
from eventhub.errors import Misconfigured
from eventhub.gateway.admin import MIN_TOKEN, Admin

TOKEN = "t" * MIN_TOKEN
REMOTE = "203.0.113.9"


class Peer(asyncio.Transport):
    """A connection from an address."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 50000)})


def request(
    address: str, *headers: tuple[str, str], version: HttpVersion = HttpVersion11
) -> web.Request:
    sent = CIMultiDict([("Host", "127.0.0.1:8080"), *headers])
    return make_mocked_request("GET", "/metrics", sent, version=version, transport=Peer(address))


def admin(token: str | None = None) -> Admin:
    return Admin(Server(admin=None if token is None else AdminSettings(token=token)))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.9.9.9", "::ffff:127.0.0.1"])
def test_a_local_program_is_an_operator(address: str) -> None:
    assert admin().is_operator(request(address))


@pytest.mark.parametrize(
    "header",
    [
        ("X-Forwarded-For", REMOTE),
        ("X-Forwarded-Proto", "https"),
        ("forwarded", f"for={REMOTE}"),
        ("Via", "1.1 proxy"),
        ("x-real-ip", REMOTE),
        ("Host", "rebound.example"),
        ("Origin", "https://evil.example"),
        ("Origin", "http://127.0.0.1:3000"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ],
)
def test_what_a_local_proxy_or_a_page_of_another_site_sends_is_not_local(
    header: tuple[str, str],
) -> None:
    assert not admin().is_operator(request("127.0.0.1", header))


def test_the_hubs_own_page_in_a_local_browser_is_an_operator() -> None:
    own = (("Origin", "http://127.0.0.1:8080"), ("Sec-Fetch-Site", "same-origin"))
    assert admin().is_operator(request("127.0.0.1", *own))


def test_http_1_0_may_be_a_proxy_and_is_not_local() -> None:
    assert not admin().is_operator(request("127.0.0.1", version=HttpVersion10))


@pytest.mark.parametrize(
    ("sent", "is_operator"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        (f"Bearer {TOKEN}x", False),
        (f"Basic {TOKEN}", False),
        ("Bearer ü", False),
        ("", False),
    ],
)
def test_a_remote_client_needs_the_token(sent: str, is_operator: bool) -> None:
    assert admin(TOKEN).is_operator(request(REMOTE, ("Authorization", sent))) is is_operator
    assert not admin().is_operator(request(REMOTE, ("Authorization", sent)))


def test_a_short_token_is_refused_at_the_start() -> None:
    with pytest.raises(Misconfigured, match=f"at least {MIN_TOKEN} characters"):
        admin("t" * (MIN_TOKEN - 1))
