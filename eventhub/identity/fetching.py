"""Fetching: requests to login services, with a deadline and a limit of bytes.

Redirects are not followed, so that a request goes where the operator or the service has said, and
answers are not decompressed, so that no small answer becomes a large one.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import aiohttp

DEADLINE_SECONDS: Final = 5.0
"""Of a whole request."""
MAX_BYTES: Final = 256 << 10
"""Of an answer; the largest ones are sets of keys with certificates."""
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "EventHub",  # some services refuse requests without one
}


class FetchError(Exception):
    """A login service could not be reached, or its answer is not usable."""


async def fetch(
    url: str, form: str | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return the body of the answer to a GET, or to the POST of a form.

    A form may be refused with a status from 400 to 499: the body says why.

    Args:
        url: an address that the operator or the login service names.
        form: a form as it is sent; None for a GET.
        headers: further headers.

    Raises:
        FetchError: there was no answer within the deadline and the limit, or one of another status.
    """
    sent = {**_HEADERS, **(headers or {})}
    if form is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            aiohttp.ClientSession(auto_decompress=False) as client,
            client.request(
                "GET" if form is None else "POST",
                url,
                data=form,
                headers=sent,
                allow_redirects=False,
            ) as response,
        ):
            status, body = response.status, bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    break
    except TimeoutError:
        raise FetchError(f"no answer within {DEADLINE_SECONDS:g} s") from None
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise FetchError(str(error) or type(error).__name__) from None
    if len(body) > MAX_BYTES:
        raise FetchError(f"the answer is larger than {MAX_BYTES} bytes")
    if status != 200 and (form is None or not 400 <= status < 500):
        raise FetchError(f"the answer has the status {status}")
    return bytes(body)
