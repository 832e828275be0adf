"""A command gets the configuration with its flags, or ends with every mistake of the file."""

import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.config import Config

GOOD = """
server: {port: 81}
auth: {session: {secret: swordfish}}
url:
  notes: {pattern: /notes, handler: MessageHandler, kwargs: {columns: {body: TEXT}}}
"""


def load(text: str, folder: Path, *arguments: str) -> tuple[Config | None, Result]:
    """Return the configuration that a command gets, and how the command ended."""
    found: list[Config] = []

    @click.command()
    @FILE
    @DATA
    @click.option("--port", type=int)
    def work(file: Path, data: Path | None, port: int | None) -> None:
        found.append(load_config(file, data=data, port=port))

    file = folder / "eventhub.yaml"
    file.write_text(text)
    done = CliRunner().invoke(work, [str(file), *arguments])
    return (found[0] if found else None), done


def test_flags_override_the_file(tmp_path: Path) -> None:
    config, done = load(GOOD, tmp_path, "--port", "82", "--data", str(tmp_path / "elsewhere"))
    assert config is not None, done.output
    assert (config.server.port, config.data) == (82, tmp_path / "elsewhere")


def test_without_flags_the_file_decides(tmp_path: Path) -> None:
    config, done = load(GOOD, tmp_path)
    assert config is not None, done.output
    assert (config.server.port, config.data) == (81, tmp_path / "data")


def test_every_mistake_is_a_line_that_begins_with_its_place(tmp_path: Path) -> None:
    config, done = load(GOOD.replace("TEXT", "TEXTT").replace("81", "many"), tmp_path)
    assert (config, done.exit_code, done.stdout) == (None, 2, "")
    places = [line.split(": ")[0] for line in done.stderr.splitlines()]
    assert sorted(places) == [f"{tmp_path}/eventhub.yaml:{line}" for line in (2, 5)]


def test_a_traceback_of_a_fault_shows_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(GOOD, tmp_path)
    sys.excepthook(KeyError, KeyError("nats://me:hunter2@h and swordfish"), None)
    shown = capsys.readouterr().err
    assert "KeyError" in shown
    assert "hunter2" not in shown
    assert "swordfish" not in shown
