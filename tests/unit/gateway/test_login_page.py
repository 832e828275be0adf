"""The forms of a login hold their token, and nothing that was typed becomes markup."""

import re

import pytest

from eventhub.gateway.login_page import (
    LOGIN_HEADERS,
    STYLE,
    TOKEN_FIELD,
    leaving_page,
    login_form,
    logout_form,
    problem_page,
)

EVIL = '"><script>alert(1)</script>'


def test_each_form_is_sent_to_its_own_address_with_its_token() -> None:
    for page in (login_form("Chat", "t0"), logout_form("Chat", "t0", "ann")):
        text = page.decode()
        assert f'<input type="hidden" name="{TOKEN_FIELD}" value="t0">' in text
        assert '<form method="post">' in text  # without an action


def test_a_name_is_typed_once() -> None:
    first, again = login_form("Chat", "t"), login_form("Chat", "t", user="ann", wrong="no")
    assert re.search(rb'id="user"[^>]* autofocus', first)
    assert re.search(rb'id="password"[^>]* autofocus', again)
    assert b'value="ann"' in again
    assert b'role="alert">no<' in again
    assert b"alert" not in first


def test_a_page_to_log_out_names_the_user_or_says_that_there_is_none() -> None:
    assert b"<strong>ann</strong>" in logout_form("Chat", "t", "ann")
    gone = logout_form("Chat", "t", None)
    assert b"You are logged out" in gone
    assert b"<form" not in gone


@pytest.mark.parametrize(
    "page",
    [
        login_form(EVIL, EVIL, user=EVIL, wrong=EVIL),
        logout_form(EVIL, EVIL, EVIL, wrong=EVIL),
        logout_form(EVIL, EVIL, None),
        login_form("a", "b", others={EVIL: EVIL}),
        problem_page(EVIL, EVIL, EVIL, EVIL),
        leaving_page(EVIL, EVIL, EVIL),
        leaving_page(EVIL, EVIL, None),
    ],
)
def test_nothing_that_was_typed_becomes_markup(page: bytes) -> None:
    assert b"<script" not in page
    assert b"&lt;script&gt;" in page


def test_a_login_that_failed_can_be_tried_again_and_says_who_is_logged_in() -> None:
    page = problem_page("Log in", "Why.", "/in?next=/a", None)
    assert b'role="alert">Why.' in page
    assert b'href="/in?next=/a"' in page
    assert b"logged in as" not in page
    assert b"logged in as <strong>ann</strong>" in problem_page("Log in", "Why.", "/in", "ann")


def test_a_logout_goes_on_by_itself_or_says_that_it_cannot() -> None:
    page = leaving_page("Log out", "Example", "https://a.example/?b=c&d=e")
    assert b'http-equiv="refresh" content="0; url=https://a.example/?b=c&amp;d=e"' in page
    gone = leaving_page("Log out", "Example", None)
    assert b"You may still be logged in at Example" in gone
    assert b"refresh" not in gone


def test_the_policy_allows_the_style_and_no_frame() -> None:
    policy = LOGIN_HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"url\(|@import|https?:", STYLE)
