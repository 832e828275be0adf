"""A flood of messages does not become a flood of mails, and no mail is lost silently."""

from pathlib import Path

import pytest

from eventhub.alerts import limits, operations
from eventhub.alerts import worker as worker_module
from eventhub.jetstream import JetStreamLog
from tests.integration.alerts.sink import Sink
from tests.integration.alerts.test_worker import ALERT, make_hub
from tests.unit.alerts.builders import make_endpoint


async def test_a_mail_to_too_many_recipients_is_a_dead_letter(
    log: JetStreamLog, sink: Sink, tmp_path: Path
) -> None:
    hub = await make_hub(log, tmp_path, {"main": sink}, make_endpoint(max_recipients=3, **ALERT))
    async with hub.working():
        await hub.post(message={"to": ", ".join(f"u{n}@x.org" for n in range(3))})
        await sink.has(1)
        await hub.post(message={"to": ", ".join(f"u{n}@x.org" for n in range(5000))})
        await hub.post(message={"to": "a@x.org, b@x.org, c@x.org, malformed"})
        letters = await hub.dead(2)
    assert {letter.reason for letter in letters} == {
        "5000 recipients: above max_recipients: 3",
        "4 recipients: above max_recipients: 3",
    }
    assert len(sink.taken) == 1


async def test_mails_above_the_limit_are_dead_letters_and_then_a_digest(
    log: JetStreamLog, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "DIGEST_SECONDS", 0.02)
    endpoint = make_endpoint(max_per_hour=2, **ALERT)
    hub = await make_hub(log, tmp_path, {"main": sink}, endpoint)
    async with hub.working():
        for number in range(5):
            await hub.post(f"flood {number}")
        letters = await hub.dead(3)
        assert {letter.reason for letter in letters} == {"a@example.org: above max_per_hour: 2"}
        await hub.post("other", message={"text": "other", "to": "b@example.org, a@example.org"})
        await sink.has(3)
        assert sink.taken[2].recipients == ["b@example.org"]
        assert [letter.missing for letter in await hub.dead(4)] == [["a@example.org"]] * 4
    assert len(sink.taken) == 3
    # A process that starts again counts again; its letters are sent by hand.
    retried = await operations.retry_dead_letters(hub.config, hub.endpoints, hub.log)
    assert [each.error for each in retried] == [None] * 4
    assert [taken.recipients for taken in sink.taken[3:]] == [["a@example.org"]] * 4

    monkeypatch.setattr(limits, "HOUR_SECONDS", 1.0)
    async with hub.working():
        for number in range(5):
            await hub.post(f"wave {number}")
        await sink.has(10)
        await hub.dead(0)
    (digest,) = [taken for taken in sink.taken if "more messages" in taken.mail["Subject"]]
    assert digest.recipients == ["a@example.org"]
    texts = [f"wave {n}" for n in range(5)]
    single = [str(taken.mail["Subject"]).removeprefix("Message: ") for taken in sink.taken[7:]]
    content = digest.mail.get_content()
    assert all((text in content) != (text in single) for text in texts)
