"""A hub answers to its own names, and to foreign names only where no browser can have sent them."""

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from eventhub.config import Server
from eventhub.errors import Misconfigured, Rejected
from eventhub.identity.hosts import Hosts, is_loopback_name
from eventhub.identity.proxies import NO_PROXIES, Proxies
from tests.unit.identity.incoming import request

PROXY = Proxies(["10.0.0.1"])


def answers(
    name: str,
    hosts: list[str] | None = None,
    proxies: Proxies = NO_PROXIES,
    *,
    path: str = "/chat",
    peer: str = "127.0.0.1",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> bool:
    """Return whether a hub on loopback answers a request for a name."""
    sent = request(peer=(peer, 1), path=path, headers={"Host": name, **headers})
    try:
        Hosts(Server(hosts=hosts), proxies).check(sent)
    except Rejected as error:
        return error.code != "forbidden"
    return True


@pytest.mark.parametrize(
    "name", ["localhost", "LOCALHOST:8080", "a.localhost", "127.0.0.1", "127.1.2.3:1", "[::1]:8080"]
)
def test_names_of_this_machine_are_its_own(name: str) -> None:
    assert is_loopback_name(name)
    assert answers(name)


@pytest.mark.parametrize(
    "name", ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "", "a b"]
)
def test_a_name_that_a_page_can_have_is_refused(name: str) -> None:
    assert not is_loopback_name(name)
    assert not answers(name, headers={"Origin": "http://evil.example"})
    assert answers(name, path="/healthz")  # by address, from an orchestrator


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("hub.example:443", {}),
        ("hub.example:80", {}),
        ("hub", {}),
        ("hub.example", {"Origin": "https://hub.example"}),
        ("hub.example", {"Upgrade": "websocket"}),
    ],
)
def test_a_request_that_no_browser_can_send_directly_is_that_of_a_proxy(
    name: str, sent: dict[str, str]
) -> None:
    assert answers(name, headers=sent)
    assert not answers(name, ["other.example"], headers=sent)


@pytest.mark.parametrize(
    ("entry", "good", "bad"),
    [
        ("hub.example", "HUB.example.:8080", "evil.example"),
        ("hub.example:8080", "hub.example:8080", "hub.example"),
        ("*.hub.example", "a.b.hub.example", "hub.example"),
        ("[::1]", "[::1]:8080", "127.0.0.1"),
    ],
)
def test_configured_names_are_the_only_ones(entry: str, good: str, bad: str) -> None:
    assert answers(good, [entry])
    assert not answers(bad, [entry])
    assert answers(bad, [entry, "*"])


def test_a_trusted_proxy_names_the_host_and_may_use_an_address_itself() -> None:
    def is_answered(host: str, named: str) -> bool:
        headers = {"X-Forwarded-Host": named}
        return answers(host, ["hub.example"], PROXY, peer="10.0.0.1", headers=headers)

    assert is_answered("10.0.0.2:8080", "hub.example")
    assert not is_answered("evil.example", "hub.example")
    assert not is_answered("10.0.0.2:8080", "evil.example")


@pytest.mark.parametrize("entry", ["https://hub.example", "a.*.example", ".example", "a/b", ""])
def test_an_entry_that_is_no_host_stops_the_hub(entry: str) -> None:
    with pytest.raises(Misconfigured, match="server: hosts: expected"):
        Hosts(Server(hosts=["good.example", entry]))


def test_an_empty_list_stops_the_hub() -> None:
    with pytest.raises(Misconfigured, match="server: hosts: the list is empty"):
        Hosts(Server(hosts=[]))
