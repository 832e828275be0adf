"""A dead letter is kept until every recipient has the mail, and names those who have not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from eventhub.alerts.addresses import Address, Addresses
from eventhub.alerts.dead_letters import MAX_NAMED, DeadLetter, DeadLetters, letter_key
from eventhub.alerts.mail import Mail
from eventhub.alerts.pending import PendingAlert
from eventhub.event import Position
from eventhub.memory import MemoryLog
from tests.builders import make_event
from tests.unit.alerts.builders import make_rule

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def alert(sequence: int = 1, recipients: int = 2) -> PendingAlert:
    listed = tuple(Address("", f"u{number}", "x.org") for number in range(recipients))
    mail = Mail(
        message_id="<m>", date=NOW, sender=listed[0], to=Addresses(listed, ("bad",)), subject="Hi"
    )
    return PendingAlert(
        rule=make_rule(Path()),
        event=make_event(),
        position=Position("e", sequence),
        attempt=3,
        mail=mail,
    )


@pytest.fixture
async def letters() -> DeadLetters:
    return await DeadLetters.open(MemoryLog())


async def test_a_letter_has_all_that_a_retry_and_an_operator_need(letters: DeadLetters) -> None:
    letter = DeadLetter.of(alert(), "550 no", ["u1@x.org"], NOW)
    with capture_logs() as logs:
        await letters.keep(letter)
    assert await letters.all() == [letter]
    assert (letter.id, letter.row_id, letter.attempts) == ("chat:1", "r1", 3)
    assert (letter.to, letter.subject) == (["u0@x.org", "u1@x.org", "bad"], "Hi")
    assert letter.missing == ["u1@x.org"]
    assert letter.died_at == "2026-11-23T10:00:00+00:00"
    assert [(each["event"], each["reason"]) for each in logs] == [("alert_dead", "550 no")]


async def test_letters_are_listed_oldest_first_and_one_for_each_alert(letters: DeadLetters) -> None:
    for sequence, reason in ((1, "one"), (2, "two"), (1, "again")):
        await letters.keep(DeadLetter.of(alert(sequence), reason, None, NOW))
    assert {(each.sequence, each.reason) for each in await letters.all()} == {
        (1, "again"),
        (2, "two"),
    }
    await letters.delete((await letters.all())[0])
    assert len(await letters.all()) == 1


async def test_a_letter_is_deleted_with_its_last_recipient(letters: DeadLetters) -> None:
    pending = alert()
    await letters.keep(DeadLetter.of(pending, "limit", ["u0@x.org", "u1@x.org"], NOW))
    key = letter_key(pending.key)
    await letters.remove_recipient(key, "u0@x.org")
    assert [letter.missing for letter in await letters.all()] == [["u1@x.org"]]
    await letters.remove_recipient(key, "u1@x.org")
    assert await letters.all() == []
    await letters.remove_recipient(key, "u1@x.org")


async def test_a_letter_names_a_bounded_number_of_recipients() -> None:
    letter = DeadLetter.of(alert(recipients=2 * MAX_NAMED), "too many", None, NOW)
    assert len(letter.to) == len(letter.missing) == MAX_NAMED
