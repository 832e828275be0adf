"""What `auth:` and `origins:` say is understood in full at start, or the hub does not start."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from eventhub.config import Auth, Jwt, MessageEndpoint, Proxy, Session
from eventhub.errors import Misconfigured, Rejected
from eventhub.hooks import Handler, User
from eventhub.identity.authenticator import Authenticator, Rule
from eventhub.identity.keys import keys_of
from eventhub.identity.origin import Origin, check_origins
from eventhub.identity.sessions import KEY_FILE, cookie_key, kept_secret, setup_sessions

SECRET = "0123456789abcdef0123456789abcdef"  # 32 bytes


def pem(key: PublicKeyTypes) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


def rule(auth: Any, folder: Path) -> Rule:
    return Rule(MessageEndpoint(name="chat", pattern="/chat", table="chat", auth=auth), folder)


async def verdict(auth: Any, user: dict[str, Any] | None, folder: Path, **args: list[str]) -> str:
    """What becomes of a user at an endpoint: `ok` or the code of the error."""
    handler = Handler(
        current_user=None if user is None else User(user), session={"id": "s"}, args=args
    )
    try:
        await rule(auth, folder).check(handler)
    except Rejected as error:
        return error.code
    return "ok"


# --- Rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "anonymous", "logged_in"),
    [
        (None, "ok", "ok"),
        (False, "ok", "ok"),
        (True, "unauthorized", "ok"),
        ({}, "unauthorized", "ok"),
        ({"condition": "True"}, "unauthorized", "ok"),
        ({"membership": {"id": "ann"}}, "unauthorized", "ok"),
    ],
)
async def test_any_auth_asks_for_a_login(
    auth: Any, anonymous: str, logged_in: str, tmp_path: Path
) -> None:
    assert await verdict(auth, None, tmp_path) == anonymous
    assert await verdict(auth, {"id": "ann"}, tmp_path) == logged_in


ANN = {
    "id": "ann",
    "role": "admin",
    "teams": ["red", "blue"],
    "level": 1,
    "org": {"unit": {"name": "sales"}},
    "https://x.example/role": "editor",
    "flag": True,
    "nothing": None,
}


@pytest.mark.parametrize(
    "membership",
    [
        {"role": "admin"},
        {"role": ["guest", "admin"]},
        {"teams": "red"},
        {"teams": ["green", "blue"]},
        {"role": "admin", "teams": "red"},
        {"org.unit.name": "sales"},
        {"https://x.example/role": "editor"},
        {"level": 1},
        {"flag": True},
        [{"role": "guest"}, {"teams": "blue"}],
    ],
)
async def test_members_pass(membership: Any, tmp_path: Path) -> None:
    assert await verdict({"membership": membership}, ANN, tmp_path) == "ok"


@pytest.mark.parametrize(
    "membership",
    [
        {"role": "guest"},
        {"role": "admi"},
        {"role": []},
        {"role": "admin", "teams": "green"},
        {"missing": "None"},
        {"nothing": "None"},
        {"org": "sales"},
        {"org.unit": "sales"},
        {"org.unit.name.first": "sales"},
        {"role.name": "admin"},
        {"level": "1"},
        {"level": True},
        {"flag": 1},
        [{"role": "guest"}, {"teams": "green"}],
    ],
)
async def test_others_do_not(membership: Any, tmp_path: Path) -> None:
    assert await verdict({"membership": membership}, ANN, tmp_path) == "forbidden"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("handler.current_user.id.startswith('a')", "ok"),
        ("handler_current_user['role'] == 'admin'", "ok"),
        ("args.get('room') == ['1']", "ok"),
        ({"function": "'red' in handler.current_user.teams"}, "ok"),
        ("rules.later(handler)", "ok"),
        ("handler.current_user.id == 'bob'", "forbidden"),
        ("handler.current_user.no_such", "forbidden"),
        ("1 / 0", "forbidden"),
        ("None", "forbidden"),
    ],
)
async def test_only_a_condition_that_holds_lets_pass(
    condition: Any, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "rules.py").write_text("async def later(handler):\n    return True\n")
    assert await verdict({"condition": condition}, ANN, tmp_path, room=["1"]) == expected


async def test_membership_and_condition_must_both_hold(tmp_path: Path) -> None:
    both = {"membership": {"role": "admin"}, "condition": "handler.current_user.id == 'bob'"}
    assert await verdict(both, ANN, tmp_path) == "forbidden"


@pytest.mark.parametrize(
    ("auth", "named"),
    [
        ({"memberships": {"role": "admin"}}, "memberships"),
        ({"login_url": "/login"}, "login_url"),
        ({"membership": {}}, "membership"),
        ({"membership": []}, "membership"),
        ({"membership": None}, "membership"),
        ({"membership": "admin"}, "membership"),
        ({"membership": {"role": {"is": "admin"}}}, "membership: role"),
        ({"membership": {"role": None}}, "membership: role"),
        ({"condition": "handler.("}, "condition"),
        ({"condition": ""}, "condition"),
        ({"condition": None}, "condition"),
        ({"condition": True}, "condition"),
        ({"condition": {"function": "True", "args": []}}, "condition"),
    ],
)
def test_a_rule_that_is_not_understood_stops_the_hub(auth: Any, named: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=f"url: chat: auth.*{named}"):
        rule(auth, tmp_path)


# --- Keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (rsa.generate_private_key(65537, 2048).public_key(), "RS256"),
        (ec.generate_private_key(ec.SECP256R1()).public_key(), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()).public_key(), "ES384"),
        (ed25519.Ed25519PrivateKey.generate().public_key(), "EdDSA"),
    ],
)
async def test_the_key_decides_the_algorithm(key: PublicKeyTypes, algorithm: str) -> None:
    found = await keys_of(Jwt(public_key=pem(key))).get(None)
    assert found is not None
    assert found.algorithms == (algorithm,)


RSA_PEM = pem(rsa.generate_private_key(65537, 2048).public_key())


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (Jwt(), "give one of"),
        (Jwt(secret=SECRET, public_key=RSA_PEM), "give one of"),
        (Jwt(secret=""), "0 bytes"),
        (Jwt(secret="short"), "5 bytes"),
        (Jwt(secret=RSA_PEM), "asymmetric key"),
        (Jwt(secret=SECRET, algorithms=["none"]), "none is not for this key"),
        (Jwt(secret=SECRET, algorithms=["RS256"]), "RS256 is not for this key"),
        (Jwt(public_key=RSA_PEM, algorithms=["RS256", "HS256"]), "HS256 is not for this key"),
        (Jwt(public_key="nonsense"), "not a PEM public key"),
        (Jwt(jwks="/no/such/file"), "No such file"),
        (Jwt(jwks="http://login.example.org/keys"), "only https"),
        (Jwt(jwks="ftp://127.0.0.1/keys"), "only https"),
    ],
)
def test_keys_that_protect_nothing_stop_the_hub(config: Jwt, why: str) -> None:
    with pytest.raises(Misconfigured, match=f"auth: jwt: .*{why}"):
        keys_of(config)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"keys": 5}', '{"keys": []}', '{"keys": [5]}', '{"keys": [{"kty": "new"}]}'],
)
def test_a_file_without_keys_stops_the_hub(text: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(Misconfigured, match="auth: jwt: jwks"):
        keys_of(Jwt(jwks=str(path)))


async def test_a_key_set_gives_signing_public_keys_only(tmp_path: Path) -> None:
    public = json.loads(
        jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key())
    )
    secret = {"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", "kid": "shared"}
    entries = [secret, {**public, "kid": "signs"}, {**public, "kid": "hides", "use": "enc"}]
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": entries}))
    keys = keys_of(Jwt(jwks=str(path)))
    assert [await keys.get(kid) is not None for kid in ("shared", "signs", "hides")] == [
        False,
        True,
        False,
    ]


def test_a_trusted_address_that_is_none_stops_the_hub() -> None:
    with pytest.raises(Misconfigured, match=r"auth: proxy: trusted: .*nginx"):
        Authenticator(Auth(proxy=Proxy(header="X-User", trusted=["nginx"])))


# --- Origins -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://h", "h"),
        ("http://h", "h:80"),
        ("http://h:80", "h"),
        ("https://h", "h"),
        ("https://h", "h:443"),
        ("http://h:8080", "h:8080"),
        ("HTTP://H.Example", "h.eXAMPLE"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_own_pages_are_known_by_host_and_port(origin: str, host: str) -> None:
    parsed = Origin.parse(origin)
    assert parsed is not None
    assert parsed.is_host(host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://h:8080", "h"),
        ("http://h", "h:8080"),
        ("http://h:8080", "h:8081"),
        ("http://h", "h:443"),
        ("http://h.evil.example", "h"),
        ("http://evil-h", "h"),
        ("chrome-extension://h", "h"),
        ("http://h", ""),
        ("http://h", "h, evil"),
    ],
)
def test_other_pages_are_told_from_own_ones(origin: str, host: str) -> None:
    parsed = Origin.parse(origin)
    assert parsed is not None
    assert not parsed.is_host(host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "h",
        "http://",
        "http://h/",
        "http://u@h",
        "http://h:80@evil",
        "http://h h",
        "//h",
    ],
)
def test_what_is_no_origin_is_none(text: str) -> None:
    assert Origin.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("example.org", "https://example.org/", "https://*", "https://a.*.org", ""),
        *("https://.apps.example.org", "https://a..example.org", "https://*..example.org"),
    ],
)
def test_an_origin_that_could_never_match_stops_the_hub(text: str) -> None:
    with pytest.raises(Misconfigured, match="url: chat: origins"):
        check_origins(["https://good.example", text], "url: chat")


def test_origins_of_all_documented_forms_are_accepted() -> None:
    check_origins(["*", "null", "https://a.b", "http://a:1", "https://*.a.b"], "url: chat")


# --- The session's key ---------------------------------------------------------------------------


def test_an_empty_secret_stops_the_hub() -> None:
    """An unset variable must not make a key that anybody can derive."""
    with pytest.raises(Misconfigured, match="secret is empty"):
        cookie_key(" ")


def test_gateways_with_one_secret_read_each_others_cookies() -> None:
    assert cookie_key("any text ✓") == cookie_key("any text ✓") != cookie_key("another")
    assert len(cookie_key("x")) == 32


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    together = Barrier(8)

    def start(path: Path) -> str:
        together.wait()
        return kept_secret(path)

    with ThreadPoolExecutor(8) as pool:
        for attempt in range(20):
            path = tmp_path / str(attempt) / KEY_FILE
            assert len(set(pool.map(start, [path] * 8))) == 1
            assert list(path.parent.iterdir()) == [path]


def test_the_kept_key_is_private(tmp_path: Path) -> None:
    setup_sessions(web.Application(), Session(), tmp_path)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_a_damaged_key_file_stops_the_hub(tmp_path: Path) -> None:
    for damage in (b"", b"\xff\xff"):
        (tmp_path / KEY_FILE).write_bytes(damage)
        with pytest.raises(Misconfigured, match=KEY_FILE):
            setup_sessions(web.Application(), Session(), tmp_path)
