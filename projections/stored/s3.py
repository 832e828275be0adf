"""S3: objects in a bucket of S3, or of another store that speaks its protocol.

One PUT stores an object as a whole, so it is never there in part. No name is used twice, so a PUT
whose answer was lost may be repeated, and none needs the condition that its name is free (ADR-100).

The bindings of `object_store` are an extra of the package: this module is imported only if a
configuration names such a store.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from eventhub.errors import Misconfigured, Unavailable
from eventhub.objects import Listed

if TYPE_CHECKING:
    from obstore.store import (
        ClientConfig,
        RetryConfig,
        S3Config,
        S3Credential,
        S3CredentialProvider,
    )

CONNECT_SECONDS: Final = 5
REQUEST_SECONDS: Final = 30
"""Of one request with its answer: a part of 4 MiB has to pass in this time."""
RETRIES: Final = 3
"""After errors of the server and lost connections; each waits longer than the one before."""
OPERATION_SECONDS: Final = 60
"""After this an operation is given up, with all of its retries."""
LIST_SECONDS: Final = 10
"""The same for listing, for which a start waits; its answer is small."""

_OF_MACHINE: Final = re.compile(r" http://[^/ ]+/latest/(?:api|meta-data)/")
"""In the URLs at which a machine in the cloud of AWS has its keys; no other machine has them."""
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_STATUS: Final = re.compile(r"status code: (\d{3}[\w ]*)")
_CERTIFICATE: Final = re.compile(r"InvalidCertificate\(\s*(\w+)")
_CAUSE: Final = re.compile(r'(?:error|message): "([^"]+)"')
_HINTS: Final = {
    "NoSuchBucket": "make the bucket first",
    "AuthorizationHeaderMalformed": "is the region right?",
    "403": "check the keys and what they may do",
    "401": "check the keys and what they may do",
}


class S3Objects:
    """Objects below a prefix of a bucket."""

    def __init__(
        self,
        url: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        keys: tuple[str, str] | None = None,
        ca_file: str | None = None,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: `s3://BUCKET/PREFIX`.
            endpoint: URL of the store; None for AWS.
            region: None for that of the environment, or else `us-east-1`.
            keys: id and secret; None for those that programs of AWS find, as in the environment.
            ca_file: PEM file of those that sign the store's certificate, besides the usual ones.

        Raises:
            Misconfigured: the file cannot be read, or has no certificate in it.
        """
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._name = url if endpoint is None else f"{url} at {endpoint}"
        client: ClientConfig = {
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=REQUEST_SECONDS),
        }
        retry: RetryConfig = {
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=REQUEST_SECONDS),
        }
        config: S3Config = {"disable_bulk_delete": True}  # not all stores have it
        if endpoint is not None:
            config["endpoint"] = endpoint
        if region is not None:
            config["region"] = region
        try:
            if ca_file is not None:
                client["root_certificate"] = Path(ca_file).read_bytes()
            self._store = S3Store(
                bucket,
                config=config,
                prefix=prefix.strip("/") or None,
                client_options=client,
                retry_config=retry,
                # Given as `config`, keys would be sent with a session token of the environment.
                credential_provider=None if keys is None else _provider(*keys),
            )
        except (BaseError, OSError, ValueError) as error:
            key = "endpoint" if ca_file is None else "ca_file"
            reason = getattr(error, "strerror", None) or _reason(error)
            raise Misconfigured(f"projection: snapshots: {key}: {reason}") from error

    async def listed(self) -> Listed:
        """Return the names of all objects; none is ever unfinished."""
        async with self._asking("listed", seconds=LIST_SECONDS):
            found = await obstore.list_with_delimiter_async(self._store)
        return Listed(sorted(each["path"] for each in found["objects"]), [])

    async def put(self, name: str, data: bytes) -> None:
        """Store an object durably."""
        async with self._asking("written"):
            await obstore.put_async(self._store, name, data, use_multipart=False)

    async def get(self, name: str) -> bytes | None:
        """Return an object, or None."""
        with suppress(FileNotFoundError):
            async with self._asking("read", may_be_missing=True):
                answer = await obstore.get_async(self._store, name)
                return (await answer.bytes_async()).to_bytes()
        return None

    async def delete(self, name: str) -> None:
        """Delete an object."""
        with suppress(FileNotFoundError):  # as some stores answer, and others do not
            async with self._asking("changed", may_be_missing=True):
                await obstore.delete_async(self._store, name)

    @asynccontextmanager
    async def _asking(
        self, what: str, *, seconds: float | None = None, may_be_missing: bool = False
    ) -> AsyncIterator[None]:
        """Bound the time of a request, and say which store failed and why."""
        try:
            async with asyncio.timeout(seconds or OPERATION_SECONDS):
                yield
        except (BaseError, OSError) as error:
            is_missing = isinstance(error, FileNotFoundError) and _code(error) != "NoSuchBucket"
            if is_missing and may_be_missing:
                raise
            text = f"{self._name} cannot be {what}: {_reason(error)}"
            raise Unavailable(text) from error


def _provider(key_id: str, secret: str) -> "S3CredentialProvider":
    def keys() -> "S3Credential":
        return {
            "access_key_id": key_id,
            "secret_access_key": secret,
            "token": None,
            "expires_at": None,
        }

    return keys


def _code(error: Exception) -> str:
    """Return what the store calls an error; empty if it does not say."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _reason(error: Exception) -> str:
    """Return what failed in a line: the library's messages have the whole chain of its errors."""
    text = str(error)
    if _OF_MACHINE.search(text):
        return "there are no keys: give access_key_id and secret_access_key"
    if isinstance(error, TimeoutError) or "kind: Timeout" in text:
        return "no answer in time"
    if found := _CERTIFICATE.search(text):
        return f"its certificate is not valid here ({found[1]}); does ca_file name its authority?"
    if "kind: Connect" in text:
        cause = (_CAUSE.findall(text) or ["no connection"])[-1]
        return f"{cause}; check the endpoint and the network"
    status, code = _STATUS.search(text), _code(error)
    if status is None:
        return text.partition("\n")[0]
    said = ", ".join(filter(None, (status[1].strip(), code)))
    hint = _HINTS.get(code) or _HINTS.get(status[1][:3])
    return f"{said}; {hint}" if hint else said
