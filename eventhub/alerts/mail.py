"""Mail: one rendered mail. No message can put a line break or `Bcc` into its headers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime

from eventhub.alerts.addresses import NO_ADDRESSES, Address, Addresses
from eventhub.alerts.attachment import Attachment
from eventhub.alerts.headers import address_header, one_line, text_header
from eventhub.alerts.mime import Part, file_part, multipart, text_part
from eventhub.alerts.sources import MAX_BYTES
from eventhub.errors import Rejected

CONTENT_ID = "letters, digits and !#$%&'*+/=^_`{|}~.@-"
"""The characters of an image's name, for errors."""
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=^_`{|}~.@-]{1,200}")


def is_content_id(text: str) -> bool:
    """Tell whether a text can name an image of a mail."""
    return bool(_CONTENT_ID.fullmatch(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The content of a mail, and its recipients."""

    message_id: str
    """With its angle brackets; the same in every attempt at one alert."""
    date: datetime
    sender: Address
    to: Addresses = NO_ADDRESSES
    cc: Addresses = NO_ADDRESSES
    bcc: Addresses = NO_ADDRESSES
    reply_to: Addresses = NO_ADDRESSES
    on_behalf_of: str = ""
    subject: str = ""
    text: str | None = None
    html: str | None = None
    images: Mapping[str, Attachment] = field(default_factory=dict)
    """By content id: `<img src="cid:...">` in the HTML shows it."""
    attachments: tuple[Attachment, ...] = ()

    @property
    def addressees(self) -> tuple[Address, ...]:
        """All recipients, each once."""
        found: dict[str, Address] = {}
        for address in (*self.to.found, *self.cc.found, *self.bcc.found):
            found.setdefault(address.addr_spec.lower(), address)
        return tuple(found.values())

    @property
    def recipients(self) -> tuple[str, ...]:
        """The addresses of all recipients, each once."""
        return tuple(address.addr_spec for address in self.addressees)

    @property
    def malformed(self) -> tuple[str, ...]:
        """The recipients that are not addresses."""
        return (*self.to.malformed, *self.cc.malformed, *self.bcc.malformed)

    def as_bytes(self, *, utf8: bool = False) -> bytes:
        """Return the mail as it is sent, with CRLF; `Bcc` is only in the envelope.

        Args:
            utf8: whether headers may contain addresses outside ASCII, as SMTPUTF8 allows;
                otherwise these are left out.

        Raises:
            Rejected: the files together are too large, or an image is not one.
        """
        content = bytes(self._content())
        return "".join(self._headers(utf8=utf8)).encode() + content

    def _headers(self, *, utf8: bool) -> list[str]:
        headers = [
            f"Message-ID: {self.message_id}\r\n",
            f"Date: {format_datetime(self.date)}\r\n",
            address_header("From", [self.sender]),
        ]
        for name, listed in (("To", self.to), ("Cc", self.cc), ("Reply-To", self.reply_to)):
            written = [each for each in listed.found if utf8 or each.addr_spec.isascii()]
            if written:
                headers.append(address_header(name, written))
        if behalf := one_line(self.on_behalf_of):
            headers.append(text_header("On-Behalf-Of", behalf))
        headers.append(text_header("Subject", self.subject))
        # RFC 3834: vacation notices and other programs do not answer such a mail.
        headers.append("Auto-Submitted: auto-generated\r\n")
        headers.append("MIME-Version: 1.0\r\n")
        return headers

    def _content(self) -> Part:
        if sum(len(file.data) for file in (*self.images.values(), *self.attachments)) > MAX_BYTES:
            raise Rejected(
                "too_large",
                f"images and attachments together are larger than {MAX_BYTES >> 20} MiB",
            )
        files = [file_part(f.media_type, f.data, name=f.name) for f in self.attachments]
        return multipart("mixed", [self._body(), *files])

    def _body(self) -> Part:
        if self.html is None:
            return text_part(self.text or "", "plain")
        images = [_image(cid, file) for cid, file in self.images.items()]
        html = multipart("related", [text_part(self.html, "html"), *images])
        if self.text is None:
            return html
        return multipart("alternative", [text_part(self.text, "plain"), html])


def _image(cid: str, file: Attachment) -> Part:
    if not file.media_type.startswith("image/"):
        raise Rejected("refused", f"image {cid}: {file.name} is {file.media_type}, not an image")
    return file_part(file.media_type, file.data, content_id=cid)
