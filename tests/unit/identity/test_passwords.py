"""A password fits its own account only, whatever its letters are made of."""

import asyncio
from threading import Thread

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from eventhub.config import Account, is_hash
from eventhub.errors import Unavailable
from eventhub.identity import passwords as module
from eventhub.identity.passwords import WAITING, Passwords, hash_password

CHEAP = (
    "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$dyoDvyrTESVkA2gzPvPQvu2RqXzmOcuwFhFKQyc1y4c"
)
"""Another tool's form of hash, with less work."""


@pytest.fixture(scope="module")
def stored() -> str:
    """Return the hash of a password with a composed letter; it costs less than one of the hub's."""
    cheap = Argon2id(salt=b"0123456789abcdef", length=32, iterations=1, lanes=1, memory_cost=64)
    return cheap.derive_phc_encoded("Gr\u00fc\u00dfe 123".encode())


def test_what_the_hub_makes_is_a_hash_that_it_can_check() -> None:
    assert is_hash(hash_password("a password"))


def test_passwords_that_are_hashed_at_the_same_time_do_not_wait_for_each_other_forever() -> None:
    threads = [Thread(target=hash_password, args=["a password"], daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


async def test_a_hash_fits_its_password_in_either_form_of_its_letters(stored: str) -> None:
    passwords = Passwords({"ann": Account(password=stored, attributes={"role": "admin"})})
    for typed in ("Gr\u00fc\u00dfe 123", "Gru\u0308\u00dfe 123"):
        assert await passwords.user_of("ann", typed) == {"id": "ann", "role": "admin"}
    for wrong in ("gr\u00fc\u00dfe 123", "", stored, "Gr\u00fc\u00dfe 123 ", "\ud800"):
        assert await passwords.user_of("ann", wrong) is None


async def test_a_password_fits_no_other_account(stored: str) -> None:
    accounts = {"ann": Account(password=stored), "bob": Account(password="plain text 1")}
    passwords = Passwords(accounts)
    assert await passwords.user_of("bob", "plain text 1") == {"id": "bob"}
    for name, typed in (("bob", "Gr\u00fc\u00dfe 123"), ("eve", "plain text 1"), ("eve", "")):
        assert await passwords.user_of(name, typed) is None


async def test_a_name_without_an_account_costs_what_an_account_costs(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def note(_password: str, phc: str) -> bool:
        checked.append(phc)
        return False

    monkeypatch.setattr(module, "_is_password_of", note)
    accounts = {"bob": Account(password="plain text 1"), "ann": Account(password=stored)}
    page = Passwords(accounts)
    for name in ("ann", "bob", "eve"):
        assert await page.user_of(name, "x") is None
    assert checked == [stored] * 3


async def test_logins_beyond_a_bound_are_asked_to_come_back(stored: str) -> None:
    passwords = Passwords({"ann": Account(password=CHEAP)})
    results = await asyncio.gather(
        *(passwords.user_of("ann", "x") for _ in range(WAITING + 5)), return_exceptions=True
    )
    refused = [each for each in results if isinstance(each, Unavailable)]
    assert [each.code for each in refused] == ["busy"] * 5
    assert await passwords.user_of("ann", "x") is None
