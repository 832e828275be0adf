"""MIME: the parts of a mail as lines of ASCII; written, never parsed (RFC 2045, 2046, 2183)."""

import binascii
import re
from base64 import encodebytes
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex

from eventhub.alerts.headers import parameter_header

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}", re.IGNORECASE)
_OPAQUE = "application/octet-stream"
_MAX_LINE = 998
"""Octets of a line without its end (RFC 5322 section 2.1.1)."""
_SEVEN_BIT = re.compile(rb"(?:[\t -~]{0,%d}\r\n)*" % _MAX_LINE)


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its headers, each with its line break, and its content."""

    headers: str
    content: bytes

    def __bytes__(self) -> bytes:
        return self.headers.encode() + b"\r\n" + self.content


def text_part(text: str, subtype: str) -> Part:
    """Return a text. Its line breaks become CRLF; NUL is left out, as RFC 5321 forbids it."""
    lines = re.split("\r\n|\r|\n", text.replace("\0", ""))
    if lines[-1]:
        lines.append("")
    data = "\r\n".join(lines).encode("utf-8", "replace")
    encoding, content = _encode_text(data)
    content_type = parameter_header("Content-Type", f"text/{subtype}", charset="utf-8")
    return Part(f"{content_type}Content-Transfer-Encoding: {encoding}\r\n", content)


def _encode_text(data: bytes) -> tuple[str, bytes]:
    """Return the encoding that leaves a text readable, or the shortest one, and the result."""
    if _SEVEN_BIT.fullmatch(data):
        return "7bit", data
    # Each line is encoded as binary data, so that everything but CRLF, even a bare CR, is encoded.
    quoted = b"\r\n".join(
        binascii.b2a_qp(line, istext=False).replace(b"=\n", b"=\r\n")
        for line in data.split(b"\r\n")
    )
    packed = _base64(data)
    return ("quoted-printable", quoted) if len(quoted) <= len(packed) else ("base64", packed)


def _base64(data: bytes) -> bytes:
    return encodebytes(data).replace(b"\n", b"\r\n")


def file_part(media_type: str, data: bytes, *, name: str = "", content_id: str = "") -> Part:
    """Return a file: an attachment with a name, or an image of the HTML with a content id.

    A media type that has parts of its own must not be base64 (RFC 2046 section 5): such a file is
    sent as bytes of an unknown type.
    """
    is_known = _MEDIA_TYPE.fullmatch(media_type)
    if not is_known or media_type.lower().startswith(("multipart/", "message/")):
        media_type = _OPAQUE
    headers = f"Content-Type: {media_type}\r\nContent-Transfer-Encoding: base64\r\n"
    if content_id:
        headers += f"Content-ID: <{content_id}>\r\nContent-Disposition: inline\r\n"
    else:
        headers += parameter_header("Content-Disposition", "attachment", filename=name)
    return Part(headers, _base64(data))


def multipart(subtype: str, parts: Sequence[Part]) -> Part:
    """Return parts as one part; a single part is returned unchanged.

    The boundary is random, so that no text can contain it on purpose.
    """
    if len(parts) == 1:
        return parts[0]
    boundary = f"=_{token_hex(16)}"
    between = f"\r\n--{boundary}\r\n".encode()
    content = between[2:] + between.join(map(bytes, parts)) + f"\r\n--{boundary}--\r\n".encode()
    return Part(f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n', content)
