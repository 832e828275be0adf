"""Files that an alert may read are found, and all others are refused by name."""

from pathlib import Path

import pytest

from eventhub.alerts import sources as module
from eventhub.alerts.sources import Sources, read
from eventhub.alerts.template import Template, Templates
from eventhub.config.hub_files import HubFiles
from eventhub.errors import Rejected


def template(text: str) -> Template:
    return Templates(Path(), []).compile("alert", text)


def test_a_constant_path_is_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    found = Sources(tmp_path).locate(template("a/b.txt"), "a/b.txt")
    assert found == tmp_path / "a" / "b.txt"


def test_a_path_with_a_value_stays_in_the_folder_that_the_template_fixes(tmp_path: Path) -> None:
    sources = Sources(tmp_path, tmp_path / "files")
    named = template("reports/{{ id }}")
    assert sources.locate(named, "reports/1") == tmp_path / "files" / "reports" / "1"
    with pytest.raises(Rejected, match="outside of the folder"):
        sources.locate(named, "reports/../other")
    with pytest.raises(Rejected, match="hidden"):
        sources.locate(named, "reports/.secret")


def test_without_a_folder_a_value_names_no_file(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="attachments_from:"):
        Sources(tmp_path).locate(template("{{ id }}"), "1")


def test_a_file_of_the_hub_is_refused(tmp_path: Path) -> None:
    sources = Sources(tmp_path, hub=HubFiles(data=tmp_path / "data"))
    with pytest.raises(Rejected, match="file of the hub itself"):
        sources.locate(template("data/key"), "data/key")


def test_a_file_is_read_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    monkeypatch.setattr(module, "MAX_BYTES", 5)
    assert read(path) == b"12345"
    monkeypatch.setattr(module, "MAX_BYTES", 4)
    with pytest.raises(Rejected, match="larger than"):
        read(path)
    with pytest.raises(Rejected, match="no such file"):
        read(tmp_path)
