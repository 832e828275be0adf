"""OIDC: a login by the authorization code flow (OpenID Connect Core 1.0, section 3.1; RFC 9700).

The browser is sent to the provider with a state, a nonce and the hash of a verifier. It comes back
with a code, which the hub exchanges at the provider for tokens.
"""

from typing import Any, Final
from urllib.parse import quote_plus

import jwt
import msgspec
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from jwt.types import Options

from eventhub.config import OidcEndpoint
from eventhub.errors import Unavailable
from eventhub.identity.claims import LoginError, lacks, merged, user_from
from eventhub.identity.fetching import FetchError
from eventhub.identity.keys import Keys
from eventhub.identity.pending import Pending
from eventhub.identity.provider import UNREACHABLE, Metadata, Provider, fetch_json
from eventhub.logs import limited

_OF_TOKEN: Final = ("iss", "aud", "azp", "exp", "iat", "nbf", "nonce", "at_hash")
"""Claims about the token itself, which the user endpoint cannot replace."""
LEEWAY: Final = 60
"""Seconds by which the provider's clock may differ: the token has come from it a moment ago."""


class LoggedIn(msgspec.Struct, frozen=True):
    """A person who has logged in at a provider."""

    user: dict[str, Any]
    """The attributes of the user, with `id`."""
    id_token: str | None
    """For ending the session at the provider."""


class Oidc:
    """Logins at the provider of one entry."""

    def __init__(self, entry: OidcEndpoint) -> None:
        self._entry = entry
        self._provider = Provider(entry)

    async def authorize_url(self, login: Pending, redirect_uri: str) -> str:
        """Return the address of the provider's page where a person logs in.

        Raises:
            Unavailable: the provider cannot be reached.
        """
        metadata = await self._provider.metadata()
        url: str = prepare_grant_uri(
            metadata.authorize_url,
            client_id=self._entry.client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=self._entry.scope,
            state=login.state,
            nonce=login.nonce if metadata.keys else None,
            code_challenge=create_s256_code_challenge(login.verifier),
            code_challenge_method="S256",
        )
        return url

    async def check_issuer(self, sent: str | None) -> None:
        """Check which provider sent the browser back, so that no other one can (RFC 9207).

        Raises:
            LoginError: it names another provider, or none although this one does so.
            Unavailable: the provider cannot be reached.
        """
        metadata = await self._provider.metadata()
        if sent is None and not metadata.sends_issuer:
            return
        if self._entry.issuer is not None and sent != self._entry.issuer:
            raise LoginError("wrong_issuer")

    async def exchange(self, login: Pending, code: str, redirect_uri: str) -> LoggedIn:
        """Exchange a code for the user who has logged in.

        Raises:
            LoginError: the provider refuses the code, or its answer cannot be trusted.
            Unavailable: the provider cannot be reached.
        """
        if not code:
            raise LoginError("no_code")
        metadata = await self._provider.metadata()
        try:
            tokens = await self._tokens(metadata, login, code, redirect_uri)
            access = tokens.get("access_token")
            if not isinstance(access, str) or not access.isascii() or not access.isprintable():
                raise LoginError("no_access_token")
            id_token, claims = tokens.get("id_token"), dict[str, Any]()
            if metadata.keys is not None:
                claims = await self._checked(metadata.keys, id_token, login.nonce, access)
            if metadata.user_url is not None and lacks(self._entry, claims):
                claims = await _with_user_info(metadata.user_url, access, claims)
            user = user_from(self._entry, claims)
        except FetchError as error:
            limited.warning("provider_failed", by=self._entry.name, error=str(error))
            raise Unavailable(UNREACHABLE) from None
        return LoggedIn(user, id_token if metadata.keys else None)

    async def end_session_url(self, id_token: str | None, back: str) -> str | None:
        """Return the address that ends the session at the provider; None if it has none.

        Args:
            id_token: of the login, if it is known.
            back: where the provider sends the browser afterwards.

        Raises:
            Unavailable: the provider cannot be reached.
        """
        metadata = await self._provider.metadata()
        if metadata.end_session_url is None:
            return None
        hint = [("id_token_hint", id_token)] if id_token else []
        parameters = [("client_id", self._entry.client_id), ("post_logout_redirect_uri", back)]
        url: str = add_params_to_uri(metadata.end_session_url, hint + parameters)
        return url

    async def _tokens(
        self, metadata: Metadata, login: Pending, code: str, redirect_uri: str
    ) -> dict[str, Any]:
        form = prepare_token_request(
            "authorization_code",
            code=code,
            redirect_uri=redirect_uri,
            code_verifier=login.verifier,
        )
        headers: dict[str, str] = {}
        name, secret = self._entry.client_id, self._entry.client_secret or ""
        if metadata.auth_method == "client_secret_basic":  # RFC 6749 section 2.3.1: encoded twice
            name, secret = quote_plus(name), quote_plus(secret)
        client = ClientAuth(name, secret, metadata.auth_method)
        url, headers, form = client.prepare("POST", metadata.token_url, headers, form)
        tokens = await fetch_json(url, form, headers)
        if "error" in tokens:
            text = "The login service refused this login."
            raise LoginError("code_refused", text, str(tokens["error"]))
        return tokens

    async def _checked(
        self, keys: Keys, token: object, nonce: str, access_token: str
    ) -> dict[str, Any]:
        """Return the claims of a token that the provider has signed for this login.

        Raises:
            LoginError: it is not such a token.
            Unavailable: the keys of the provider cannot be fetched.
        """
        if not isinstance(token, str):
            raise LoginError("no_id_token")
        try:
            key = await keys.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise LoginError("unknown_key")
            found = jwt.decode_complete(
                token, key.material, algorithms=key.algorithms, options=_SIGNATURE_ONLY
            )
        except (jwt.PyJWTError, TypeError, ValueError, RecursionError):
            raise LoginError("bad_signature") from None
        issuer, audience = self._entry.issuer, self._entry.client_id
        options = {"iss": {"essential": True, "value": issuer}, "aud": {"value": audience}}
        parameters = {"nonce": nonce, "client_id": audience, "access_token": access_token}
        try:
            claims = CodeIDToken(found["payload"], found["header"], options, parameters)
            claims.validate(leeway=LEEWAY)
        except ExpiredTokenError:
            raise LoginError("expired_token") from None
        except (InvalidClaimError, MissingClaimError) as error:
            raise LoginError(_reason(error), detail=error.claim) from None
        except (JoseError, TypeError, ValueError, AttributeError):
            raise LoginError("bad_token") from None
        return dict(claims)


_SIGNATURE_ONLY: Final[Options] = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""The claims are checked by Authlib, which knows those of OpenID Connect."""


def _reason(error: InvalidClaimError | MissingClaimError) -> str:
    """Return a word for the claim that is wrong or missing."""
    words = {"iss": "wrong_issuer", "aud": "wrong_audience", "azp": "wrong_audience"}
    words |= {"nonce": "wrong_nonce", "at_hash": "wrong_at_hash"}
    return words.get(error.claim, "bad_token")


async def _with_user_info(url: str, access_token: str, claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims with those of the user endpoint.

    Raises:
        LoginError: it names another person (OpenID Connect Core 1.0, section 5.3.2).
        FetchError: it does not answer.
    """
    found = await fetch_json(url, headers={"Authorization": f"Bearer {access_token}"})
    if claims and found.get("sub") != claims["sub"]:
        raise LoginError("wrong_user_info")
    about_user = {name: value for name, value in found.items() if name not in _OF_TOKEN}
    return merged(claims, about_user)
