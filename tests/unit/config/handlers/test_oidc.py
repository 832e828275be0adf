"""A login at a provider is read with every mistake, and its secret is never shown."""

import pytest

from eventhub.config import OidcEndpoint, is_safe_url
from tests.unit.config.folder import Folder

ISSUER = "issuer: 'https://login.example.org', client_id: hub"
PLAIN = (
    "authorize_url: 'https://h.example/a', token_url: 'https://h.example/t', client_id: hub,"
    " user_url: 'https://h.example/u'"
)


def login(kwargs: str, more: str = "") -> str:
    """Return a file whose only entry is a login at a provider."""
    return f"url: {{in: {{pattern: /in, handler: OIDCAuth, kwargs: {{{kwargs}}}}}}}\n{more}"


def read(folder: Folder, kwargs: str) -> OidcEndpoint:
    (entry,) = folder.load(login(kwargs), {"SECRET": "s3cr3t-word"}).of_kind(OidcEndpoint)
    return entry


def test_an_issuer_and_a_client_are_a_whole_login(folder: Folder) -> None:
    entry = read(folder, ISSUER)
    assert (entry.user_claim, entry.scope, entry.attributes) == ("sub", "openid email profile", {})
    assert entry.discovery_url == "https://login.example.org/.well-known/openid-configuration"
    with_path = read(folder, f"{ISSUER[:-20]}.org/realms/a/', client_id: hub")
    assert with_path.discovery_url.endswith("/realms/a/.well-known/openid-configuration")


def test_the_address_of_a_description_names_its_issuer(folder: Folder) -> None:
    address = "https://login.example.org/.well-known/openid-configuration"
    assert read(folder, f"issuer: '{address}', client_id: hub").issuer == address[:25]


def test_a_provider_without_openid_needs_its_addresses(folder: Folder) -> None:
    entry = read(folder, f"{PLAIN}, user_claim: id, attributes: [login]")
    assert (entry.scope, entry.attributes) == ("", {"login": "login"})


def test_scopes_and_attributes_are_lists_or_not(folder: Folder) -> None:
    entry = read(folder, f"{ISSUER}, scope: [openid, groups], attributes: {{roles: a.roles}}")
    assert (entry.scope, entry.attributes) == ("openid groups", {"roles": "a.roles"})
    assert read(folder, f"{ISSUER}, scope: openid").scope == "openid"


def test_a_secret_is_from_a_variable_or_a_file_or_causes_a_warning(folder: Folder) -> None:
    folder.write("secret.txt", "of the file\n")
    entry = read(folder, f"{ISSUER}, client_secret_file: secret.txt")
    assert entry.client_secret == "of the file"
    config = folder.load(login(f"{ISSUER}, client_secret: $SECRET"), {"SECRET": "s3cr3t-word"})
    assert config.warnings == ()
    assert "s3cr3t-word" not in config.masks.mask("it is s3cr3t-word")
    (warning,) = folder.warnings(login(f"{ISSUER}, client_secret: plain text"))
    assert "use client_secret_file, or a variable" in warning
    assert "plain text" not in warning


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ("", "kwargs: name the issuer; or, if it only has OAuth 2.0, all of"),
        ("client_id: hub, token_url: 'https://h.example/t'", "kwargs: name the issuer"),
        ("issuer: 'https://login.example.org'", "kwargs: client_id is missing"),
        ("issuer: 'http://login.example.org', client_id: a", "kwargs.issuer: expected an https"),
        ("issuer: 'https://a.example/?x=1', client_id: a", "kwargs.issuer: an issuer has no query"),
        (f"{ISSUER}, token_url: 'https://h.example/t'", "kwargs.token_url: the issuer says where"),
        (f"{ISSUER}, scope: email", "kwargs.scope: a login with an issuer needs the scope openid"),
        (f"{ISSUER}, client_secret: $UNSET", "$UNSET is not defined"),
        (f"{ISSUER}, client_secret_file: none.txt", "cannot read the file"),
        (f"{ISSUER}, client_secret: a, client_secret_file: hub.yaml", "give either client_secret"),
        (f"{ISSUER}, attributes: {{id: sub}}", "kwargs.attributes: the id of a user is its"),
        (f"{ISSUER}, attributes: 5", "kwargs.attributes: expected"),
        (f"{ISSUER}, redirect: //evil.example", "kwargs.redirect: expected a path"),
        (f"{ISSUER}, redirect_uri: /in", "kwargs.redirect_uri: expected an https"),
        (f"{ISSUER}, logout: all", "kwargs.logout: expected one of local, end_session"),
        (f"{ISSUER}, user_claim: ''", "kwargs.user_claim: expected text"),
        (f"{ISSUER}, clientid: a", "unknown key 'clientid' (did you mean 'client_id'?)"),
        (PLAIN, "kwargs: user_claim is missing"),
        (f"{PLAIN}, user_claim: id, logout: end_session", "kwargs.logout: only a provider with"),
    ],
)
def test_mistake_in_a_login_is_reported(folder: Folder, kwargs: str, problem: str) -> None:
    assert any(problem in line for line in folder.problems(login(kwargs)))


def test_a_cookie_that_does_not_come_back_is_a_problem(folder: Folder) -> None:
    strict = "auth: {session: {samesite: strict}}"
    (problem,) = folder.problems(login(ISSUER, strict))
    assert "auth.session.samesite: OIDCAuth needs `samesite: lax`" in problem


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://login.example.org/a?b=c", True),
        ("http://127.0.0.1:8080/a", True),
        ("http://[::1]/", True),
        ("http://localhost", True),
        ("http://login.example.org/", False),
        ("http://127.0.0.1.example.org/", False),
        ("https://user@login.example.org/", False),
        ("https://login.example.org/#a", False),
        ("https://login.example.org\\@evil.example/", False),
        ("https://a b/", False),
        ("https://", False),
        ("https://[::1", False),
        ("https://a:99999/", False),
        ("ftp://localhost/", False),
        ("javascript:alert(1)", False),
    ],
)
def test_secrets_are_sent_by_https_or_stay_on_this_machine(url: str, is_safe: bool) -> None:
    assert is_safe_url(url) is is_safe
