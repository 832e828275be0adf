"""Each command does what it says, prints for people, and fails in one clear line with its code."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import (
    DEADLINE_SECONDS,
    EVENTHUB,
    GOOD,
    output,
    refused,
    rows,
    run,
    run_all,
    written,
)
from tests.e2e.hub import Hub, HubFactory, running_hub

THREE_MISTAKES = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXTT}
      prepare: "msg.("
      alrt: {to: ann@example.org}
"""


# --- check and config


def test_check_lists_the_endpoints_of_a_good_file(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    assert output("check", file).splitlines() == ["/notes  table notes", f"{file} is fine"]


def test_strict_check_treats_warnings_as_errors(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD + "schedule: {}\nvariables: {themes: [dark]}\n")
    shown = output("check", file).splitlines()
    assert [line.partition(": ")[0] for line in shown[:2]] == ["warning", "warning"]
    done = run("check", file, "--strict")
    assert (done.returncode, done.stdout) == (2, "")
    lines = GOOD.count("\n")
    assert {line.split(": ")[0] for line in done.stderr.splitlines()} == {
        f"{file}:{lines + 1}",
        f"{file}:{lines + 2}",
    }


def test_check_names_file_and_line_of_every_mistake(tmp_path: Path) -> None:
    file = written(tmp_path, THREE_MISTAKES)
    done = run("check", file)
    assert (done.returncode, done.stdout) == (2, "")
    lines = sorted(done.stderr.splitlines())
    assert [line.split(": ")[0] for line in lines] == [f"{file}:{line}" for line in (7, 8, 9)]
    for line, said in zip(lines, ("'TEXTT'", "never closed", "'alert'"), strict=True):
        assert said in line


def test_config_shows_the_effective_values_and_no_secret(tmp_path: Path) -> None:
    top = """
email: {main: {host: 127.0.0.1, password: hunter2}}
auth: {session: {secret: $SESSION}, jwt: {secret_file: jwt.txt}}
broker: {url: 'nats://me:hunter2@127.0.0.1', token: hunter2}
"""
    written(tmp_path, "hunter2", "jwt.txt")
    environ = {"SESSION": "hunter2", "EVENTHUB_PORT": "81", "EVENTHUB_LOG_LEVEL": "error"}
    shown = output("config", written(tmp_path, top + GOOD), env=environ)
    assert "hunter2" not in shown
    assert shown.count("***") == 5
    assert "port: 81\n" in shown
    assert "level: error\n" in shown


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing, binary = tmp_path / "missing.yaml", tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    commands = [("check", missing), ("serve", missing), ("verify", missing), ("serve", binary)]
    for (_, file), done in zip(commands, run_all(*commands), strict=True):
        problem = ":1: byte 0xff is not UTF-8" if file is binary else ": cannot read the file"
        assert refused(2, done).startswith(f"{file}{problem}")


# --- post, put, delete


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for the tests that only write."""
    with running_hub(tmp_path_factory.mktemp("hub"), GOOD) as hub:
        yield hub


def test_writing_prints_receipts(hub: Hub) -> None:
    url = f"{hub.url}/notes"
    first = json.loads(output("post", url, "id=w", "body=a=b", "n=3", "--key", "k"))
    assert (first["id"], first["duplicate"]) == ("w", False)
    again = json.loads(output("post", url, '{"id": "w", "body": "a=b", "n": 3}', "--key", "k"))
    assert again == {**first, "duplicate": True}
    changed = json.loads(output("put", url, '{"id": "w", "n": 4}'))
    assert changed["_seq"] > first["_seq"]
    [row] = rows(f"{url}?id=w")
    assert (row["body"], row["n"]) == ("a=b", 4)
    output("delete", url, "id=w")
    assert rows(f"{url}?id=w") == []


REFUSALS = {
    ("post", "/notes", "n=x"): 'bad_value: n: "x" is not a whole number',
    ("put", "/notes", "id=nobody", "n=1"): "not_found: no row with id 'nobody'",
    ("delete", "/notes", "id=nobody"): "not_found: no row with id 'nobody'",
    ("post", "/nowhere", "n=1"): "unknown_path: no endpoint, page or file is at this path",
    ("post", "/notes", "n"): "'n' is not of the form KEY=VALUE",
    ("post", "/notes", "{n"): "not a JSON object",
    ("tail", "/nowhere"): "unknown_path: no endpoint, page or file is at this path",
    ("tail", "/notes?n=x"): "bad_filter: n: 'x' is not a whole number",
    ("tail", "/notes", "--since", "yesterday"): "bad_position: _since: 'yesterday'",
}
"""Arguments of a command, with the path of the URL → the error that it prints."""


def test_a_refusal_by_the_hub_is_one_line_and_status_1(hub: Hub) -> None:
    commands = [(name, hub.url + path, *rest) for name, path, *rest in REFUSALS]
    for said, done in zip(REFUSALS.values(), run_all(*commands), strict=True):
        assert said in refused(1, done)


def test_a_url_that_nothing_answers_is_one_line_and_status_1() -> None:
    nobody = "http://127.0.0.1:1/notes"
    done = run_all(("tail", nobody), ("post", nobody, "n=1"), ("tail", "x"), ("post", "x", "n=1"))
    for each in done[:2]:
        assert refused(1, each).startswith(f"{nobody} does not answer: is the hub running, and on")
    for each in done[2:]:
        assert refused(1, each).startswith("x is not the URL of an endpoint, which begins with ht")
    wrong = ("http://[x", "127.0.0.1:8080/notes")
    for url, each in zip(wrong, run_all(*(("tail", url) for url in wrong)), strict=True):
        assert refused(1, each).startswith(f"{url} is not the URL of an endpoint, which begins")


# --- serve


def test_ctrl_c_ends_a_hub_with_0(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    assert hub.process is not None
    hub.process.send_signal(signal.SIGINT)
    assert hub.process.wait(DEADLINE_SECONDS) == 0
    assert all(line.startswith("{") for line in hub.stderr().splitlines()), hub.stderr()


def test_serve_names_what_it_cannot_use(hub_factory: HubFactory, tmp_path: Path) -> None:
    hub = hub_factory(GOOD)
    port = hub.url.rpartition(":")[2]
    file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
    assert hub.process is not None
    serve = ("serve", file, "--data")
    held, port_used, no_host = run_all(
        (*serve, data, "--port", "0"),
        (*serve, tmp_path / "one", "--port", port),
        (*serve, tmp_path / "two", "--port", "0", "--host", "no.invalid"),
    )
    in_use = f"the data folder {data} is in use by process {hub.process.pid}"
    assert refused(2, held) == in_use
    assert refused(2, port_used).startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert refused(2, no_host).startswith("cannot listen on no.invalid:0: ")
    assert rows(f"{hub.url}/notes") == []


def test_a_data_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD + "server: {port: 0}\n")
    impossible = file / "data"  # root may write into any folder, but not into a file
    commands = [(*words, file) for words in (["serve"], ["verify"], ["alerts", "list"])]
    for done in run_all(*((*words, "--data", impossible) for words in commands)):
        assert str(impossible) in refused(2, done)


def test_a_projection_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    broken, impossible = tmp_path / "broken.duckdb", tmp_path / "broken.duckdb" / "tables.duckdb"
    broken.write_text("this is no database")
    commands = []
    for number, place in enumerate((broken, impossible)):
        file = written(tmp_path, f"projection: {{path: '{place}'}}\n{GOOD}", f"{number}.yaml")
        commands.append(("serve", file, "--port", "0", "--data", tmp_path / str(number)))
    for place, done in zip((broken, impossible), run_all(*commands), strict=True):
        assert refused(2, done).startswith(f"{place}: ")


def test_the_environment_overrides_the_file_and_flags_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTHUB_HOST", "127.0.0.2")
    monkeypatch.setenv("EVENTHUB_PORT", "1")
    monkeypatch.setenv("EVENTHUB_DATA", str(tmp_path / "nowhere"))
    file = written(tmp_path, f"server: {{host: 127.0.0.3}}\n{GOOD}")
    hub = Hub(file, tmp_path, [])
    try:
        hub.start()
        assert hub.url.startswith("http://127.0.0.2:")
        assert not (tmp_path / "nowhere").exists()
    finally:
        hub.kill()
    shown = output("config", file)
    assert f"data: {tmp_path / 'nowhere'}\n" in shown


def test_the_command_and_the_module_are_the_same() -> None:
    script = Path(sys.executable).with_name("eventhub")
    said = [
        subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        for command in (EVENTHUB, (script,))
    ]
    assert said[0] == said[1]
    assert said[0].startswith("eventhub, version ")
