"""Digest: one mail about the mails to one address that the limit of an alert held back."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import unescape

from eventhub.alerts.addresses import Address, Addresses
from eventhub.alerts.headers import one_line
from eventhub.alerts.mail import Mail

MAX_TEXTS = 100
"""Mails of a digest whose text it quotes; it lists time and subject of the others."""
_MAX_TEXT = 500
_MAX_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class DigestEntry:
    """One mail that an address has not received by itself."""

    letter: str
    """Key of its dead letter."""
    address: Address
    """The recipient who has not received it."""
    mail: Mail
    """Without its texts and files."""
    text: str
    """The beginning of its text."""

    @classmethod
    def of(cls, letter: str, address: Address, mail: Mail) -> "DigestEntry":
        """Return the entry of a mail, cut to the size that a digest shows."""
        header = Mail(
            message_id=mail.message_id,
            date=mail.date,
            sender=mail.sender,
            subject=one_line(mail.subject)[:_MAX_SUBJECT],
        )
        return cls(letter, address, header, _beginning(mail))


def _beginning(mail: Mail) -> str:
    if mail.text is not None:
        return mail.text[:_MAX_TEXT].strip()
    shown = unescape(re.sub(r"<[^<>]*>", " ", (mail.html or "")[: 8 * _MAX_TEXT]))
    return " ".join(shown.split())[:_MAX_TEXT]


def compose_digest(endpoint: str, entries: Sequence[DigestEntry], date: datetime) -> Mail:
    """Return the mail that stands for those that one address has not received.

    Args:
        endpoint: whose alert held them back.
        entries: at least one, all of one address, oldest first.
        date: of the digest.
    """
    last = entries[-1].mail
    lines = [
        f"{len(entries)} messages were not mailed one by one: they were more than max_per_hour: of"
        f" the alert of {endpoint} allows.",
    ]
    for number, entry in enumerate(entries):
        lines += ["", f"{entry.mail.date:%Y-%m-%d %H:%M:%S} UTC  {entry.mail.subject}"]
        if number < MAX_TEXTS and entry.text:
            lines += [f"  {line}" for line in entry.text.splitlines()]
    return Mail(
        message_id=f"<digest.{last.message_id.strip('<>')}>",
        date=date,
        sender=last.sender,
        to=Addresses((entries[0].address,)),
        subject=f"{len(entries)} more messages of {endpoint}",
        text="\n".join(lines),
    )
