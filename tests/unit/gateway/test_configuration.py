"""A text that an operator sends is checked, and nothing in it is run."""

from pathlib import Path

from eventhub.config import load
from eventhub.gateway.configuration import UNCHECKED, checked, examined

GOOD = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs: {columns: {body: TEXT}}
"""


def test_findings_are_those_of_the_command_and_say_what_is_not_checked(tmp_path: Path) -> None:
    (tmp_path / "hub.yaml").write_text(GOOD)
    served = load(tmp_path / "hub.yaml", environ={})
    assert checked(*examined(GOOD, served)) == {
        "valid": True,
        "findings": [],
        "tables": {"/notes": "notes"},
        "unchecked": UNCHECKED,
    }
    found = checked(
        *examined(GOOD.replace("TEXT", "TXT") + "serve: {}\nlog: {level: info}\n", served)
    )
    assert not found["valid"]
    assert [
        (each["severity"], each["file"], each["line"], each["keys"]) for each in found["findings"]
    ] == [
        ("error", "pasted.yaml", 6, "url.notes.kwargs.columns.body"),
        ("error", "pasted.yaml", 7, ""),
    ]
    assert str(tmp_path) not in str(found)


def test_endpoints_that_do_not_fit_each_other_are_found(tmp_path: Path) -> None:
    (tmp_path / "hub.yaml").write_text(GOOD)
    served = load(tmp_path / "hub.yaml", environ={})
    kwargs = "kwargs: {table: notes, columns: {body: INTEGER}}"
    more = f"  more: {{pattern: /more, handler: MessageHandler, {kwargs}}}\n"
    [finding] = checked(*examined(GOOD + more, served))["findings"]
    assert "declared differently for table notes" in finding["message"]
