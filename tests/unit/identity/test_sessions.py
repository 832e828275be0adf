"""The session cookie is private, and a login holds as long as its record."""

import stat
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from eventhub.config import Session
from eventhub.errors import Misconfigured
from eventhub.identity.cookie_secret import KEY_FILE
from eventhub.identity.proxies import NO_PROXIES
from eventhub.identity.sessions import setup_sessions
from tests.builders import logins


@pytest.mark.parametrize("wrong", [{"samesite": "none"}, {"partitioned": True}])
def test_a_cookie_that_no_browser_would_accept_stops_the_hub(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(Misconfigured, match="HTTPS only"):
        setup_sessions(
            web.Application(), Session(secure=False, **wrong), tmp_path, NO_PROXIES, logins()
        )


def test_the_kept_key_is_private(tmp_path: Path) -> None:
    setup_sessions(web.Application(), Session(), tmp_path, NO_PROXIES, logins())
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_a_damaged_key_file_stops_the_hub(tmp_path: Path) -> None:
    for damage in (b"", b"\xff\xff"):
        (tmp_path / KEY_FILE).write_bytes(damage)
        with pytest.raises(Misconfigured, match=KEY_FILE):
            setup_sessions(web.Application(), Session(), tmp_path, NO_PROXIES, logins())
