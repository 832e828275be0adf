"""The archiver and the retention run where roles and configuration ask for them."""

from pathlib import Path

from eventhub.config import Config, load
from eventhub.jetstream import JetStreamLog
from eventhub.keepers import Keepers

TABLE = "url: {{notes: {{pattern: /notes, handler: MessageHandler, kwargs: {{{}}}}}}}\n"
ROLES = ("gateway", "projector", "alerts", "archiver")


def config(folder: Path, kwargs: str = "", more: str = "") -> Config:
    (folder / "eventhub.yaml").write_text(TABLE.format(kwargs) + more)
    return load(folder / "eventhub.yaml", environ={})


def test_each_runs_in_the_process_of_its_role(log: JetStreamLog, tmp_path: Path) -> None:
    both = config(tmp_path, "log: {keep: 30d}", "archive: {to: archive}\n")
    found = {role: {*Keepers(log, {}, [role]).services(both)} for role in ROLES}
    assert found == {
        "gateway": set(),
        "projector": {"retention"},
        "alerts": set(),
        "archiver": {"archiver"},
    }
    every = Keepers(log, {}, ROLES)
    assert {*every.services(both)} == {"retention", "archiver"}
    assert every.notes == []


def test_without_its_key_none_runs(log: JetStreamLog, tmp_path: Path) -> None:
    assert Keepers(log, {}, ROLES).services(config(tmp_path)) == {}
