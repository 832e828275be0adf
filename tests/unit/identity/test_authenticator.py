"""The user of a request is the one that its token or a trusted proxy names, or nobody."""

from typing import Any

import jwt
import pytest
from multidict import CIMultiDict

from eventhub.config import Auth, Jwt, Proxy
from eventhub.errors import Rejected
from eventhub.handler import User
from eventhub.identity.authenticator import MAX_USER_ID, Authenticator
from eventhub.identity.expiry import wall_clock
from tests.builders import logins
from tests.unit.identity.incoming import request

SECRET = "0123456789abcdef0123456789abcdef"  # 32 bytes
BOTH = Auth(
    jwt=Jwt(secret=SECRET, require_exp=False),
    proxy=Proxy(header="X-User", trusted=["127.0.0.1"]),
)


def bearer(**claims: Any) -> dict[str, str]:
    return {"Authorization": "Bearer " + jwt.encode(claims, SECRET, "HS256")}


async def user_id(headers: Any) -> str:
    login = await Authenticator(BOTH, logins()).login_of(request(headers=headers))
    assert login.user is not None
    return str(login.user["id"])


async def test_a_token_counts_before_the_header_of_a_proxy() -> None:
    end = int(wall_clock()) + 60
    login = await Authenticator(BOTH, logins()).login_of(
        request(headers={**bearer(sub="ann", role="admin", exp=end), "X-User": "bob"})
    )
    assert login.user == User({"sub": "ann", "role": "admin", "exp": end, "id": "ann"})
    assert login.validity is not None
    assert login.validity.expires_at == end
    assert await user_id({"X-User": "bob"}) == "bob"


async def test_an_invalid_token_does_not_fall_back_to_the_proxy() -> None:
    with pytest.raises(Rejected, match="not a JWT"):
        await user_id({"Authorization": "Bearer x", "X-User": "bob"})


@pytest.mark.parametrize("given", ["a", "a" * MAX_USER_ID, "ann@x.example", "zoë 1"])
async def test_printable_text_is_the_id_of_a_user(given: str) -> None:
    assert await user_id(bearer(sub=given)) == given


@pytest.mark.parametrize(
    "claims",
    [{}, *({"sub": each} for each in ("", "a" * (MAX_USER_ID + 1), "a\nb", True, ["ann"], 1.5))],
)
async def test_other_values_are_the_id_of_no_user(claims: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        await user_id(bearer(**claims))
    assert caught.value.code == "unauthorized"


async def test_a_number_is_the_id_of_a_user_as_text() -> None:
    assert await user_id(bearer(sub=7)) == "7"


async def test_a_header_that_was_sent_twice_is_refused() -> None:
    with pytest.raises(Rejected, match="more than once"):
        await user_id(CIMultiDict([("X-User", "root"), ("X-User", "ann")]))
