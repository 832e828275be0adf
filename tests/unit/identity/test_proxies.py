"""Only the proxies that the configuration trusts can say who a client is."""

import pytest
from multidict import CIMultiDict

from eventhub.config import Auth, Proxy
from eventhub.errors import Misconfigured
from eventhub.identity.authenticator import Authenticator
from eventhub.identity.proxies import MAX_TEXT, NO_PROXIES, Proxies, client_of, forwarded, source_of
from tests.builders import logins
from tests.unit.identity.incoming import request

OURS = Proxies(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "fd00::1%eth0"])
def test_an_address_of_a_trusted_network_is_trusted_in_every_spelling(address: str) -> None:
    assert OURS.trusts(address)
    assert OURS.sent(request(peer=(address, 1)))


@pytest.mark.parametrize("peer", [("11.0.0.1", 1), ("fe80::1%eth0", 1, 0, 2), None, "socket.path"])
def test_a_foreign_or_unknown_address_is_not_trusted(peer: object) -> None:
    assert not OURS.sent(request(peer=peer))


def test_a_trusted_entry_that_is_no_address_stops_the_hub() -> None:
    with pytest.raises(Misconfigured, match=r"auth: proxy: trusted: .*nginx"):
        Authenticator(Auth(proxy=Proxy(header="X-User", trusted=["nginx"])), logins())


def test_only_the_entry_that_the_proxy_appended_is_read() -> None:
    """A client can send the header as well, and the proxy may keep what it sent."""
    headers = CIMultiDict([("X-Forwarded-Host", "a, b"), ("X-Forwarded-Host", "evil, hub ")])
    assert forwarded(request(peer=("10.0.0.1", 1), headers=headers), "X-Forwarded-Host", OURS) == (
        "hub"
    )
    for stranger in (request(headers=headers), request(peer=("10.0.0.1", 1))):
        assert forwarded(stranger, "X-Forwarded-Host", OURS) is None


def test_the_scheme_of_a_trusted_proxy_counts_more_than_that_of_its_connection() -> None:
    headers = {"X-Forwarded-Proto": "http, WSS"}
    assert OURS.by_tls(request(peer=("10.0.0.1", 1), headers=headers))
    assert not OURS.by_tls(request(headers=headers))
    assert not OURS.by_tls(
        request(peer=("10.0.0.1", 1), by_tls=True, headers={"X-Forwarded-Proto": "http"})
    )
    assert NO_PROXIES.by_tls(request(by_tls=True))


def test_the_address_of_a_client_is_the_last_one_that_a_trusted_proxy_names() -> None:
    headers = {"X-Forwarded-For": "1.2.3.4, 5.6.7.8"}
    assert client_of(request(peer=("10.0.0.1", 1), headers=headers), OURS) == "5.6.7.8"
    assert client_of(request(headers=headers), OURS) == "127.0.0.1"
    endless = request(peer=("10.0.0.1", 1), headers={"X-Forwarded-For": "x" * 9999})
    assert len(client_of(endless, OURS)) == MAX_TEXT


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::1%eth0"),  # each machine of a network has one
        ("::1", "::/64"),
        ("unix", "unix"),
        ("no address", "no address"),
    ],
)
def test_the_limits_of_an_address_count_a_network_of_ipv6_as_one(address: str, source: str) -> None:
    assert source_of(address) == source
