"""A pasted text is checked without reading, importing or running anything but the text."""

import sys
import time
from pathlib import Path

import pytest

from eventhub.config import Findings, examine, examine_text

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
FILE = Path("/nowhere/pasted.yaml")
ENTRY = """url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT}
"""


def found(text: str, path: Path = FILE) -> Findings:
    return examine_text(text, path)[1]


def said(findings: Findings) -> list[str]:
    return [f"{each.position[1]} {each.keys}: {each.text}" for each in findings.problems]


def test_what_is_wrong_in_the_text_is_found_with_its_line() -> None:
    assert said(found(ENTRY)) == []
    wrong = ENTRY.replace("TEXT", "TXT") + "      colums: {}\n      prepare: 'msg['\n"
    assert sorted(each.partition(": ")[0] for each in said(found(wrong))) == [
        "6 url.notes.kwargs.columns.body",
        "7 url.notes.kwargs",
        "8 url.notes.kwargs.prepare",
    ]


@pytest.mark.parametrize(
    "file", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda each: str(each.parent.name)
)
def test_a_file_that_is_right_is_right_as_a_text(file: Path) -> None:
    problems = examine(file, environ={})[1].problems
    assert not found(file.read_text(), file).problems or problems


@pytest.mark.parametrize(
    "key",
    [
        "prepare: trap.spring()",
        "open: trap.spring()",
        "auth: {condition: trap.spring()}",
        "rules: {create: trap.spring(row)}",
        "message_default: {POST: {body: trap.spring()}}",
        "alert: {to: a@example.org, condition: trap.spring()}",
        "alert: {to: a@example.org, subject: '{% import trap %}'}",
        "'headers if trap.spring()': {X-A: b}",
    ],
)
def test_no_expression_is_run_and_no_module_imported(tmp_path: Path, key: str) -> None:
    sprung = tmp_path / "sprung"
    (tmp_path / "trap.py").write_text(f"open({str(sprung)!r}, 'w')\n")
    path = list(sys.path)
    found(f"{ENTRY}      {key}\n", tmp_path / "pasted.yaml")
    assert not sprung.exists()
    assert sys.path == path


def test_no_other_file_and_no_variable_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "from-the-environment")
    (tmp_path / "secret.txt").write_text("from-a-file")
    (tmp_path / "other.yaml").write_text("from: another-file\n")
    text = ENTRY + (
        "import: other.yaml\n"
        "email: {m: {host: $A_SECRET, email: a@example.org, password_file: secret.txt}}\n"
        "auth: {session: {secret: 'x${A_SECRET}'}}\n"
        "server: {port: $A_SECRET}\n"
        "log: {level: '${A_SECRET}x'}\n"
    )
    config, findings = examine_text(text, tmp_path / "pasted.yaml")
    shown = repr(config) + repr(findings)
    assert not [
        each for each in ("environment", "from-a-file", "another-file") if f"-{each}" in shown
    ]
    assert "from-" not in shown
    assert any(each.text == "nothing is imported here" for each in findings.warnings)
    assert "server.port" in [each.keys for each in findings.warnings]


def test_a_path_is_no_oracle_for_what_exists(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("x")

    def of(name: str) -> list[str]:
        key = f"email: {{m: {{host: h, email: a@example.org, password_file: {name}}}}}\n"
        return said(found(ENTRY + key + f"import: {name}\n", tmp_path / "pasted.yaml"))

    assert of("there.txt") == of("nowhere.txt") == []


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
            for before, name in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "a: &a {b: *a}\n",
        "[" * 5000,
        "{a: " * 3000,
        "a: " + "[" * 3000 + "]" * 3000,
        ENTRY + "      prepare: " + "-" * 60_000 + "1\n",
        ENTRY + "      prepare: " + "x." * 40_000 + "x\n",
        "\x00",
        "- list\n",
        "text",
    ],
    ids=lambda text: text[:6],
)
def test_a_hostile_text_is_refused_soon(text: str) -> None:
    began = time.thread_time()
    assert found(text).problems
    assert time.thread_time() - began < 30


def test_an_empty_text_has_nothing_wrong() -> None:
    assert said(found("")) == []
