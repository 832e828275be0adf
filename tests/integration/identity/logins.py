"""Logins that the tests make: cookies of this hub, tokens of an issuer, headers of a proxy."""

import base64
import json
import time
from typing import Any

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import rsa

from eventhub.config import Auth, Proxy, Session
from eventhub.identity.cookie_secret import cookie_key

SECRET = "0123456789abcdef0123456789abcdef"  # 32 bytes
OURS = Auth(session=Session(secret="correct horse battery staple", cookie="eventhub", max_age=3600))
RSA = rsa.generate_private_key(65537, 2048)


def sealed(content: object, secret: str, *, age: int = 0) -> str:
    """A cookie as a program that knows the secret makes it."""
    key = base64.urlsafe_b64encode(cookie_key(secret))
    text = json.dumps(content).encode()
    return Fernet(key).encrypt_at_time(text, int(time.time()) - age).decode()


def login(age: int = 0) -> dict[str, Any]:
    user = {"id": "ann", "role": "admin"}
    return {"created": int(time.time()) - age, "session": {"id": "s1", "user": user}}


def claims(**changed: Any) -> dict[str, Any]:
    usual = {"sub": "ann", "aud": "hub", "iss": "https://login.example", "role": "admin"}
    all_claims = usual | {"exp": int(time.time()) + 36_000} | changed
    return {name: value for name, value in all_claims.items() if value is not None}


def behind(*trusted: str) -> Auth:
    return Auth(proxy=Proxy(header="X-Forwarded-User", trusted=list(trusted)))
