"""Every request is for one of the hub's names, and every answer has the security headers."""

import pytest

from eventhub.gateway.guard import OWN_FRAMES, add_headers


@pytest.mark.parametrize(
    ("own", "frames"),
    [
        ({}, "SAMEORIGIN"),
        ({"Content-Security-Policy": OWN_FRAMES}, "SAMEORIGIN"),
        ({"Content-Security-Policy": "default-src 'self'"}, "SAMEORIGIN"),
        ({"Content-Security-Policy": "frame-ancestors https://good.example"}, None),
        ({"X-Frame-Options": "DENY"}, "DENY"),
    ],
)
def test_frames_are_for_the_sites_that_an_answer_names(
    own: dict[str, str], frames: str | None
) -> None:
    headers = dict(own)
    add_headers(headers)
    assert headers.get("X-Frame-Options") == frames


def test_the_server_is_named_without_its_version() -> None:
    headers = {"Server": "Python/3.13 aiohttp/3.14", "Referrer-Policy": "no-referrer"}
    add_headers(headers)
    assert headers["Server"] == "EventHub"
    assert headers["Referrer-Policy"] == "no-referrer"  # what an answer says itself stays
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
