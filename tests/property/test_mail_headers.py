"""A mail has the headers and the text of its alert, and no others, whatever the message holds.

Each mail goes through a real SMTP server. It is read by a strict reader that shares no code with
the writer, and by Python's `email`.
"""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventhub.alerts.addresses import Address, Addresses, parse_addresses
from eventhub.alerts.attachment import Attachment
from eventhub.alerts.mail import Mail
from eventhub.alerts.smtp import SmtpServices
from eventhub.config import EmailService
from tests.integration.alerts.sink import Sink, Taken, served_sink
from tests.strict_mail import Mailbox, StrictMail

HEADERS = [
    "message-id",
    "date",
    "from",
    "to",
    "cc",
    "reply-to",
    "on-behalf-of",
    "subject",
    "auto-submitted",
    "mime-version",
    "content-type",
]
PIECES = [
    "=?utf-8?q?a=0D=0ABcc:_evil@example.org?=",
    "=?utf-8?b?DQpCY2M6IGV2aWxAZXhhbXBsZS5vcmc=?=",
    "=?utf-16?q?=00=0D=00=0A?=",
    "=?utf-8?q?=3D=3Futf-8=3Fq=3F=3D0A=3F=3D?=",
    "=?",
    "?=",
    "=?utf-8?q?",
    "=?utf-8?q?x?==?utf-8?q?y?=",
    "\r\nBcc: evil@example.org",
    "\n ",
    "\r\n\r\n",
    " ",
    "  ",
    "\t",
    "\0",
    "\x85",
    "\u2028",
    "\u202e",
    "é",
    "世",
    "🎉",
    "a" * 998,
    "é" * 100,
    '"',
    "\\",
    ",",
    ";",
    "<evil@example.org>",
    "(comment)",
    "%0D%0A",
    "utf-8''x",
    ".",
    "--",
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=6).map("".join)
"""Texts that look like headers, and any other texts."""


def one_line(text: str) -> str:
    """Return a text as a header keeps it: line breaks become a space, other controls vanish."""
    lines = (text + "|").splitlines()
    lines[-1] = lines[-1][:-1]
    if len(lines) > 1:
        lines = [
            lines[0].rstrip(" \t"),
            *(x.strip(" \t") for x in lines[1:-1]),
            lines[-1].lstrip(" \t"),
        ]
    return re.sub("[\x00-\x08\x0e-\x1f\x7f-\x9f]", "", " ".join(filter(None, lines)))


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """A server for all examples."""
    with served_sink() as started:
        yield started


def sent(sink: Sink, mail: Mail) -> Taken:
    """Send a mail, and return what the server took."""
    service = EmailService(type="smtp", host="127.0.0.1", port=sink.port)

    async def deliver() -> None:
        async with SmtpServices({"sink": service}).turn("sink") as found:
            await found.send(mail, mail.recipients)

    sink.taken.clear()
    asyncio.run(deliver())
    return sink.taken[0]


def people(name: str, *users: str) -> Addresses:
    return Addresses(tuple(Address(name, user, "example.org") for user in users))


@given(texts, texts)
@example("=?utf-8?q?=0D=0A=0D=0AClick?=", "=?utf-8?q?a=0D=0AReply-To:_x@y.example?=")
def test_any_text_is_read_back_and_adds_no_header(sink: Sink, text: str, name: str) -> None:
    mail = Mail(
        message_id="<e.1.chat@eventhub>",
        date=datetime(2026, 11, 23, 10, tzinfo=UTC),
        sender=Address(name, "hub", "example.org"),
        to=people(name, "a", "b", "c"),
        cc=people(name, "d"),
        bcc=people(name, "e"),
        reply_to=people(name, "f"),
        on_behalf_of=text,
        subject=text,
        text=text,
        html=text,
        attachments=(Attachment(name, "text/plain", text.encode()),),
    )
    taken = sent(sink, mail)
    read = StrictMail.parse(taken.raw)
    kept, known = one_line(text), one_line(name)
    assert read.names == [each for each in HEADERS if kept or each != "on-behalf-of"]
    assert read.text("Subject") == kept
    assert not kept or read.text("On-Behalf-Of") == kept
    for header, users in (("From", ["hub"]), ("To", "abc"), ("Cc", "d"), ("Reply-To", "f")):
        assert read.mailboxes(header) == [Mailbox(known, f"{u}@example.org") for u in users]
    assert taken.recipients == [f"{user}@example.org" for user in "abcde"]
    alternative, attached = read.parts()
    wanted = re.sub("\r\n|\r", "\n", text.replace("\0", ""))
    for part in alternative.parts():
        body = part.body().decode().replace("\r\n", "\n")
        assert body == wanted + "\n" * bool(wanted and not wanted.endswith("\n"))
    assert attached.names == ["content-type", "content-transfer-encoding", "content-disposition"]
    assert (attached.filename(), attached.body()) == (known, text.encode())


@given(texts)
def test_the_email_package_reads_the_same(sink: Sink, text: str) -> None:
    kept = one_line(text)
    to = people(text, "a", "b")
    taken = sent(
        sink,
        Mail(
            message_id="<e.1.chat@eventhub>",
            date=datetime(2026, 11, 23, 10, tzinfo=UTC),
            sender=Address("Hub", "hub", "example.org"),
            to=to,
            subject=text,
            text="the text",
        ),
    )
    read = taken.mail
    assert [name.lower() for name in read if not name.lower().startswith("content-")] == [
        each for each in HEADERS if each not in ("cc", "reply-to", "on-behalf-of", "content-type")
    ]
    assert read["Subject"] == kept
    assert [each.addr_spec for each in read["To"].addresses] == ["a@example.org", "b@example.org"]
    assert read.get_payload() == "the text\r\n"


@given(st.lists(texts, min_size=12, max_size=12))
def test_odd_names_do_not_change_the_list_of_recipients(sink: Sink, names: list[str]) -> None:
    listed = [Address(f"Jörg {name}", f"p{n}", "example.org") for n, name in enumerate(names)]
    mail = Mail(
        message_id="<e.1.chat@eventhub>",
        date=datetime(2026, 11, 23, 10, tzinfo=UTC),
        sender=Address("", "hub", "example.org"),
        to=Addresses(tuple(listed)),
    )
    wanted = [Mailbox(one_line(each.display_name), each.addr_spec) for each in listed]
    taken = sent(sink, mail)
    assert StrictMail.parse(taken.raw).mailboxes("To") == wanted
    assert taken.recipients == [each.addr_spec for each in listed]


@given(texts)
def test_addresses_found_in_any_text_are_read_back_unchanged(sink: Sink, text: str) -> None:
    found, _ = parse_addresses([text, "fixed@example.org"])
    mail = Mail(
        message_id="<e.1.chat@eventhub>",
        date=datetime(2026, 11, 23, 10, tzinfo=UTC),
        sender=Address("", "hub", "example.org"),
        to=Addresses(tuple(each for each in found if each.addr_spec.isascii())),
    )
    taken = sent(sink, mail)
    read = StrictMail.parse(taken.raw)
    wanted = [each.addr_spec for each in mail.to.found]
    assert [each.spec for each in read.mailboxes("To")] == wanted
    assert taken.recipients == wanted
