"""A file is attached with its name and type; a template that could name any file is refused."""

from pathlib import Path

import pytest

from eventhub.alerts.attachment import Attachment, check_source, load
from eventhub.alerts.sources import Sources
from eventhub.alerts.template import Template, Templates
from eventhub.errors import Misconfigured


def template(text: str) -> Template:
    return Templates(Path(), []).compile("alert", text)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.csv", "text/csv"), ("a.png", "image/png"), ("a", "application/octet-stream")],
)
def test_a_file_has_its_name_and_the_type_of_its_suffix(
    tmp_path: Path, name: str, media_type: str
) -> None:
    (tmp_path / name).write_bytes(b"data")
    found = load(template("{{ name }}"), {"name": name}, Sources(tmp_path, tmp_path))
    assert found == Attachment(name, media_type, b"data")


@pytest.mark.parametrize(
    "source", ["file.csv", "https://example.org/a", "https://example.org/{{ id }}"]
)
def test_a_source_whose_file_or_host_is_fixed_passes_the_check(tmp_path: Path, source: str) -> None:
    check_source("alert", template(source), Sources(tmp_path))


@pytest.mark.parametrize("source", ["{{ f }}", "a/{{ f }}", "  {{ f }}https://example.org/"])
def test_a_source_that_a_message_could_choose_stops_the_start(tmp_path: Path, source: str) -> None:
    with pytest.raises(Misconfigured, match=r"alert: .*attachments_from:"):
        check_source("alert", template(source), Sources(tmp_path))
    check_source("alert", template(source), Sources(tmp_path, tmp_path))
