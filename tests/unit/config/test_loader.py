"""Flags override the environment, which overrides the file; every problem is reported at once."""

from pathlib import Path
from typing import Any

import pytest

from eventhub.config import ENVIRONMENT, load
from eventhub.errors import Misconfigured
from tests.unit.config.folder import Folder, endpoint, messages


def test_all_problems_are_reported_at_once(folder: Folder) -> None:
    problems = folder.problems("server: {port: x}\nlog: {lvl: 1}\nurl: {a: {pattern: /a}}\n")
    assert [line.split(": ")[1] for line in problems] == ["server.port", "log", "url.a"]


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.yaml: cannot read the file"):
        load(tmp_path / "none.yaml", environ={})


@pytest.mark.parametrize("text", ["", "# nothing\n", "url:\n", "server:\nurl: {}\n"])
def test_empty_file_or_section_has_all_defaults(folder: Folder, text: str) -> None:
    config = folder.load(text)
    assert (config.endpoints, config.server.port, config.warnings) == ((), 8080, ())


def test_flags_override_the_environment_which_overrides_the_file(folder: Folder) -> None:
    text = "server: {host: file, port: 1, drain: 3}\n"
    environ = {"EVENTHUB_HOST": "environment", "EVENTHUB_PORT": "2"}
    config = folder.load(text, environ, overrides={"server.port": 3})
    assert (config.server.host, config.server.port, config.server.drain) == ("environment", 3, 3.0)


def test_every_documented_variable_overrides_its_setting(folder: Folder) -> None:
    values = {
        "EVENTHUB_PORT": "2",
        "EVENTHUB_DATA": "/var/lib/eventhub",
        "EVENTHUB_LOG_LEVEL": "debug",
        "EVENTHUB_LOG_FORMAT": "json",
    }
    config = folder.load("log: {version: 1}", {name: values.get(name, "x") for name in ENVIRONMENT})
    for name, setting in ENVIRONMENT.items():
        found: Any = config
        for part in setting.split("."):
            found = getattr(found, part)
        assert str(found) == values.get(name, "x"), name


def test_invalid_value_of_the_environment_is_reported_with_its_variable(folder: Folder) -> None:
    (problem,) = folder.problems("", {"EVENTHUB_PORT": "http"})
    assert (
        problem == "EVENTHUB_PORT: server.port: expected a whole number from 0 to 65535, not 'http'"
    )


def test_data_folder_of_the_flag_overrides_that_of_the_environment(folder: Folder) -> None:
    environ = {"EVENTHUB_DATA": "/environment"}
    assert folder.load("", environ).data == Path("/environment")
    assert folder.load("", environ, data=Path("/flag")).data == Path("/flag")


def test_environment_of_the_process_is_the_default(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTHUB_PORT", "4321")
    assert load(folder.write("hub.yaml", "")).server.port == 4321


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("archive: {to: 's3://key:secret@tables/hub'}", "archive.to"),
        ("projection: {path: 's3://key:secret@tables/hub'}", "projection.path"),
        (
            "url: {p: {pattern: /p, handler: FileHandler, kwargs: {path: 'https://k:secret@x'}}}",
            "url.p.kwargs.path",
        ),
    ],
)
def test_a_url_is_no_path_on_this_machine(folder: Folder, text: str, keys: str) -> None:
    """It would be a folder of that name, which shows the login to whoever lists the folders."""
    problems = "\n".join(folder.problems(text))
    assert f"hub.yaml:1: {keys}: expected a path on this machine, not a URL" in problems
    assert "secret" not in problems


def test_duckdb_url_names_the_file_of_the_projection(folder: Folder) -> None:
    config = folder.load(endpoint("url: duckdb:///my.duckdb"))
    assert config.projection.path == str(folder.path / "my.duckdb")
    assert messages(config)[0].mirror is None
    assert config.warnings == ()
    same = endpoint("url: duckdb:///$YAMLPATH/my.duckdb") + "projection: {path: my.duckdb}\n"
    assert folder.load(same).projection == config.projection
    (problem,) = folder.problems(same.replace("path: my", "path: other"))
    assert problem.startswith("hub.yaml:6: url.chat.kwargs.url: a hub has one projection")


def test_a_folder_of_snapshots_is_next_to_the_file_that_names_it(folder: Folder) -> None:
    folder.write("shared/tables.yaml", "projection: {snapshots: {to: stored, every: 7}}")
    text = "import: shared/tables.yaml\n" + endpoint("url: duckdb:///my.duckdb")
    snapshots = folder.load(text).projection.snapshots
    assert (snapshots.to, snapshots.every) == (f"{folder.path}/shared/stored", 7)
    for place in ("broker", "none"):
        text = f"projection: {{snapshots: {{to: {place}}}}}\n"
        assert folder.load(text).projection.snapshots.to == place
    (problem,) = folder.problems("projection: {snapshots: {every: 0}}")
    assert problem.startswith("hub.yaml:1: projection.snapshots.every: ")


def test_a_file_of_keys_is_next_to_the_file_that_names_it(folder: Folder) -> None:
    folder.write("shared/auth.yaml", "auth: {jwt: {jwks: keys.json}}")
    jwt = folder.load("import: shared/auth.yaml").auth.jwt
    assert jwt is not None
    assert jwt.jwks == f"{folder.path}/shared/keys.json"
    jwt = folder.load("auth: {jwt: {jwks: 'https://id.example/keys'}}").auth.jwt
    assert jwt is not None
    assert jwt.jwks == "https://id.example/keys"
