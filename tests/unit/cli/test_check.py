"""What `check` says about wrong files: all of it at once, in words for people and for programs.

`wrong/` has the files, and `wrong/messages.txt` what a user reads about each of them.
"""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from eventhub.cli import main

WRONG = Path(__file__).parent / "wrong"
SECTIONS = dict(
    re.findall(
        r"^== (\S+)\n\n(.*?)\n(?=\n|\Z)", (WRONG / "messages.txt").read_text("utf-8"), re.M | re.S
    )
)
"""What `check` prints about each file."""


def check(name: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["check", *options, str(WRONG / name)])


def test_every_wrong_file_has_its_messages() -> None:
    assert sorted(SECTIONS) == sorted(file.name for file in WRONG.glob("*.yaml"))
    assert len(SECTIONS) >= 34


@pytest.mark.parametrize("name", SECTIONS)
def test_wrong_file_is_reported_with_line_keys_and_what_to_do(name: str) -> None:
    done = check(name, "--strict")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.replace(f"{WRONG}/", "").strip() == SECTIONS[name]


@pytest.mark.parametrize("name", SECTIONS)
def test_findings_for_programs_are_those_for_people(name: str) -> None:
    done = check(name, "--strict", "--json")
    printed = json.loads(done.stdout)
    assert (done.exit_code, done.stderr, printed["valid"]) == (2, "", False)
    lines = []
    for found in printed["findings"]:
        before = "warning: " if found["severity"] == "warning" else ""
        parts = [f"{before}{found['file']}:{found['line']}", found["keys"], found["message"]]
        lines.append(": ".join(part for part in parts if part))
    assert "\n".join(lines).replace(f"{WRONG}/", "") == SECTIONS[name]


def test_nearest_name_is_a_field_of_a_finding_for_programs() -> None:
    (found,) = json.loads(check("one_typo.yaml", "--json").stdout)["findings"]
    assert found["nearest"] == "columns"


def test_right_file_has_its_tables_and_no_findings_for_programs(tmp_path: Path) -> None:
    file = tmp_path / "eventhub.yaml"
    file.write_text("url: {notes: {pattern: /notes, handler: MessageHandler}}\n")
    done = CliRunner().invoke(main, ["check", "--json", str(file)])
    assert json.loads(done.stdout) == {
        "valid": True,
        "findings": [],
        "tables": {"/notes": "notes"},
    }
