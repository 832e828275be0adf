"""Builders for tests of alerts."""

from pathlib import Path
from typing import Any

from eventhub.alerts.rule import AlertRule
from eventhub.channel import Endpoint
from eventhub.config import Alert, EmailService, MessageEndpoint
from eventhub.config.hub_files import HubFiles
from tests.builders import channel

STUB = {"first": EmailService(type="stub"), "second": EmailService(type="stub")}


def make_endpoint(name: str = "chat", **alert: Any) -> Endpoint:
    """An endpoint with an alert on the channel of `tests.builders`."""
    settings = {"from_" if key == "sender" else key: value for key, value in alert.items()}
    config = MessageEndpoint(
        name=name, pattern=f"/{name}", table=channel().name, alert=Alert(**settings)
    )
    return Endpoint(config, channel())


def make_rule(folder: Path = Path(), hub: HubFiles | None = None, **alert: Any) -> AlertRule:
    """A rule of such an endpoint, with stubs for services."""
    endpoint = make_endpoint(**alert)
    assert endpoint.config.alert is not None
    return AlertRule(endpoint, endpoint.config.alert, STUB, folder, hub)
