"""Commands that talk to a hub send their token in a header."""

from eventhub.cli.remote import authorization


def test_a_token_is_sent_as_a_bearer_token() -> None:
    assert authorization("a.b.c") == {"Authorization": "Bearer a.b.c"}


def test_without_a_token_no_header_is_sent() -> None:
    assert authorization(None) == {}
