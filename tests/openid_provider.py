"""OpenID provider: a login service of the tests' own, as a process, which can answer wrongly.

    with running_provider() as provider:
        provider.do(wrong="nonce")    # the next token has another nonce

The flow itself is Authlib's: codes, PKCE, the authentication of clients, tokens.
"""

import asyncio
import base64
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from aiohttp import web
from authlib.common.security import generate_token
from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Error
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey
from yarl import URL

CLIENT, SECRET = "hub", "0123456789-of-the-hub"
PEOPLE: dict[str, dict[str, Any]] = {
    "ann": {
        "sub": "u-1",
        "email": "ann@example.org",
        "email_verified": True,
        "name": "Ann <b>",
        "realm_access": {"roles": ["admin", "writer"]},
    },
    "kim": {"sub": "u-4", "email": "kim@example.org", "email_verified": True},
    "bob": {"sub": "u-2", "email": "bob@example.org", "email_verified": False},
    "eve": {"sub": "u-3", "email": "eve@example.org", "email_verified": "true", "name": "e" * 5000},
}
USERS = {"ann": {"id": 7, "login": "ann", "email": "ann@example.org"}}
"""What `/user` answers, as services do that have no OpenID Connect."""
DEADLINE_SECONDS = 20.0


class Client(ClientMixin):
    """The hub, as it is registered."""

    def get_client_id(self) -> str:
        return CLIENT

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return _is_hub(redirect_uri, "/sso", "/plain")

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method.startswith("client_secret")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


def _is_hub(uri: str, *paths: str) -> bool:
    url = URL(uri)
    return url.host == "127.0.0.1" and url.path in paths


