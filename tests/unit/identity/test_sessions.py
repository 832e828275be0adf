"""The key of the session cookies is secret, private, and the same for all processes."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from aiohttp import web

from eventhub.config import Session
from eventhub.errors import Misconfigured
from eventhub.identity.sessions import (
    KEY_FILE,
    cookie_key,
    cookie_name,
    load_secret,
    setup_sessions,
)


def test_an_empty_secret_stops_the_hub() -> None:
    """An unset variable must not make a key that anybody can derive."""
    with pytest.raises(Misconfigured, match="secret is empty"):
        cookie_key(" ")


def test_gateways_with_one_secret_read_each_others_cookies() -> None:
    assert cookie_key("any text ✓") == cookie_key("any text ✓") != cookie_key("another")
    assert len(cookie_key("x")) == 32


def test_hubs_on_one_host_have_cookies_of_their_own_unless_they_share_a_secret() -> None:
    one, other = cookie_key("one"), cookie_key("other")
    assert cookie_name(one, is_secure=False) == cookie_name(cookie_key("one"), is_secure=False)
    assert cookie_name(one, is_secure=False) != cookie_name(other, is_secure=False)
    assert cookie_name(one, is_secure=True).startswith("__Host-eventhub-")


@pytest.mark.parametrize("wrong", [{"samesite": "none"}, {"partitioned": True}])
def test_a_cookie_that_no_browser_would_accept_stops_the_hub(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(Misconfigured, match="HTTPS only"):
        setup_sessions(web.Application(), Session(secure=False, **wrong), tmp_path)


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    together = Barrier(8)

    def start(path: Path) -> str:
        together.wait()
        return load_secret(path)

    with ThreadPoolExecutor(8) as pool:
        for attempt in range(20):
            path = tmp_path / str(attempt) / KEY_FILE
            assert len(set(pool.map(start, [path] * 8))) == 1
            assert list(path.parent.iterdir()) == [path]


def test_the_kept_key_is_private(tmp_path: Path) -> None:
    setup_sessions(web.Application(), Session(), tmp_path)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_a_damaged_key_file_stops_the_hub(tmp_path: Path) -> None:
    for damage in (b"", b"\xff\xff"):
        (tmp_path / KEY_FILE).write_bytes(damage)
        with pytest.raises(Misconfigured, match=KEY_FILE):
            setup_sessions(web.Application(), Session(), tmp_path)
