"""A mail reaches each of its recipients once; the server's answers decide what happens next."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from eventhub.alerts import smtp as smtp_module
from eventhub.alerts.addresses import Address, parse_addresses
from eventhub.alerts.attachment import Attachment
from eventhub.alerts.mail import Mail
from eventhub.alerts.smtp import SmtpServices
from eventhub.alerts.transaction import Outcome
from eventhub.config import EmailService
from eventhub.errors import Misconfigured, Rejected, Unavailable
from tests.integration.alerts.sink import Sink
from tests.strict_mail import StrictMail

PLAIN = Mail(
    message_id="<e.1.chat@eventhub>",
    date=datetime(2026, 11, 23, 10, tzinfo=UTC),
    sender=Address("EventHub", "hub", "example.org"),
    to=parse_addresses(["a@example.org"]),
    subject="Hello",
    text="Hello there",
)


def service(sink: Sink, **changes: Any) -> EmailService:
    return EmailService(type="smtp", host="127.0.0.1", port=sink.port, **changes)


async def send(mail: Mail, *sinks: Sink, name: str = "0") -> Outcome:
    services = SmtpServices({str(i): service(sink) for i, sink in enumerate(sinks)})
    async with services.turn(name) as found:
        return await found.send(mail, mail.recipients)


async def test_mail_arrives_with_its_headers(sink: Sink) -> None:
    await send(PLAIN, sink)
    (taken,) = sink.taken
    assert taken.sender == "hub@example.org"
    assert taken.recipients == ["a@example.org"]
    assert taken.mail["Message-ID"] == "<e.1.chat@eventhub>"
    assert taken.mail["Date"].datetime == PLAIN.date
    assert taken.mail["From"] == "EventHub <hub@example.org>"
    assert taken.mail["Subject"] == "Hello"
    assert taken.mail.get_content().rstrip() == "Hello there"


async def test_bcc_recipients_get_the_mail_and_are_in_no_header(sink: Sink) -> None:
    await send(replace(PLAIN, bcc=parse_addresses(["secret@example.org"])), sink)
    assert sink.taken[0].recipients == ["a@example.org", "secret@example.org"]
    assert b"secret" not in sink.taken[0].raw


async def test_line_breaks_in_a_subject_do_not_make_a_header(sink: Sink) -> None:
    await send(replace(PLAIN, subject="one\r\nBcc: evil@example.org\n\ntwo\x85x\u2028y"), sink)
    mail = sink.taken[0].mail
    assert mail["Bcc"] is None
    assert mail["Subject"] == "one Bcc: evil@example.org two x y"
    assert mail["From"] == "EventHub <hub@example.org>"


async def test_text_outside_ascii_survives(sink: Sink) -> None:
    odd = replace(
        PLAIN,
        subject="Grüße, 世界 🎉" * 12,
        text="naïve 🎉\n.\n..dots\n" + "x" * 2000,
        to=parse_addresses(['"Jürgen, 世" <j@bücher.example>']),
    )
    await send(odd, sink)
    (taken,) = sink.taken
    assert taken.mail["Subject"] == odd.subject
    assert taken.mail.get_content().splitlines() == (odd.text or "").splitlines()
    assert taken.recipients == ["j@xn--bcher-kva.example"]
    assert taken.mail["To"].addresses[0].display_name == "Jürgen, 世"


async def test_html_images_and_attachments_are_in_the_right_parts(sink: Sink) -> None:
    rich = replace(
        PLAIN,
        html='<p>Hi <img src="cid:logo"></p>',
        images={"logo": Attachment("logo.png", "image/png", b"\x89PNG")},
        attachments=(Attachment("naïve report.pdf", "application/pdf", b"%PDF"),),
    )
    await send(rich, sink)
    mail = sink.taken[0].mail
    types = [part.get_content_type() for part in mail.walk()]
    assert types == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    image = next(part for part in mail.walk() if part.get_content_type() == "image/png")
    assert image["Content-ID"] == "<logo>"
    (attached,) = mail.iter_attachments()
    assert attached.get_filename() == "naïve report.pdf"
    assert attached.get_content() == b"%PDF"


async def test_a_recipient_named_twice_gets_one_mail(sink: Sink) -> None:
    twice = replace(PLAIN, cc=parse_addresses(["A@example.org, b@example.org"]))
    await send(twice, sink)
    assert sink.taken[0].recipients == ["a@example.org", "b@example.org"]


async def test_one_refused_recipient_does_not_keep_the_mail_from_others(sink: Sink) -> None:
    sink.refusals = {"b@example.org": "550 no such user", "c@example.org": "451 greylisted"}
    mail = replace(PLAIN, to=parse_addresses(["a@example.org,b@example.org,c@example.org"]))
    outcome = await send(mail, sink)
    assert outcome.refused == {"b@example.org": "550 no such user"}
    assert outcome.deferred == {"c@example.org": "451 greylisted"}
    assert sink.taken[0].recipients == ["a@example.org"]


async def test_an_address_outside_ascii_is_sent_to_a_server_with_smtputf8(sink: Sink) -> None:
    outcome = await send(
        replace(PLAIN, to=parse_addresses(["jörg@bücher.example", "b@x.org"])), sink
    )
    (taken,) = sink.taken
    assert outcome == Outcome()
    assert taken.recipients == ["jörg@xn--bcher-kva.example", "b@x.org"]
    read = StrictMail.parse(taken.raw, utf8=True)
    assert [each.spec for each in read.mailboxes("To")] == taken.recipients


async def test_an_address_outside_ascii_does_not_keep_the_mail_from_others() -> None:
    async with Sink.running(utf8=False) as sink:
        outcome = await send(replace(PLAIN, to=parse_addresses(["jörg@x.org, b@x.org"])), sink)
        assert list(outcome.refused) == ["jörg@x.org"]
        assert "SMTPUTF8" in outcome.refused["jörg@x.org"]
        assert [taken.recipients for taken in sink.taken] == [["b@x.org"]]
        assert StrictMail.parse(sink.taken[0].raw).value("To") == "b@x.org"
        outcome = await send(replace(PLAIN, to=parse_addresses(["jörg@x.org"])), sink)
        assert list(outcome.refused) == ["jörg@x.org"]
        with pytest.raises(Rejected, match=r"from: jörg@x.org: .*SMTPUTF8"):
            await send(replace(PLAIN, sender=Address("", "jörg", "x.org")), sink)
        assert len(sink.taken) == 1


@pytest.mark.parametrize(
    "address",
    [
        '"john doe"@x.org',
        '"a,b<c>@d"@x.org',
        r'"say \"hi\" \\ twice"@x.org',
        "user%evil.example@x.org",
        "a!b#$&'*+/?=^_`{|}~-@x.org",
    ],
)
async def test_the_envelope_has_the_address_byte_for_byte(sink: Sink, address: str) -> None:
    assert await send(replace(PLAIN, to=parse_addresses([address])), sink) == Outcome()
    assert sink.taken[0].recipients == [address]


async def test_a_mail_that_the_server_refuses_permanently_is_rejected(sink: Sink) -> None:
    sink.answers = ["554 spam"]
    with pytest.raises(Rejected, match="554 spam"):
        await send(PLAIN, sink)


async def test_a_mail_that_the_server_refuses_temporarily_is_unavailable(sink: Sink) -> None:
    sink.answers = ["451 later"]
    with pytest.raises(Unavailable, match="0: 451 later"):
        await send(PLAIN, sink)


async def test_a_server_that_cannot_be_reached_is_unavailable(sink: Sink, unused_port: int) -> None:
    sink.port = unused_port
    with pytest.raises(Unavailable, match="0: "):
        await send(PLAIN, sink)


async def test_a_mail_without_recipients_is_rejected(sink: Sink) -> None:
    with pytest.raises(Rejected, match="no recipient"):
        await send(replace(PLAIN, to=parse_addresses(["nobody"])), sink)


async def test_a_mail_is_not_sent_without_the_starttls_that_is_configured(sink: Sink) -> None:
    services = SmtpServices({"s": service(sink, tls=True)})
    async with services.turn("s") as found:
        with pytest.raises(Unavailable, match="STARTTLS"):
            await found.send(PLAIN, PLAIN.recipients)
    assert sink.taken == []


async def test_services_of_one_type_keep_their_own_settings(sink: Sink, second_sink: Sink) -> None:
    await send(PLAIN, sink, second_sink, name="0")
    assert (len(sink.taken), len(second_sink.taken)) == (1, 0)
    await send(PLAIN, sink, second_sink, name="1")
    assert (len(sink.taken), len(second_sink.taken)) == (1, 1)


async def test_after_a_timeout_mails_for_the_server_fail_at_once(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_module, "DIALOGUE_SECONDS", 0.2)
    sink.hang()
    services = SmtpServices({"s": service(sink)})
    async with services.turn("s") as found:
        with pytest.raises(Unavailable, match="did not answer in"):
            await found.send(PLAIN, PLAIN.recipients)
    with pytest.raises(Unavailable, match="before this one"):
        async with services.turn("s"):
            pass


async def test_a_service_has_a_bounded_number_of_dialogues(sink: Sink) -> None:
    sink.hang()
    services = SmtpServices({"s": service(sink)})

    async def deliver() -> None:
        async with services.turn("s") as found:
            await found.send(PLAIN, PLAIN.recipients)

    async with asyncio.TaskGroup() as group:
        for _ in range(smtp_module.MAX_DIALOGUES + 2):
            group.create_task(deliver())
        await sink.has_waiting(smtp_module.MAX_DIALOGUES)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await sink.has_waiting(smtp_module.MAX_DIALOGUES + 1)
        sink.resume()
    assert len(sink.taken) == smtp_module.MAX_DIALOGUES + 2


async def test_a_stub_logs_the_mail_and_sends_nothing() -> None:
    with capture_logs() as logs:
        async with SmtpServices({"s": EmailService(type="stub")}).turn("s") as found:
            await found.send(PLAIN, PLAIN.recipients)
    assert logs[0]["event"] == "stub_mail"
    assert "Hello there" in logs[0]["mail"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (EmailService(type="smtp"), "email: s: host"),
        (EmailService(type="gmail", email="x@gmail.com"), "email: s: gmail needs"),
    ],
)
def test_a_service_that_cannot_work_is_refused_by_name(wrong: EmailService, named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        SmtpServices({"s": wrong})
