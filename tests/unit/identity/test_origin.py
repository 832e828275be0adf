"""Own pages are recognised by host and port, and origins that could never match stop the hub."""

import pytest

from eventhub.errors import Misconfigured
from eventhub.identity.origin import Origin, check_origins


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://h", "h"),
        ("http://h", "h:80"),
        ("http://h:80", "h"),
        ("https://h", "h"),
        ("https://h", "h:443"),
        ("http://h:8080", "h:8080"),
        ("HTTP://H.Example", "h.eXAMPLE"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_own_pages_are_recognised_by_host_and_port(origin: str, host: str) -> None:
    parsed = Origin.parse(origin)
    assert parsed is not None
    assert parsed.is_host(host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://h:8080", "h"),
        ("http://h", "h:8080"),
        ("http://h:8080", "h:8081"),
        ("http://h", "h:443"),
        ("http://h.evil.example", "h"),
        ("http://evil-h", "h"),
        ("chrome-extension://h", "h"),
        ("http://h", ""),
        ("http://h", "h, evil"),
    ],
)
def test_pages_of_other_hosts_are_not_recognised(origin: str, host: str) -> None:
    parsed = Origin.parse(origin)
    assert parsed is not None
    assert not parsed.is_host(host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "h",
        "http://",
        "http://h/",
        "http://u@h",
        "http://h:80@evil",
        "http://h h",
        "//h",
    ],
)
def test_text_that_is_no_origin_is_not_parsed(text: str) -> None:
    assert Origin.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("example.org", "https://example.org/", "https://*", "https://a.*.org", ""),
        *("https://.apps.example.org", "https://a..example.org", "https://*..example.org"),
    ],
)
def test_an_origin_that_could_never_match_stops_the_hub(text: str) -> None:
    with pytest.raises(Misconfigured, match="url: chat: origins"):
        check_origins(["https://good.example", text], "url: chat")


def test_origins_of_all_documented_forms_are_accepted() -> None:
    check_origins(["*", "null", "https://a.b", "http://a:1", "https://*.a.b"], "url: chat")
