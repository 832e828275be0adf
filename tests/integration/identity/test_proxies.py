"""A header names the user only if a trusted proxy sent it."""

import pytest
from structlog.testing import capture_logs

from tests.integration.identity.logins import behind
from tests.integration.identity.site import Serve


@pytest.mark.parametrize("trusted", ["127.0.0.1", "127.0.0.0/8", "127.0.0.9/8"])
async def test_a_trusted_proxy_names_the_user(serve: Serve, trusted: str) -> None:
    site = await serve(behind("10.0.0.0/8", trusted))
    assert await site.who(X_Forwarded_User=" ann@x.example ") == {"id": "ann@x.example"}


@pytest.mark.parametrize("trusted", ["127.0.0.2", "10.0.0.0/8", "::1"])
async def test_the_header_of_other_peers_is_ignored(serve: Serve, trusted: str) -> None:
    site = await serve(behind(trusted))
    assert await site.who(X_Forwarded_User="root", X_Forwarded_For=trusted) is None


async def test_an_ignored_header_is_logged_once(serve: Serve) -> None:
    """Clients decide how often it happens: they must not fill the log."""
    site = await serve(behind("10.0.0.1"))
    with capture_logs() as logs:
        for _ in range(3):
            await site.who(X_Forwarded_User="root")
    assert [entry["event"] for entry in logs] == ["proxy_header_ignored"]


async def test_an_empty_header_is_not_a_login(serve: Serve) -> None:
    site = await serve(behind("127.0.0.1"))
    assert await site.who(X_Forwarded_User=" ") is None
    assert await site.who() is None


async def test_a_header_that_the_client_also_sent_is_refused(serve: Serve) -> None:
    """A proxy that adds its header, instead of setting it, lets the client's stand before it."""
    site = await serve(behind("127.0.0.1"))
    answer = await site.raw(b"Host: h", b"X-Forwarded-User: root", b"X-Forwarded-User: ann")
    assert b'"unauthorized"' in answer


async def test_a_header_that_is_not_text_is_refused(serve: Serve) -> None:
    site = await serve(behind("127.0.0.1"))
    assert b'"unauthorized"' in await site.raw(b"Host: h", b"X-Forwarded-User: \xff\xfe")
