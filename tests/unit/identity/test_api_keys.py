"""A key that was made here, and was not revoked, names its user; nothing else does."""

import re

import pytest

from eventhub.errors import Expired, Rejected
from eventhub.handler import User
from eventhub.identity.access import Key
from eventhub.identity.api_keys import ADMIN, ApiKeys, NewKey, is_api_key, new_key
from eventhub.identity.expiry import wall_clock
from eventhub.identity.logins import Logins
from eventhub.masking import without_credentials
from tests.builders import logins


@pytest.fixture
def known() -> Logins:
    return logins()


async def created(
    known: Logins, *, lasts: float | None = 600, scopes: tuple[str, ...] = ()
) -> NewKey:
    new, now = new_key(), wall_clock()
    expires = None if lasts is None else now + lasts
    key = Key(
        user="ann",
        digest=new.digest,
        scopes=scopes,
        attributes={"team": "red"},
        created=now,
        expires=expires,
    )
    await known.create_key(new.id, key)
    return new


async def test_a_key_names_its_user_with_scopes_and_attributes(known: Logins) -> None:
    new = await created(known, scopes=("write", "x:y"))
    user, validity = ApiKeys(known).login_of(new.text)
    assert user == User({"id": "ann", "team": "red", "scopes": ["write", "x:y"]})
    assert validity.marks == {f"key.{new.id}"}
    assert not validity.is_revoked
    await known.revoke_key(new.id)
    assert validity.is_revoked


async def test_a_secret_is_neither_stored_nor_short() -> None:
    new = new_key()
    secret = new.text.rpartition("_")[2]
    assert re.fullmatch(r"eventhub_[0-9A-Za-z]{10}_[0-9A-Za-z]{49}", new.text)
    assert secret[:43] not in new.digest
    assert len({new_key().text for _ in range(100)}) == 100


@pytest.mark.parametrize("damage", [0, 12, 25, 60, 67])
async def test_a_key_with_another_character_is_refused(known: Logins, damage: int) -> None:
    text = (await created(known)).text
    other = "0" if text[damage] != "0" else "1"
    with pytest.raises(Rejected) as caught:
        ApiKeys(known).login_of(text[:damage] + other + text[damage + 1 :])
    assert caught.value.code == "unauthorized"


async def test_keys_of_another_hub_and_revoked_ones_are_refused_in_the_same_words(
    known: Logins,
) -> None:
    revoked, foreign = await created(known), await created(logins())
    await known.revoke_key(revoked.id)
    words = set()
    for new in (revoked, foreign):
        with pytest.raises(Rejected) as caught:
            ApiKeys(known).login_of(new.text)
        words.add(caught.value.message)
    assert len(words) == 1


async def test_a_key_ends_by_itself(known: Logins) -> None:
    new = await created(known, lasts=-1)
    with pytest.raises(Expired):
        ApiKeys(known).login_of(new.text)
    lasting = await created(known, lasts=None)
    _, validity = ApiKeys(known).login_of(lasting.text)
    assert validity.expires_at is None


async def test_only_a_key_that_holds_has_its_scopes(known: Logins) -> None:
    keys = ApiKeys(known)
    admin, other = await created(known, scopes=(ADMIN,)), await created(known, scopes=("write",))
    assert [keys.has_scope(each, ADMIN) for each in (admin.text, other.text, "eventhub_x")] == [
        True,
        False,
        False,
    ]
    await known.revoke_key(admin.id)
    assert not keys.has_scope(admin.text, ADMIN)


async def test_a_use_is_noted_once_a_minute(known: Logins) -> None:
    keys, new = ApiKeys(known), await created(known)
    for _ in range(3):
        keys.login_of(new.text)
    assert known._unwritten == {new.id}
    known._unwritten.clear()
    keys.login_of(new.text)
    assert known._unwritten == set()


def test_a_key_is_masked_wherever_it_is_logged() -> None:
    new = new_key()
    assert is_api_key(new.text)
    assert without_credentials(f"sent {new.text}!") == f"sent eventhub_{new.id}_***!"
