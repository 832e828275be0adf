"""A login that has begun is found once, for ten minutes, in a session that fits into a cookie."""

import json
from typing import Any

import pytest
from cryptography.fernet import Fernet

from eventhub.identity import pending as module
from eventhub.identity.pending import (
    MAX_NEXT,
    MAX_PENDING,
    MAX_SESSION,
    begin,
    keep_provider,
    pending,
    provider_of,
    put,
    take,
)


def test_a_login_is_taken_once_and_by_its_entry() -> None:
    session: dict[str, Any] = {}
    login = begin(session, "in", "/next")
    other = begin(session, "in", "")
    assert len({login.state, login.nonce, login.verifier, other.state, other.nonce}) == 5
    assert take(session, "in", "guess") is None
    assert take(session, "in", "gü\udce4ss") is None
    assert take(session, "in", login.state) == login
    assert take(session, "in", login.state) is None
    assert take(session, "elsewhere", other.state) is None
    assert take(session, "in", other.state) is None
    assert session == {}


def test_a_login_is_too_old_after_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {}
    login = begin(session, "in", "")
    monkeypatch.setattr(module, "wall_clock", lambda: login.began + 600)
    assert pending(session) == [login]
    monkeypatch.setattr(module, "wall_clock", lambda: login.began + 601)
    assert take(session, "in", login.state) is None


def test_the_oldest_login_makes_room_and_a_long_path_is_left_out() -> None:
    session: dict[str, Any] = {}
    begun = [begin(session, "in", "/" * MAX_NEXT) for _ in range(MAX_PENDING + 2)]
    assert pending(session) == begun[2:]
    assert begin(session, "in", "/" * (MAX_NEXT + 1)).next == ""


@pytest.mark.parametrize("letter", ["u", "\N{LATIN SMALL LETTER U WITH DIAERESIS}"])
@pytest.mark.parametrize("size", [0, 1000, 1500])
def test_a_session_stays_small_enough_for_a_cookie(size: int, letter: str) -> None:
    session: dict[str, Any] = {
        "id": "s" * 22,
        "user": {"id": letter * (size // len(json.dumps(letter)[1:-1]))},
    }
    keep_provider(session, "in", "t" * 2000)
    last = None
    for _ in range(MAX_PENDING):
        last = begin(session, "in", "/" * MAX_NEXT)
        assert len(json.dumps(session)) <= MAX_SESSION
    stored = json.dumps({"created": 2**31, "session": session}).encode()
    cookie = Fernet(Fernet.generate_key()).encrypt(stored)
    assert len(f"__Host-eventhub-01234567={cookie.decode()}") <= 4096
    assert pending(session)[-1:] == [last]
    assert provider_of(session)[0] == "in"


def test_a_token_is_kept_if_there_is_room() -> None:
    session: dict[str, Any] = {}
    assert provider_of(session) == ("", None)
    keep_provider(session, "in", "t" * 2000)
    assert provider_of(session) == ("in", "t" * 2000)
    keep_provider(session, "in", "t" * MAX_SESSION)
    assert provider_of(session) == ("in", None)


def test_what_another_version_has_left_is_nothing() -> None:
    session: dict[str, Any] = {"_oidc": [["in"]], "_oidc_from": 5}
    assert (pending(session), provider_of(session)) == ([], ("", None))
    put(session, [])
    assert "_oidc" not in session
