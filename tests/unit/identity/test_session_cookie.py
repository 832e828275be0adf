"""Hubs on one host keep a session each."""

from eventhub.identity.cookie_secret import cookie_key
from eventhub.identity.session_cookie import cookie_name


def test_hubs_on_one_host_have_cookies_of_their_own_unless_they_share_a_secret() -> None:
    one, other = cookie_key("one"), cookie_key("other")
    assert cookie_name(one, is_secure=False) == cookie_name(cookie_key("one"), is_secure=False)
    assert cookie_name(one, is_secure=False) != cookie_name(other, is_secure=False)
    assert cookie_name(one, is_secure=True).startswith("__Host-eventhub-")
