"""Provider: the login service of one OIDCAuth: where its pages are, and which keys it signs with.

A provider of OpenID Connect describes itself (OpenID Connect Discovery 1.0). What it says is asked
for again after an hour; if the provider does not answer then, the last answer stays in use.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from eventhub.config import OidcEndpoint, is_safe_url
from eventhub.errors import Unavailable
from eventhub.identity.fetching import FetchError, fetch
from eventhub.identity.keys import ASYMMETRIC, Keys, RemoteKeys
from eventhub.logs import limited

FRESH_SECONDS: Final = 3600.0
COOLDOWN_SECONDS: Final = 2.0
"""Between failed attempts, however many people try to log in."""
UNREACHABLE: Final = "the login service cannot be reached now: try again later"


class _Described(msgspec.Struct):
    """What a provider says about itself, as far as it is used here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    id_token_signing_alg_values_supported: list[str] = []
    token_endpoint_auth_methods_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    """The addresses of a provider, and how it is used."""

    authorize_url: str
    token_url: str
    user_url: str | None
    end_session_url: str | None = None
    auth_method: str = "client_secret_post"
    """How the hub proves to the provider who it is."""
    sends_issuer: bool = False
    """Whether the provider names itself when it sends a browser back (RFC 9207)."""
    keys: Keys | None = None
    """None for a provider that has no OpenID Connect, and signs nothing."""


class Provider:
    """The login service of one OIDCAuth.

    Nothing is fetched before the first login, so that a hub starts without its provider.
    """

    def __init__(self, entry: OidcEndpoint) -> None:
        self._entry = entry
        self._metadata = _as_written(entry)
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._keys: tuple[str, Sequence[str], RemoteKeys] | None = None
        self._lock = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """Return what is known about the provider.

        Raises:
            Unavailable: the provider has not described itself yet, and does not now.
        """
        if self._is_due():
            async with self._lock:  # one request for all logins that wait
                if self._is_due():
                    await self._fetch()
        if self._metadata is None:
            raise Unavailable(UNREACHABLE)
        return self._metadata

    def _is_due(self) -> bool:
        if self._entry.issuer is None:
            return False
        now = time.monotonic()
        return now - self._fetched_at > FRESH_SECONDS and now - self._tried_at > COOLDOWN_SECONDS

    async def _fetch(self) -> None:
        url = self._entry.discovery_url
        try:
            found = _described(await fetch_json(url), str(self._entry.issuer))
        except FetchError as error:
            limited.warning("provider_failed", by=self._entry.name, error=str(error))
        else:
            self._metadata = self._used(found)
            self._fetched_at = time.monotonic()
        self._tried_at = time.monotonic()

    def _used(self, found: _Described) -> Metadata:
        methods = found.token_endpoint_auth_methods_supported or ["client_secret_basic"]
        is_basic = "client_secret_basic" in methods or "client_secret_post" not in methods
        method = "client_secret_basic" if is_basic else "client_secret_post"
        return Metadata(
            authorize_url=found.authorization_endpoint,
            token_url=found.token_endpoint,
            user_url=found.userinfo_endpoint,
            end_session_url=found.end_session_endpoint,
            auth_method=method if self._entry.client_secret else "none",
            sends_issuer=found.authorization_response_iss_parameter_supported,
            keys=self._keys_of(found),
        )

    def _keys_of(self, found: _Described) -> Keys:
        """Return the keys at the place that the provider names; they stay while it does."""
        offered = found.id_token_signing_alg_values_supported
        wanted = [name for name in offered if name in ASYMMETRIC] or ["RS256"]
        if self._keys is None or self._keys[:2] != (found.jwks_uri, wanted):
            self._keys = (found.jwks_uri, wanted, RemoteKeys(found.jwks_uri, wanted))
        return self._keys[2]


async def fetch_json(
    url: str, form: str | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the JSON object that a provider answers, as `fetch`.

    Raises:
        FetchError: there is none.
    """
    try:
        body = await fetch(url, form, headers)
        found: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except FetchError as error:
        raise FetchError(f"{url}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FetchError(f"{url}: the answer is not a JSON object") from None
    return found


def _as_written(entry: OidcEndpoint) -> Metadata | None:
    """Return what the file itself says about a provider without OpenID Connect."""
    if entry.issuer is not None or entry.authorize_url is None or entry.token_url is None:
        return None
    method = "client_secret_post" if entry.client_secret else "none"
    return Metadata(entry.authorize_url, entry.token_url, entry.user_url, auth_method=method)


def _described(found: Mapping[str, Any], issuer: str) -> _Described:
    """Check what a provider says about itself: its own issuer, and addresses that keep secrets."""
    try:
        described = msgspec.convert(found, _Described)
    except msgspec.ValidationError as error:
        raise FetchError(f"not a description of a provider: {error}") from None
    if described.issuer != issuer:
        raise FetchError(f"it is the description of {described.issuer[:200]!r}")
    urls = (
        described.authorization_endpoint,
        described.token_endpoint,
        described.jwks_uri,
        described.userinfo_endpoint,
        described.end_session_endpoint,
    )
    is_local = issuer.startswith("http:")
    for url in urls:
        if url is not None and not (is_safe_url(url) and (is_local or url.startswith("https:"))):
            raise FetchError(f"it names an address that is not https: {url[:200]!r}")
    return described
