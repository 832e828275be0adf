"""Keys: what checks the signatures of tokens: a secret, a public key, or an issuer's JWK set.

The key that the operator configured decides the algorithm, never the token. This stops `alg: none`,
and an RSA public key that is used as an HMAC secret (RFC 8725 section 2.1).
"""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from eventhub.config import Jwt, is_safe_url
from eventhub.errors import Misconfigured, Unavailable
from eventhub.identity.fetching import FetchError, fetch

logger = structlog.get_logger(__name__)

MIN_SECRET = 32  # bytes; RFC 7518 section 3.2 asks for the size of the hash
FRESH = 300.0  # seconds until keys are fetched again; a withdrawn key is valid as long
COOLDOWN = 10.0  # seconds between fetches, however many tokens name unknown keys
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512", "secp256k1": "ES256K"}


@dataclass(frozen=True, slots=True)
class Key:
    """Key material, and the algorithms that it may be used with."""

    material: Any
    algorithms: Sequence[str]


class Keys(Protocol):
    """A source of keys."""

    async def get(self, kid: str | None) -> Key | None:
        """Return the key for the `kid` of a token, which is None if the token has none."""


ASYMMETRIC: Final = frozenset(
    (*("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), *_CURVES.values(), "EdDSA")
)
"""The algorithms of public keys."""


def keys_of(config: Jwt) -> Keys:
    """Return the keys that `auth: jwt:` configures.

    Raises:
        Misconfigured: it does not name exactly one source, or a key cannot be used.
    """
    match config:
        case Jwt(secret=str() as secret, public_key=None, jwks=None):
            return _Fixed(_secret_key(secret, config.algorithms))
        case Jwt(secret=None, public_key=str() as pem, jwks=None):
            return _Fixed(_public_key(pem, config.algorithms))
        case Jwt(secret=None, public_key=None, jwks=str() as place):
            if "://" in place:
                if not is_safe_url(place):
                    text = "use https, or http on this machine"
                    raise Misconfigured(f"auth: jwt: jwks: {place}: {text}")
                return RemoteKeys(place, config.algorithms)
            return _Set(_read_set(Path(place), config.algorithms))
        case _:
            pass
    raise Misconfigured("auth: jwt: give one of secret, public_key and jwks")


def _secret_key(secret: str, wanted: Sequence[str] | None) -> Key:
    material = secret.encode()
    if len(material) < MIN_SECRET:
        raise Misconfigured(
            f"auth: jwt: secret has {len(material)} bytes, and needs at least {MIN_SECRET}: a"
            " shorter one can be guessed from any token (RFC 7518 section 3.2)"
        )
    try:
        jwt.get_algorithm_by_name("HS256").prepare_key(secret)
    except jwt.PyJWTError as error:  # it is a public key, which is no secret
        raise Misconfigured(f"auth: jwt: secret: {error}") from None
    return _with_algorithms(Key(material, ("HS256", "HS384", "HS512")), wanted)


def _public_key(pem: str, wanted: Sequence[str] | None) -> Key:
    try:
        material = load_pem_public_key(pem.encode())
    except ValueError as error:
        raise Misconfigured(f"auth: jwt: public_key is not a PEM public key: {error}") from None
    return _with_algorithms(Key(material, _algorithms_for(material)), wanted)


def _with_algorithms(key: Key, wanted: Sequence[str] | None) -> Key:
    """Return a key for the wanted algorithms, all of which it must support."""
    for name in wanted or ():
        if name not in key.algorithms:
            able = ", ".join(key.algorithms) or "none"
            raise Misconfigured(
                f"auth: jwt: algorithms: this key does not support {name}, only {able}"
            )
    return Key(key.material, wanted or key.algorithms[:1])


def _algorithms_for(material: object) -> tuple[str, ...]:
    """Return the algorithms of a public key, the most common one first; none for a secret."""
    match material:
        case rsa.RSAPublicKey():
            return ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
        case ec.EllipticCurvePublicKey(curve=curve):
            return tuple(name for known, name in _CURVES.items() if known == curve.name)
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return ("EdDSA",)
        case _:
            return ()


class _Fixed:
    """One key, which checks every token, whatever its `kid`."""

    def __init__(self, key: Key) -> None:
        self._key = key

    async def get(self, kid: str | None) -> Key | None:
        return self._key


class _Set:
    """A JWK set (RFC 7517): keys by their `kid`."""

    def __init__(self, keys: Mapping[str | None, Key]) -> None:
        self._keys = keys

    async def get(self, kid: str | None) -> Key | None:
        return _choose(self._keys, kid)


class RemoteKeys:
    """A JWK set that its issuer serves and rotates; the last one is kept if the issuer is down.

    Args:
        url: its address.
        wanted: the algorithms that may be used; None for the usual one of each key.
    """

    def __init__(self, url: str, wanted: Sequence[str] | None) -> None:
        self._url = url
        self._wanted = wanted
        self._keys: Mapping[str | None, Key] = {}
        self._tried_at = float("-inf")
        self._missed_at = float("-inf")
        """When keys were fetched for a token, and its key was not among them."""
        self._lock = asyncio.Lock()

    async def get(self, kid: str | None) -> Key | None:
        """Return the key for the `kid` of a token.

        Raises:
            Unavailable: no keys could be fetched yet.
        """
        if self._is_due(kid):
            async with self._lock:  # one fetch for all requests that wait
                if self._is_due(kid):
                    await self._fetch()
                    if _choose(self._keys, kid) is None:
                        self._missed_at = self._tried_at
        if not self._keys:
            raise Unavailable("the keys that check tokens cannot be fetched now: try again later")
        return _choose(self._keys, kid)

    def _is_due(self, kid: str | None) -> bool:
        """Return whether to fetch: for a new key at once, unless there was none a moment ago."""
        now = time.monotonic()
        if _choose(self._keys, kid) is None:
            return now - self._missed_at > COOLDOWN
        return now - self._tried_at > FRESH

    async def _fetch(self) -> None:
        try:
            self._keys = _parse_set(await fetch(self._url), self._wanted)
        except (FetchError, ValueError) as error:
            logger.warning("jwks_not_fetched", url=self._url, error=str(error))
        # Not earlier: requests that come during the fetch wait for it.
        self._tried_at = time.monotonic()


def _choose(keys: Mapping[str | None, Key], kid: str | None) -> Key | None:
    """Return the named key, or the only key for a token that names none."""
    if kid is None and len(keys) == 1:
        return next(iter(keys.values()))
    return keys.get(kid)


def _read_set(path: Path, wanted: Sequence[str] | None) -> Mapping[str | None, Key]:
    try:
        return _parse_set(path.read_bytes(), wanted)
    except (OSError, ValueError) as error:
        raise Misconfigured(f"auth: jwt: jwks: {path}: {error}") from None


def _parse_set(body: bytes, wanted: Sequence[str] | None) -> Mapping[str | None, Key]:
    """Return the public signing keys of a JWK set, without secrets and unknown kinds.

    Raises:
        ValueError: it is not a JWK set, or has no usable key.
    """
    try:
        entries = json.loads(body)["keys"]
        keys = dict(_usable_keys(entries, wanted))
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a JWK set: {error}") from None
    if not keys:
        raise ValueError("the JWK set has no signing key for a wanted algorithm")
    return keys


def _usable_keys(
    entries: Iterable[dict[str, Any]], wanted: Sequence[str] | None
) -> Iterable[tuple[str | None, Key]]:
    for entry in entries:
        try:
            material = jwt.PyJWK(entry).key
        except jwt.PyJWTError:  # RFC 7517 section 5: unknown kinds are ignored
            continue
        able = _algorithms_for(material)
        named = [entry["alg"]] if "alg" in entry else list(wanted or able[:1])
        algorithms = [name for name in named if name in able and name in (wanted or named)]
        if algorithms and entry.get("use", "sig") == "sig":
            yield entry.get("kid"), Key(material, algorithms)