class Code(dict[str, Any]):
    """A code, and what it was given for."""

    def get_redirect_uri(self) -> str:
        return str(self["redirect_uri"])

    def get_scope(self) -> str:
        return self["scope"] or ""

    def get_nonce(self) -> Any:
        return self["nonce"]

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class CodeGrant(AuthorizationCodeGrant):
    """Codes that are kept in memory, and used once."""

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        self.server.codes[code] = Code(
            redirect_uri=request.payload.redirect_uri,
            scope=request.payload.scope,
            nonce=data.get("nonce"),
            challenge=data.get("code_challenge"),
            method=data.get("code_challenge_method"),
            user=request.user,
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        found: Code | None = self.server.codes.get(code)
        return found

    def delete_authorization_code(self, authorization_code: Code) -> None:
        codes = self.server.codes
        for code in [key for key, value in codes.items() if value is authorization_code]:
            del codes[code]

    def authenticate_user(self, authorization_code: Code) -> str:
        return str(authorization_code["user"])


class Challenge(CodeChallenge):
    """PKCE: a code is only for the client that asked for it."""

    def get_authorization_code_challenge(self, authorization_code: Code) -> Any:
        return authorization_code["challenge"]

    def get_authorization_code_challenge_method(self, authorization_code: Code) -> Any:
        return authorization_code["method"]


class IdTokens(OpenIDCode):
    """Tokens about people, and wrong ones on request."""

    def __init__(self, server: "Server") -> None:
        super().__init__(require_nonce=True)
        self.server = server

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False

    def resolve_client_private_key(self, client: Client) -> RSAKey:
        return self.server.key

    def get_client_algorithm(self, client: Client) -> str:
        return "RS256"

    def get_encode_header(self, client: Client) -> dict[str, str]:
        return {"alg": "RS256", "kid": self.server.kid}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        return {"iss": self.server.issuer, "aud": [CLIENT]}

    def generate_user_info(self, user: str, scope: str) -> dict[str, Any]:
        return PEOPLE[user]

    def encode_id_token(self, token: dict[str, Any], request: Any) -> str:
        right: str = super().encode_id_token(token, request)
        wrong = self.server.take("wrong")
        if wrong is None:
            return right
        claims = json.loads(_decoded(right.split(".")[1]))
        header = {"alg": "RS256", "kid": self.server.kid}
        claims |= {
            "audience": {"aud": ["other"]},
            "other_audience": {"aud": ["other"], "azp": CLIENT},
            "azp": {"aud": [CLIENT, "other"], "azp": "other"},
            "issuer": {"iss": "https://evil.example"},
            "nonce": {"nonce": "other"},
            "expired": {"exp": int(time.time()) - 120},
            "future": {"iat": int(time.time()) + 600},
            "at_hash": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
            "subject": {"sub": ["u-1"]},
            "date": {"exp": "never"},
        }.get(wrong, {})
        if wrong == "alg_none":
            return f"{_encoded({'alg': 'none'})}.{_encoded(claims)}."
        if wrong == "hs256":
            text = f"{_encoded(header | {'alg': 'HS256'})}.{_encoded(claims)}"
            digest = hmac.digest(self.server.key.as_pem(private=False), text.encode(), "sha256")
            return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
        if wrong == "kid":
            header["kid"] = "unknown"
        key = RSAKey.generate_key(2048) if wrong == "key" else self.server.key
        signed: str = jwt.encode(header, claims, key)
        return signed[:-8] + "AAAAAAAA" if wrong == "signature" else signed


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Server(AuthorizationServer):
    """Authlib's server, as far as it depends on who calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.issuer = ""
        self.codes: dict[str, Code] = {}
        self.tokens: dict[str, str] = {}
        self.asked: dict[str, Any] = {}
        self.log: list[str] = []
        self.rotate()
        self.register_token_generator("default", self._token)
        self.register_grant(CodeGrant, [IdTokens(self), Challenge(required=True)])

    def rotate(self) -> None:
        """Sign with a new key, and forget the old one."""
        self.kid = generate_token(8)
        self.key = RSAKey.generate_key(2048, {"kid": self.kid, "use": "sig"})

    def take(self, what: str) -> Any:
        """Return what was asked for the next time, once."""
        return self.asked.pop(what, None)

    def _token(self, scope: str | None = None, **_: Any) -> dict[str, Any]:
        token = {"token_type": "Bearer", "access_token": generate_token(32), "scope": scope or ""}
        return token | {"expires_in": 600}

    def query_client(self, client_id: str) -> Client | None:
        return Client() if client_id == CLIENT else None

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        self.tokens[token["access_token"]] = request.user

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        return None

    def create_oauth2_request(self, request: Any) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=dict(headers))


class Asked(OAuth2Request):
    """A request, as Authlib reads it."""

    def __init__(self, request: web.Request, form: dict[str, str]) -> None:
        super().__init__(request.method, str(request.url), headers=request.headers)
        self._query = dict(request.query)
        self._fields = form
        self.payload = BasicOAuth2Payload({**self._query, **form})

    @property
    def args(self) -> dict[str, str]:
        return self._query

    @property
    def form(self) -> dict[str, str]:
        return self._fields


class Pages:
    """The addresses of the provider."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/.well-known/openid-configuration", self.describe)
        app.router.add_get("/keys", self.keys)
        app.router.add_get("/authorize", self.authorize)
        app.router.add_post("/authorize", self.authorize)
        app.router.add_post("/token", self.token)
        app.router.add_get("/userinfo", self.user_info)
        app.router.add_get("/user", self.user)
        app.router.add_get("/end", self.end)
        app.router.add_post("/control", self.control)

    async def describe(self, request: web.Request) -> web.Response:
        issuer = self.server.issuer
        found = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "end_session_endpoint": f"{issuer}/end",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "authorization_response_iss_parameter_supported": True,
        }
        return web.json_response(found)

    async def keys(self, request: web.Request) -> web.Response:
        self.server.log.append("keys")
        return web.json_response(KeySet([self.server.key]).as_dict(private=False))

    async def authorize(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        user = request.cookies.get("person") or form.pop("person", None)
        if user is None:
            return web.Response(
                text='<!doctype html><h1>Provider</h1><form method="post"><label>Name'
                ' <input name="person"></label><button>Go on</button></form>',
                content_type="text/html",
            )
        asked = Asked(request, {})
        if asked.args.get("code_challenge_method") != "S256":
            return web.Response(status=400, text="no PKCE")
        granted = None if self.server.take("deny") else user
        try:
            grant = self.server.get_authorization_grant(asked)
        except OAuth2Error as error:
            return web.Response(status=400, text=str(error))
        answer: web.Response = self.server.create_authorization_response(asked, granted, grant)
        if answer.status == 302:
            place = URL(answer.headers["Location"])
            iss = self.server.take("iss") or self.server.issuer
            answer.headers["Location"] = str(place.update_query(iss=iss) if iss != "-" else place)
            answer.set_cookie("person", user, httponly=True)
        return answer

    async def token(self, request: web.Request) -> web.StreamResponse:
        match self.server.take("token"):
            case "redirect":
                raise web.HTTPTemporaryRedirect(f"{self.server.issuer}/elsewhere")
            case "flood":
                return web.Response(body=b" " * (1 << 20))
            case "nonsense":
                return web.Response(text="<html>")
            case "broken":
                return web.Response(status=500)
            case _:
                pass
        form = {name: str(value) for name, value in (await request.post()).items()}
        answer: web.Response = self.server.create_token_response(Asked(request, form))
        return answer

    async def user_info(self, request: web.Request) -> web.Response:
        self.server.log.append("userinfo")
        user = self._user(request)
        other = {"sub": "u-9"} if self.server.take("other_user") else {}
        return web.json_response({**PEOPLE[user], "groups": ["staff"], **other})

    async def user(self, request: web.Request) -> web.Response:
        return web.json_response(USERS[self._user(request)])

    def _user(self, request: web.Request) -> str:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.server.tokens:
            raise web.HTTPUnauthorized
        return self.server.tokens[token]

    async def end(self, request: web.Request) -> web.Response:
        back = request.query["post_logout_redirect_uri"]
        hint = request.query.get("id_token_hint")
        self.server.log.append("end with a hint" if hint else "end")
        try:
            is_known = hint is None or jwt.decode(hint, self.server.key).claims["aud"] == [CLIENT]
        except JoseError:
            is_known = False
        if not is_known or request.query["client_id"] != CLIENT or not _is_hub(back, "/bye", "/"):
            return web.Response(status=400, text="no such client")
        answer = web.Response(status=303, headers={"Location": back})
        answer.del_cookie("person")
        return answer

    async def control(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if asked.pop("rotate", False):
            self.server.rotate()
        self.server.asked |= asked
        log, self.server.log = self.server.log, []
        return web.json_response(log)


async def _serve(port: int, host: str) -> None:
    server = Server()
    app = web.Application()
    Pages(server).add_to(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    server.issuer = f"http://{host}:{runner.addresses[0][1]}"
    sys.stdout.write(f"{server.issuer}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


class Provider:
    """A running provider."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    def do(self, **asked: object) -> list[str]:
        """Ask for something wrong, once; or `rotate=True`. Return what was used since then."""
        request = Request(f"{self.issuer}/control", json.dumps(asked).encode())
        with urlopen(request, timeout=DEADLINE_SECONDS) as answer:
            log: list[str] = json.load(answer)
            return log


@contextmanager
def running_provider(port: int = 0, host: str = "127.0.0.1") -> Iterator[Provider]:
    """Run a provider for the length of a block.

    Args:
        port: 0 for a free one.
        host: its name; `localhost` is another site than 127.0.0.1 for a browser.
    """
    command = [sys.executable, "-m", "tests.openid_provider", str(port), host]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"},
    )
    try:
        assert process.stdout
        issuer = process.stdout.readline().decode().strip()
        assert issuer, "the provider has not started"
        yield Provider(issuer)
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
