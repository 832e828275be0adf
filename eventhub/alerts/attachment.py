"""Attachment: a file or the answer of a URL that goes with a mail. Blocking: call in a thread."""

import mimetypes
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from eventhub.alerts.template import Template
from eventhub.errors import Rejected, Unavailable

MAX_BYTES = 25 << 20
"""Of all attachments of one mail: what the large mail providers accept."""
DOWNLOAD_SECONDS = 20.0
"""For one URL, from the connection to the last byte: as long as an SMTP dialogue may take."""

_URL = re.compile(r"https?://", re.IGNORECASE)
_FIXED_HOST = re.compile(r"https?://[^/?#]+[/?#]", re.IGNORECASE)
_UNKNOWN_TYPE = "application/octet-stream"
_TRY_LATER = frozenset((408, 425, 429))


@dataclass(frozen=True, slots=True)
class Attachment:
    """Bytes with a name and a media type."""

    name: str
    media_type: str
    data: bytes


def load(template: Template, values: Mapping[str, Any], folder: Path) -> Attachment:
    """Return the file or the download that a template names.

    Raises:
        Rejected: there is no such thing, or a message may not name it.
        Unavailable: the URL may answer later.
    """
    source = template.render(values).strip()
    if _URL.match(source):
        return _downloaded(_checked_url(template, source))
    path = located(template, source, folder)
    return Attachment(path.name, mimetypes.guess_type(path.name)[0] or _UNKNOWN_TYPE, read(path))


def located(template: Template, source: str, folder: Path) -> Path:
    """Return the path that a template named; a relative one starts at the YAML file's folder.

    What stands before the template's first tag fixes a folder, and no message leads out of it.

    Raises:
        Rejected: the path leads out of the folder.
    """
    if "\0" in source:
        raise Rejected("not_found", f"{source!r} is no path")
    path = (folder / source).resolve()
    fixed = (folder / "".join(template.literal.strip().rpartition("/")[:2])).resolve()
    if not template.is_constant and not path.is_relative_to(fixed):
        raise Rejected("refused", f"{source!r} leads out of the folder {fixed}")
    return path


def read(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        Rejected: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise Rejected("not_found", f"cannot read {path}: {error}") from error
    _check_size(len(data), str(path))
    return data


def _check_size(size: int, source: str) -> None:
    if size > MAX_BYTES:
        raise Rejected("too_large", f"{source} is larger than {MAX_BYTES >> 20} MiB")


def _checked_url(template: Template, url: str) -> str:
    """Refuse a URL whose host comes from a message: it could be one that only we can reach."""
    if not template.is_constant and not _FIXED_HOST.match(template.literal):
        raise Rejected("refused", f"{url!r}: the host must not come from the message")
    return url


def _downloaded(url: str) -> Attachment:
    request = urllib.request.Request(url, headers={"User-Agent": "EventHub"})  # noqa: S310 - http(s)
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    try:
        # S310: the address was seen to begin with http(s), and urllib redirects to these only.
        with urllib.request.urlopen(request, timeout=DOWNLOAD_SECONDS) as answer:  # noqa: S310
            if answer.status != HTTPStatus.OK:
                raise Rejected("not_found", f"{url} answered {answer.status}")
            data = _body(answer, url, deadline)
            return Attachment(
                _name_of(url, answer.headers), answer.headers.get_content_type(), data
            )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code in _TRY_LATER:
            raise Unavailable(f"{url} answered {error.code}") from error
        raise Rejected("not_found", f"{url} answered {error.code}") from error
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{url}: {error}") from error


def _body(answer: HTTPResponse, url: str, deadline: float) -> bytes:
    """Read block by block: the timeout of a socket bounds one wait, not all of them."""
    data = bytearray()
    while block := answer.read1(1 << 16):
        data += block
        _check_size(len(data), url)
        if time.monotonic() > deadline:
            raise Unavailable(f"{url} took longer than {DOWNLOAD_SECONDS:g} s")
    return bytes(data)


def _name_of(url: str, headers: Message) -> str:
    name = headers.get_filename() or unquote(urlsplit(url).path).rpartition("/")[2]
    return name or "attachment" + (mimetypes.guess_extension(headers.get_content_type()) or "")
