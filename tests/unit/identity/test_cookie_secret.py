"""The key of the session cookies is secret, and the same for all processes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from eventhub.errors import Misconfigured
from eventhub.identity.cookie_secret import KEY_FILE, cookie_key, load_secret


def test_an_empty_secret_stops_the_hub() -> None:
    """An unset variable must not make a key that anybody can derive."""
    with pytest.raises(Misconfigured, match="secret is empty"):
        cookie_key(" ")


def test_gateways_with_one_secret_read_each_others_cookies() -> None:
    assert cookie_key("any text ✓") == cookie_key("any text ✓") != cookie_key("another")
    assert len(cookie_key("x")) == 32


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
