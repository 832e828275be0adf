"""A secret is masked in every form in which it can occur, and ordinary words are not."""

import json

import pytest

from eventhub.masking import Masks, without_credentials, without_literals, without_texts


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("nats://me:s3cret@host:4222", "nats://***@host:4222"),
        ("cannot log in as me:s3cret@host", "cannot log in as ***@host"),
        ("https://host/a?sig=s3cret&b=1", "https://host/a?sig=***&b=***"),
        ("https://host/a?s3cret", "https://host/a?***"),
        ("-----BEGIN PRIVATE KEY-----\nMIIB", "-----BEGIN PRIVATE KEY-----***"),
        ("Bearer eyJhbGciOi.e30.abc", "Bearer ***"),
        (
            "mail to ann@example.org: see https://host/a",
            "mail to ann@example.org: see https://host/a",
        ),
    ],
)
def test_logins_queries_and_keys_are_masked_and_addresses_are_not(text: str, masked: str) -> None:
    assert without_credentials(text) == masked


@pytest.mark.parametrize(
    "part", ["(?:", "=a:", "#a", "://", "://a?", "a:@", "eyJ", "eyJ.", "-----BEGIN ", " a:b", "?&"]
)
def test_a_long_text_of_a_client_is_masked_in_linear_time(part: str) -> None:
    """Quadratic time would be minutes."""
    assert without_credentials(part * 60_000 + " https://me:secret@host").endswith("//***@host")


def test_quotations_are_masked_even_if_one_is_cut_off() -> None:
    assert without_texts("""not 'a' or "b" but 'c""") == """not '***' or "***" but '***'"""


@pytest.mark.parametrize(
    ("source", "masked"),
    [
        ("call(token='s3cret', x='y')", "call(token='***', x='***')"),
        ("'a' + 'Zm9vYmFyMTIzNDU2Nzg5MDEyMw'", "'a' + '***'"),
        ("msg.update(body='MSG: ' + msg['body'])", "msg.update(body='MSG: ' + msg['body'])"),
        ("f(password='é', x='a\nb'", "f(password='***', x='***'"),
    ],
)
def test_texts_of_an_expression_are_masked_if_they_may_be_secrets(source: str, masked: str) -> None:
    assert without_literals(source) == masked


def test_secret_is_masked_as_it_is_and_as_json_spells_it() -> None:
    masks = Masks()
    masks.add_secret('pass"wörd')
    assert masks.mask('cannot log in with pass"wörd') == "cannot log in with ***"
    assert masks.mask(json.dumps({"a": 'pass"wörd'})) == '{"a": "***"}'


def test_secret_of_three_characters_is_not_searched_for_in_other_texts() -> None:
    masks = Masks()
    masks.add_secret("cat")
    assert masks.mask("concatenate") == "concatenate"


def test_variable_is_a_secret_in_errors_and_an_ordinary_word_in_log_lines() -> None:
    masks = Masks()
    masks.add_variable("TEAM", "engineering")
    assert masks.mask_error("'engineering' is not a table") == "'***' is not a table"
    assert masks.mask_display("engineering") == "***"
    assert masks.mask("engineering") == "engineering"
    masks.add_variable("API_KEY", "engineering")
    assert masks.mask("engineering") == "***"
