"""Accounts are read from the file or from one beside it, and never as something else."""

from pathlib import Path

import pytest

from eventhub.config import SimpleAuthEndpoint, is_hash, is_own_path
from tests.unit.config.folder import Folder

HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$trprKpQLHR8baOie769p1A"
    "$r7PIvJBsF0dqSl7/8Yimb59mneVdrpLl3ONmsj7Zyxk"
)


def login(kwargs: str) -> str:
    """Return a file whose only entry is a login page."""
    return f"url: {{login: {{pattern: /login, handler: SimpleAuth, kwargs: {{{kwargs}}}}}}}\n"


def test_an_account_is_a_hash_or_a_mapping_with_attributes(folder: Folder) -> None:
    text = login(f"credentials: {{ann: '{HASH}', bob: {{password: '{HASH}', role: admin}}}}")
    config = folder.load(text, {"argon2id": "a variable", "v": "another", "trprKpQLHR8baOie": "x"})
    (entry,) = config.of_kind(SimpleAuthEndpoint)
    assert {name: each.password for name, each in entry.credentials.items()} == {
        "ann": HASH,
        "bob": HASH,
    }
    assert entry.credentials["bob"].attributes == {"role": "admin"}
    assert config.warnings == ()


def test_accounts_may_be_in_a_file_of_their_own(folder: Folder) -> None:
    (folder.path / "users.yaml").write_text(f"ann: {HASH}\n")
    config = folder.load(login("users_file: users.yaml"))
    (entry,) = config.of_kind(SimpleAuthEndpoint)
    assert set(entry.credentials) == {"ann"}
    assert folder.path / "users.yaml" in config.sources  # it is never served


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ("", "kwargs: nobody can log in: list users under credentials, or name a users_file"),
        ("users_file: none.yaml", "kwargs.users_file: cannot read the file"),
        ("credentials: {ann: {role: admin}}", "kwargs.credentials.ann: password is missing"),
        ("credentials: {ann: 12345678}", "kwargs.credentials.ann: expected a password"),
        (f"credentials: {{ann: {{password: {HASH}}}}}", "kwargs.credentials.ann: the hash is not"),
        (
            f"credentials: {{ann: '{HASH.replace('65536', '9999999')}'}}",
            "kwargs.credentials.ann: the hash is not whole, or costs too much",
        ),
        ("credentials: {ann: $2b$12$abcdefgh}", "kwargs.credentials.ann: hashes of this kind"),
        (
            "credentials: {ann: {password: long enough, id: bob}}",
            "kwargs.credentials.ann: the id of this user is its name, 'ann'",
        ),
        ("credentials: {ann: x}, redirect: //evil.example", "kwargs.redirect: expected a path"),
        ("credentials: {ann: x}, redirekt: /a", "kwargs: unknown key 'redirekt'"),
    ],
)
def test_mistake_in_a_login_page_is_reported(folder: Folder, kwargs: str, problem: str) -> None:
    (reported,) = folder.problems(login(kwargs))
    assert problem in reported
    assert "long enough" not in reported


@pytest.mark.parametrize(
    ("old", "new", "is_one"),
    [
        ("m=65536,t=3,p=4", "m=8,t=1,p=1", True),
        ("$argon2id$", "", False),
        ("m=65536", "m=4194304", False),
        ("m=65536", "m=31", False),
        ("t=3", "t=99", False),
        ("t=3", "t=0", False),
        ("p=4", "p=0", False),
        ("argon2id", "argon2i", False),
    ],
)
def test_only_hashes_that_can_be_checked_at_a_bearable_cost_are_taken(
    old: str, new: str, is_one: bool
) -> None:
    assert is_hash(HASH.replace(old, new)) is is_one


def test_a_password_in_the_file_is_a_warning_that_does_not_show_it(folder: Folder) -> None:
    (warning,) = folder.warnings(login("credentials: {ann: correct horse}"))
    assert "make a hash with `eventhub password`" in warning
    assert "horse" not in warning


@pytest.mark.parametrize(
    ("path", "is_own"),
    [
        ("/", True),
        ("/chat?topic=a%20b#x", True),
        ("", False),
        ("chat", False),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("/\t/evil.example", False),
        ("/\n/evil.example", False),
        ("https://evil.example/", False),
        ("javascript:alert(1)", False),
        ("/a\\..\\b", False),
    ],
)
def test_only_a_path_leads_back_to_this_site(path: str, is_own: bool) -> None:
    assert is_own_path(path) is is_own


def test_the_file_of_accounts_may_be_anywhere(folder: Folder, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.yaml"
    other.write_text(f"ann: {HASH}\n")
    config = folder.load(login(f"users_file: {other}"))
    assert config.of_kind(SimpleAuthEndpoint)[0].credentials["ann"].password == HASH
