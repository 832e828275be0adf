"""Mail: one alert, rendered. No message can put a line break, or `Bcc`, into its headers."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import getaddresses
from typing import NamedTuple

from eventhub.alerts.attachment import MAX_BYTES, Attachment
from eventhub.errors import Rejected

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NO_ADDRESS = re.compile(r'[\s<>()\[\],;:\\"]')


def one_line(text: str) -> str:
    """Return text as a header may hold it: line breaks folded into spaces, no controls."""
    return _CONTROL.sub("", " ".join(text.split()))


class Addresses(NamedTuple):
    """What a comma-separated list held."""

    found: tuple[Address, ...] = ()
    """Each once, in order."""
    malformed: tuple[str, ...] = ()
    """What is no address: reported, not sent to."""


NOBODY = Addresses()


def addresses(texts: Iterable[str]) -> Addresses:
    """Return the addresses of comma-separated lists.

    A domain outside ASCII becomes its IDNA form, the only one that every server takes.
    """
    found: dict[str, Address] = {}
    malformed: list[str] = []
    for line in filter(None, map(one_line, texts)):
        specs = [(name, spec) for name, spec in getaddresses([line]) if spec]
        malformed += [line] if not specs else []
        for name, spec in specs:
            address = _address(name, spec)
            if address is None:
                malformed.append(spec)
            else:
                found.setdefault(address.addr_spec.lower(), address)
    return Addresses(tuple(found.values()), tuple(malformed))


def _address(name: str, spec: str) -> Address | None:
    user, at, domain = spec.rpartition("@")
    if not (user and at and domain) or _NO_ADDRESS.search(spec) or "@" in user:
        return None
    try:
        return Address(name, user, domain.encode("idna").decode())
    except UnicodeError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What is sent, and to whom."""

    message_id: str
    """With its angle brackets; equal in every attempt at one alert."""
    date: datetime
    sender: Address
    to: Addresses = NOBODY
    cc: Addresses = NOBODY
    bcc: Addresses = NOBODY
    reply_to: Addresses = NOBODY
    on_behalf_of: str = ""
    subject: str = ""
    text: str | None = None
    html: str | None = None
    images: Mapping[str, Attachment] = field(default_factory=dict)
    """By content id: `<img src="cid:...">` in the HTML shows it."""
    attachments: tuple[Attachment, ...] = ()

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everyone who gets it, each once."""
        found: dict[str, str] = {}
        for address in (*self.to.found, *self.cc.found, *self.bcc.found):
            found.setdefault(address.addr_spec.lower(), address.addr_spec)
        return tuple(found.values())

    @property
    def malformed(self) -> tuple[str, ...]:
        """Recipients that are no addresses."""
        return (*self.to.malformed, *self.cc.malformed, *self.bcc.malformed)

    def as_message(self) -> EmailMessage:
        """Return the mail in MIME form; `Bcc` stays on the envelope.

        Raises:
            Rejected: the files are too large together, or an image is none.
        """
        message = EmailMessage(policy=SMTP)
        self._set_headers(message)
        self._set_content(message)
        for file in self.attachments:
            _attach(message, file)
        return message

    def _set_headers(self, message: EmailMessage) -> None:
        message["Message-ID"] = self.message_id
        message["Date"] = self.date
        message["From"] = self.sender
        for header, listed in (("To", self.to), ("Cc", self.cc), ("Reply-To", self.reply_to)):
            if listed.found:
                message[header] = listed.found
        if self.on_behalf_of:
            message["On-Behalf-Of"] = one_line(self.on_behalf_of)
        message["Subject"] = one_line(self.subject)
        # RFC 3834: keeps vacation notices and other machines from answering.
        message["Auto-Submitted"] = "auto-generated"

    def _set_content(self, message: EmailMessage) -> None:
        if sum(len(file.data) for file in (*self.images.values(), *self.attachments)) > MAX_BYTES:
            raise Rejected("too_large", f"attachments are larger than {MAX_BYTES >> 20} MiB")
        if self.html is None:
            message.set_content(_text(self.text or ""))
            return
        if self.text is None:
            message.set_content(_text(self.html), subtype="html")
            html: MIMEPart = message
        else:
            message.set_content(_text(self.text))
            message.add_alternative(_text(self.html), subtype="html")
            html = list(message.iter_parts())[-1]
        for cid, file in self.images.items():
            _relate(html, cid, file)


def _text(text: str) -> str:
    """Without NUL, which RFC 5321 keeps out of mail."""
    return text.replace("\0", "")


def _relate(html: MIMEPart, cid: str, file: Attachment) -> None:
    kind, _, subtype = file.media_type.partition("/")
    if kind != "image":
        raise Rejected("refused", f"image {cid}: {file.name} is {file.media_type}, not an image")
    html.add_related(file.data, kind, subtype, cid=f"<{one_line(cid)}>")


def _attach(message: EmailMessage, file: Attachment) -> None:
    kind, _, subtype = file.media_type.partition("/")
    if kind in ("multipart", "message"):  # these may not be base64, RFC 2046 section 5
        kind, subtype = "application", "octet-stream"
    message.add_attachment(file.data, kind, subtype, filename=one_line(file.name))
