"""The key decides the algorithm, and keys that protect nothing stop the hub."""

import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from eventhub.config import Jwt
from eventhub.errors import Misconfigured
from eventhub.identity.keys import keys_of

SECRET = "0123456789abcdef0123456789abcdef"  # 32 bytes


def pem(key: PublicKeyTypes) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


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
        (Jwt(secret=SECRET, algorithms=["none"]), "does not support none"),
        (Jwt(secret=SECRET, algorithms=["RS256"]), "does not support RS256"),
        (Jwt(public_key=RSA_PEM, algorithms=["RS256", "HS256"]), "does not support HS256"),
        (Jwt(public_key="nonsense"), "not a PEM public key"),
        (Jwt(jwks="/no/such/file"), "No such file"),
        (Jwt(jwks="http://login.example.org/keys"), "use https"),
        (Jwt(jwks="ftp://127.0.0.1/keys"), "use https"),
    ],
)
def test_keys_that_protect_nothing_stop_the_hub(config: Jwt, why: str) -> None:
    with pytest.raises(Misconfigured, match=f"auth: jwt: .*{why}"):
        keys_of(config)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"keys": 5}',
        '{"keys": []}',
        '{"keys": [5]}',
        '{"keys": [{"kty": "new"}]}',
        "[" * 100_000,
    ],
)
def test_a_key_set_without_keys_stops_the_hub(text: str, tmp_path: Path) -> None:
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
