"""Tokens of a login service, for hubs whose `auth: jwt:` has its secret."""

import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt

from eventhub.config import Auth, Jwt

SECRET = "0123456789abcdef0123456789abcdef"
AUTH = Auth(jwt=Jwt(secret=SECRET))


def token_of(user: str = "ann", seconds: float = 36_000, **claims: Any) -> str:
    """Return the token of a user, which ends in some seconds."""
    claims = {"sub": user, "exp": int(time.time() + seconds), **claims}
    return jwt.encode(claims, SECRET, "HS256")


def encoded(token: str) -> str:
    """Return the subprotocol of a token, as a browser makes it."""
    return "base64url.bearer.eventhub." + urlsafe_b64encode(token.encode()).decode().rstrip("=")


def subprotocols(token: str) -> bytes:
    """Return the header of a v1 client with a token."""
    return f"Sec-WebSocket-Protocol: eventhub.v1.json, {encoded(token)}\r\n".encode()
