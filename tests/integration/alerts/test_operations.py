"""An operator's retry says what it could not send, and a test invents a whole message."""

from pathlib import Path

from eventhub.alerts import operations
from eventhub.channel import Channel, Endpoint
from eventhub.columns import Column, Columns, Kind
from eventhub.config import Alert, Config, EmailService, MessageEndpoint
from eventhub.jetstream import JetStreamLog
from tests.integration.alerts.sink import Sink
from tests.integration.alerts.test_worker import ALERT, make_hub
from tests.unit.alerts.builders import make_endpoint


async def test_a_dead_letter_of_a_removed_alert_is_kept_and_explained(
    log: JetStreamLog, sink: Sink, tmp_path: Path
) -> None:
    hub = await make_hub(log, tmp_path, {"main": sink}, make_endpoint(**ALERT))
    sink.answers = ["554 spam"]
    async with hub.working():
        await hub.post()
        await hub.dead(1)
    (result,) = await operations.retry_dead_letters(hub.config, [], hub.log)
    assert result.error == "url: chat: no longer has an alert"
    assert [letter.id for letter in await hub.dead(1)] == ["chat:1"]
    assert sink.taken == []


async def test_a_retry_uses_the_templates_of_today(
    log: JetStreamLog, sink: Sink, tmp_path: Path
) -> None:
    hub = await make_hub(log, tmp_path, {"main": sink}, make_endpoint(**ALERT))
    sink.answers = ["554 spam"]
    async with hub.working():
        await hub.post("hello")
        await hub.dead(1)
    endpoint = make_endpoint(**{**ALERT, "subject": "New: {{ text }}"})
    (result,) = await operations.retry_dead_letters(hub.config, [endpoint], hub.log)
    assert result.error is None
    assert str(sink.taken[0].mail["Subject"]) == "New: hello"
    await hub.dead(0)


async def test_a_test_has_a_value_for_every_kind_of_column(sink: Sink, tmp_path: Path) -> None:
    channel = Channel("all", Columns([Column(f"c_{kind.name}", kind) for kind in Kind]))
    body = " ".join(f"{{{{ c_{kind.name} }}}}" for kind in Kind)
    alert = Alert(to="a@example.org", subject="{{ id }} {{ _method }}", body=body, methods=["PUT"])
    endpoint = Endpoint(
        MessageEndpoint(name="all", pattern="/all", table="all", alert=alert), channel
    )
    service = EmailService(host="127.0.0.1", port=sink.port, email="hub@example.org")
    config = Config(path=tmp_path / "hub.yaml", data=tmp_path, email={"main": service})
    (result,) = await operations.send_test(config, [endpoint])
    assert (result.error, result.subject) == (None, "test POST")
    assert len(sink.taken[0].mail.get_content().split()) == len(Kind)
