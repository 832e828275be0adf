"""A user is made of the claims that the file names, if somebody has verified them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventhub.config import OidcEndpoint
from eventhub.identity.claims import LoginError, lacks, merged, user_from
from tests.examples import examples

NAMES = st.sampled_from(["sub", "id", "email", "email_verified", "a", "b", "a.b"])
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
    for letter, count in [("g", 1500), ("\N{GREEK SMALL LETTER GAMMA}", 250)]:  # six characters
        with pytest.raises(LoginError) as caught:
            user_from(one, {"sub": "a", "groups": [letter * count]})
        assert caught.value.reason == "attributes_too_large"


def test_an_address_is_verified_only_by_who_names_it() -> None:
    other = {"email": "boss@example.org"}
    assert "email_verified" not in merged(ANN, other)
    assert merged(ANN, {"name": "Ann"}) == ANN | {"name": "Ann"}
    assert merged(other, {"email_verified": True}) == other
    assert lacks(entry(user_claim="email"), merged(ANN, other))
    assert not lacks(entry(user_claim="email"), ANN)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(claims=st.dictionaries(NAMES, JSON), surrogate=st.booleans())
@settings(max_examples=examples(300))
def test_whatever_a_provider_claims_is_a_user_with_named_attributes_or_none(
    claims: dict[str, Any], surrogate: bool
) -> None:
    one = entry(user_claim="sub", attributes={"mail": "email", "deep": "a.b", "a": "a"})
    if surrogate:
        claims["a"] = "\udc80"
    user, reason = None, ""
    try:
        user = user_from(one, claims)
    except LoginError as error:
        reason = error.reason
    if user is None:
        assert reason in ("no_user_claim", "attributes_too_large")
    else:
        assert user["id"] == str(claims["sub"])
        assert user.keys() <= {"id", "mail", "deep", "a"}
        assert "mail" not in user or claims["email_verified"] in (True, "true")


def test_what_a_provider_says_is_a_word_or_not_in_the_log() -> None:
    assert LoginError("a", detail="invalid_client").detail == "invalid_client"
    for text in ("eyJhbGciOi", "invalid client", "x" * 41, ""):
        assert LoginError("a", detail=text).detail == ""
