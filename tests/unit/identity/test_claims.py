"""A user is made of the claims that the file names, if somebody has verified them."""

from typing import Any

import pytest

from eventhub.config import OidcEndpoint
from eventhub.identity.claims import LoginError, lacks, merged, user_from

ANN = {"sub": "u-1", "id": "admin", "email": "ann@example.org", "email_verified": True}


def entry(**kwargs: Any) -> OidcEndpoint:
    return OidcEndpoint(name="in", pattern="/in", client_id="hub", **kwargs)


def test_only_named_claims_are_attributes_and_none_is_the_id() -> None:
    claims = ANN | {"a": {"roles": ["x"]}, "b.c": 1, "b": {"c": 2}}
    names = {"roles": "a.roles", "dotted": "b.c", "none": "a.none.deeper", "login": "id"}
    assert user_from(entry(attributes=names), claims) == {
        "id": "u-1",
        "roles": ["x"],
        "dotted": 1,
        "login": "admin",
    }


@pytest.mark.parametrize("verified", [True, "true"])
def test_a_verified_address_is_an_id_and_an_attribute(verified: object) -> None:
    claims = ANN | {"email_verified": verified}
    user = user_from(entry(user_claim="email", attributes={"mail": "email"}), claims)
    assert user == {"id": "ann@example.org", "mail": "ann@example.org"}


@pytest.mark.parametrize("verified", [False, None, "false", 1, "True", [True]])
def test_an_address_that_is_not_verified_is_neither(verified: object) -> None:
    claims = ANN | {"email_verified": verified}
    assert user_from(entry(attributes={"mail": "email"}), claims) == {"id": "u-1"}
    with pytest.raises(LoginError) as caught:
        user_from(entry(user_claim="email"), claims)
    assert caught.value.reason == "email_not_verified"


@pytest.mark.parametrize("wrong", [None, "", "x" * 201, "a\nb", True, 1.5, ["u-1"], {"a": 1}])
def test_an_id_is_text_that_can_be_shown(wrong: object) -> None:
    with pytest.raises(LoginError) as caught:
        user_from(entry(), {"sub": wrong})
    assert caught.value.reason == "no_user_claim"
    assert user_from(entry(user_claim="number"), {"number": 7}) == {"id": "7"}


def test_attributes_that_do_not_fit_into_a_cookie_are_refused() -> None:
    one = entry(attributes={"groups": "groups"})
    assert user_from(one, {"sub": "a", "groups": ["g" * 1400]})["groups"]
    with pytest.raises(LoginError) as caught:
        user_from(one, {"sub": "a", "groups": ["g" * 1500]})
    assert caught.value.reason == "attributes_too_large"


def test_an_address_is_verified_only_by_who_names_it() -> None:
    other = {"email": "boss@example.org"}
    assert "email_verified" not in merged(ANN, other)
    assert merged(ANN, {"name": "Ann"}) == ANN | {"name": "Ann"}
    assert lacks(entry(user_claim="email"), merged(ANN, other))
    assert not lacks(entry(user_claim="email"), ANN)


def test_what_a_provider_says_is_a_word_or_not_in_the_log() -> None:
    assert LoginError("a", detail="invalid_client").detail == "invalid_client"
    for text in ("eyJhbGciOi", "invalid client", "x" * 41, ""):
        assert LoginError("a", detail=text).detail == ""
