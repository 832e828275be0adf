"""`check` compiles what a hub would compile, and `config` prints what it would use."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from eventhub.cli import main

GOOD = """
auth: {session: {secret: swordfish}}
url:
  notes: {pattern: /notes, handler: MessageHandler, kwargs: {columns: {body: TEXT}}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "eventhub.yaml"
    path.write_text(GOOD)
    return path


def test_check_names_each_endpoint_and_its_table(file: Path) -> None:
    done = CliRunner().invoke(main, ["check", str(file)])
    assert (done.exit_code, done.stdout) == (0, f"/notes  table notes\n{file} is fine\n")


@pytest.mark.parametrize(
    ("tables", "named"), [("", "all tables"), ("kwargs: {tables: [notes]}", "notes")]
)
def test_check_names_what_can_be_queried(file: Path, tables: str, named: str) -> None:
    file.write_text(f"{GOOD}  sql: {{pattern: /sql, handler: SQLHandler, {tables}}}\n")
    done = CliRunner().invoke(main, ["check", str(file)])
    assert f"\n/sql  SQL of {named}\n" in done.stdout


def test_check_compiles_the_rule_of_a_sql_handler(file: Path) -> None:
    sql = "sql: {pattern: /sql, handler: SQLHandler, kwargs: {auth: {condition: no_such.check()}}}"
    file.write_text(f"{GOOD}  {sql}\n")
    done = CliRunner().invoke(main, ["check", str(file)])
    assert done.exit_code != 0
    assert "no_such" in done.output


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("auth: {condition: 'no_such_module.check()'}", "no_such_module"),
        ("origins: ['https://a.*.org']", "https://a.*.org"),
        ("prepare: no_such_module.check(msg)", "no_such_module"),
    ],
)
def test_check_compiles_rules_origins_and_hooks(file: Path, more: str, named: str) -> None:
    file.write_text(GOOD.replace("{columns:", f"{{{more}, columns:"))
    done = CliRunner().invoke(main, ["check", str(file)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert named in done.stderr


def test_config_prints_yaml_with_defaults_and_without_secrets(file: Path) -> None:
    done = CliRunner().invoke(main, ["config", str(file)])
    shown = yaml.safe_load(done.stdout)
    assert shown["server"]["port"] == 8080
    assert shown["auth"]["session"]["secret"] == "***"
    assert "swordfish" not in done.stdout
