"""Attachment: a file, or the answer of a URL, for a mail. Blocking: call in a thread."""

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import unquote, urlsplit

from eventhub.alerts.download import download
from eventhub.alerts.sources import NO_FOLDER, Sources, read
from eventhub.alerts.template import Template
from eventhub.errors import Misconfigured, Rejected

_URL = re.compile(r"https?://", re.IGNORECASE)
_FIXED_HOST = re.compile(r"https?://[^/?#\\]+[/?#]", re.IGNORECASE)
_UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Attachment:
    """Bytes with a name and a media type."""

    name: str
    media_type: str
    data: bytes


def check_source(where: str, template: Template, sources: Sources) -> None:
    """Check at the start that a template can name only files and URLs that it may name.

    Raises:
        Misconfigured: it names a file of the hub, or a message could choose any file or host.
    """
    if not template.is_constant:
        if sources.templates_from is None and not _URL.match(template.literal.strip()):
            raise Misconfigured(f"{where}: {NO_FOLDER}, or begin the URL with https://HOST/")
    elif not _URL.match(source := template.literal.strip()):
        try:
            sources.locate(template, source)
        except Rejected as error:
            raise Misconfigured(f"{where}: {error.message}") from error


def load(template: Template, values: Mapping[str, Any], sources: Sources) -> Attachment:
    """Return the file or the download that a template names.

    Raises:
        Rejected: there is no such file or page, or a message may not name it.
        Unavailable: the URL may answer later.
    """
    source = template.render(values).strip()
    if _URL.match(source):
        answer = download(_check_url(template, source))
        name = _name_of(answer.url, answer.headers)
        return Attachment(name, answer.headers.get_content_type(), answer.data)
    path = sources.locate(template, source)
    return Attachment(path.name, mimetypes.guess_type(path.name)[0] or _UNKNOWN_TYPE, read(path))


def _check_url(template: Template, url: str) -> str:
    """Return a URL, unless a message has chosen its host or moved up in its path.

    The hub may be able to reach hosts that the message's author cannot.
    """
    if template.is_constant:
        return url
    if not _FIXED_HOST.match(template.literal.strip()):
        raise Rejected("refused", f"{url!r}: the host must not come from the message")
    path = unquote(unquote(url.partition("?")[0].partition("#")[0])).replace("\\", "/")
    if not {".", ".."}.isdisjoint(path.split("/")):
        raise Rejected("refused", f"{url!r}: a message may not move up in the path")
    return url


def _name_of(url: str, headers: Message) -> str:
    """Return the file name from the server or the URL, without folders."""
    name = headers.get_filename() or unquote(urlsplit(url).path)
    name = re.split(r"[/\\]", name)[-1]
    return name or "attachment" + (mimetypes.guess_extension(headers.get_content_type()) or "")
