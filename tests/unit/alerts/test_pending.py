"""The record of an alert survives an update, and its key names one event of one endpoint."""

from pathlib import Path

import msgspec

from eventhub.alerts.pending import PendingAlert, Progress, alert_key
from eventhub.event import Position
from tests.builders import make_event
from tests.unit.alerts.builders import make_rule


def test_records_of_earlier_versions_are_read() -> None:
    stored = b'{"left":["a@x.org"],"refused":{"b@x.org":"550 no"}}'
    progress = msgspec.json.decode(stored, type=Progress)
    assert progress == Progress(remaining=["a@x.org"], refused={"b@x.org": "550 no"})
    assert msgspec.json.encode(progress) == stored


def test_an_alert_is_done_once_nobody_remains() -> None:
    assert not Progress().is_done
    assert not Progress(remaining=["a@x.org"]).is_done
    assert Progress(remaining=[], refused={"b@x.org": "550 no"}).is_done


def test_the_key_names_epoch_sequence_and_endpoint() -> None:
    rule = make_rule(Path())
    alert = PendingAlert(rule=rule, event=make_event(), position=Position("e1", 7), attempt=1)
    assert alert.key == "e1.7.chat"
    assert alert_key(Position("e1", 7), "a b/c") not in ("e1.7.a b/c", alert.key)
