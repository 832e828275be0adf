"""Each command does what it says, prints for people, and fails in one clear line with its code."""

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import duckdb
import pytest

from tests.e2e.hub import Hub, HubFactory
from tests.integration.alerts.sink import Sink

DEADLINE_SECONDS = 20.0
EVENTHUB = (sys.executable, "-m", "eventhub")
GOOD = """
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {body: TEXT, n: INTEGER}
"""
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


def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*EVENTHUB, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        check=False,
    )


def run_all(*commands: Sequence[object]) -> list[subprocess.CompletedProcess[str]]:
    """Run commands that have nothing to do with each other side by side; most of it is start-up."""
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(lambda words: run(*words), commands))


def output(*words: object, env: dict[str, str] | None = None) -> str:
    """Run a command that must succeed, and say nothing on standard error."""
    done = run(*words, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refusal(code: int, *words: object, env: dict[str, str] | None = None) -> str:
    """Run a command that must fail with a code and one line for people; log lines do not count."""
    return refused(code, run(*words, env=env))


def refused(code: int, done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == code, done
    assert done.stdout == ""
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    return line.removeprefix("eventhub: ")


def written(folder: Path, text: str, name: str = "eventhub.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


class Tail:
    """A running `eventhub tail`: its frames, one by one."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [*EVENTHUB, "tail", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def frames(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many lines."""
        return [json.loads(self._lines.get(timeout=DEADLINE_SECONDS)) for _ in range(count)]

    def interrupt(self) -> tuple[int, int, str]:
        """Press Ctrl-C: the exit code, how many more frames came, and what it said."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(DEADLINE_SECONDS)
        self._reader.join(DEADLINE_SECONDS)
        assert self.process.stderr is not None
        return code, self._lines.qsize(), self.process.stderr.read()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self._reader.join(DEADLINE_SECONDS)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()


@contextmanager
def tail(*words: str) -> Iterator[Tail]:
    started = Tail(*words)
    try:
        yield started
    finally:
        started.close()


def post(url: str, **message: object) -> dict[str, Any]:
    with urlopen(Request(url, json.dumps(message).encode(), method="POST")) as answer:
        return dict(json.load(answer))


def rows(url: str) -> list[dict[str, Any]]:
    with urlopen(url) as answer:
        return list(json.load(answer))


# --- check and config


def test_check_lists_the_endpoints_of_a_good_file(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    assert output("check", file).splitlines() == ["/notes  table notes", f"{file} is fine"]


def test_check_names_file_and_line_of_every_mistake(tmp_path: Path) -> None:
    file = written(tmp_path, THREE_MISTAKES)
    done = run("check", file)
    assert (done.returncode, done.stdout) == (2, "")
    lines = sorted(done.stderr.splitlines())
    assert [line.split(": ")[0] for line in lines] == [f"{file}:{line}" for line in (7, 8, 9)]
    for line, said in zip(lines, ("'TEXTT'", "never closed", "'alert'"), strict=True):
        assert said in line


def test_config_shows_what_is_in_force_and_no_secret(tmp_path: Path) -> None:
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
        assert refused(2, done).startswith(f"{file}: cannot be read")


# --- post, put, delete


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for the tests that only write."""
    folder: Path = tmp_path_factory.mktemp("hub")
    hub = Hub(written(folder, GOOD), folder, [])
    hub.start()
    yield hub
    hub.kill()


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
    ("put", "/notes", "id=nobody", "n=1"): "not_found: there is no nobody",
    ("delete", "/notes", "id=nobody"): "not_found: there is no nobody",
    ("post", "/nowhere", "n=1"): "is not an EventHub endpoint",
    ("post", "/notes", "n"): "'n' is not of the form KEY=VALUE",
    ("post", "/notes", "{n"): "not a JSON object",
    ("tail", "/nowhere"): "is not an EventHub endpoint (404)",
    ("tail", "/notes?n=x"): "bad_filter: n: 'x' is not a whole number",
    ("tail", "/notes", "--since", "yesterday"): "bad_position: _since: 'yesterday'",
}
"""Words of a command, the path for the URL, to what it says."""


def test_what_the_hub_refuses_is_one_line_and_status_1(hub: Hub) -> None:
    commands = [(name, hub.url + path, *rest) for name, path, *rest in REFUSALS]
    for said, done in zip(REFUSALS.values(), run_all(*commands), strict=True):
        assert said in refused(1, done)


def test_a_url_that_nothing_answers_is_one_line_and_status_1() -> None:
    nobody = "http://127.0.0.1:1/notes"
    done = run_all(("tail", nobody), ("post", nobody, "n=1"), ("tail", "x"), ("post", "x", "n=1"))
    for each in done[:2]:
        assert f"{nobody} does not answer" in refused(1, each)
    for each in done[2:]:
        assert refused(1, each) == "x is not the URL of an endpoint"


# --- tail


def test_a_tail_survives_restarts_without_loss_or_repetition(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    url = f"{hub.url}/notes"
    post(url, n=0)
    with tail(url) as rows_tail, tail(url, "--log") as log_tail:
        tails = (rows_tail, log_tail)
        told = [each.frames(1) for each in tails]
        for number, end in enumerate((hub.stop, hub.kill), 1):
            post(url, n=2 * number - 1)
            for each, frames in zip(tails, told, strict=True):
                frames += each.frames(1)
            end()
            hub.start()
            post(url, n=2 * number)
            for each, frames in zip(tails, told, strict=True):
                frames += each.frames(1)
        assert [frame["n"] for frame in told[0]] == [0, 1, 2, 3, 4]
        assert [frame["row"]["n"] for frame in told[1]] == [0, 1, 2, 3, 4]
        assert [each.interrupt() for each in tails] == [(130, 0, "")] * 2


def test_a_tail_begins_where_it_is_told_to(hub: Hub) -> None:
    url = f"{hub.url}/notes?body=since"
    receipts = [post(url, body="since", n=number) for number in range(4)]
    with tail(url, "--since", "-2") as last, tail(url, "--since", "now") as now:
        assert [frame["n"] for frame in last.frames(2)] == [2, 3]
        with tail(url, "--since", "2020-01-01T00:00:00+05:30", "--log") as all_events:
            events = all_events.frames(4)
            assert [event["_seq"] for event in events] == [each["_seq"] for each in receipts]
            assert events[0]["was"] is None
        post(url, body="since", n=4)
        assert now.frames(1)[0]["n"] == 4


def test_ctrl_c_ends_a_hub_with_0(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    assert hub.process is not None
    hub.process.send_signal(signal.SIGINT)
    assert hub.process.wait(DEADLINE_SECONDS) == 0
    assert all(line.startswith("{") for line in hub.stderr().splitlines()), hub.stderr()


# --- rebuild and verify


def filled(hub: Hub) -> None:
    url = f"{hub.url}/notes"
    for number in range(20):
        post(url, id=str(number), n=number)
    for number in range(0, 20, 2):
        post(url, _method="PUT", id=str(number), body="even")
    post(url, _method="DELETE", id="7")


def test_verify_and_rebuild_agree_with_the_log(hub_factory: HubFactory) -> None:
    hub = hub_factory(GOOD)
    filled(hub)
    before = rows(f"{hub.url}/notes")
    file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
    for done in run_all(*((command, file, "--data", data) for command in ("verify", "rebuild"))):
        assert refused(2, done).endswith("stop the hub first")
    hub.stop()
    assert "notes: equal (19 rows, 31 events)\n" in run("verify", file, "--data", data).stdout
    change_by_hand(data / "projection.duckdb", "UPDATE notes SET n = 99 WHERE id = '3'")
    found = run("verify", file, "--data", data)
    assert found.returncode == 1
    assert "1 rows differ" in found.stdout
    assert "the table has other values" in found.stdout
    assert "notes: rebuilt from 31 events\n" in run("rebuild", file, "--data", data).stdout
    assert run("verify", file, "--data", data).returncode == 0
    change_by_hand(data / "projection.duckdb", "DELETE FROM notes_history WHERE id = '5'")
    found = run("verify", file, "--data", data)
    assert (found.returncode, "history has 30 of 31 events" in found.stdout) == (1, True)
    run("rebuild", file, "--data", data)
    hub.start()
    assert rows(f"{hub.url}/notes") == before


def change_by_hand(path: Path, sql: str) -> None:
    with duckdb.connect(path) as connection:
        connection.execute(sql)


# --- alerts


def with_alerts(port: int) -> str:
    alert = "      alert: {to: ann@example.org, subject: '{{ body }}'}\n"
    email = f"email: {{sink: {{host: 127.0.0.1, port: {port}, email: hub@example.org}}}}\n"
    return email + GOOD + alert


@contextmanager
def served_sink() -> Iterator[Sink]:
    """An SMTP server in a thread of its own: these tests wait for processes."""
    loop, started, done = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    sinks: list[Sink] = []

    async def serve() -> None:
        async with Sink.running() as sink:
            sinks.append(sink)
            started.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(DEADLINE_SECONDS)
    try:
        yield sinks[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(DEADLINE_SECONDS)
        loop.close()


@pytest.mark.parametrize("hub_runs", [True, False])
def test_dead_letters_are_listed_and_sent_again(hub_factory: HubFactory, hub_runs: bool) -> None:
    with served_sink() as sink:
        sink.answers = ["554 no"]
        hub = hub_factory(with_alerts(sink.port))
        file, data = hub.folder / "eventhub.yaml", hub.folder / "data"
        post(f"{hub.url}/notes", body="hello")
        until_logged(hub, "alert_dead")
        if not hub_runs:
            hub.stop()
        listed = run("alerts", "list", file, "--data", data)
        assert listed.returncode == 0
        letter, count = listed.stdout.splitlines()
        assert count == "1 dead letters"
        assert letter.endswith("notes  1  ann@example.org  'hello'  554 no")
        sink.answers = ["554 still no"]
        refused = run("alerts", "retry", file, "--data", data)
        assert (refused.returncode, refused.stdout.splitlines()[-1]) == (1, "0 sent, 1 still dead")
        sent = run("alerts", "retry", file, "--data", data)
        assert (sent.returncode, sent.stdout.splitlines()[-1]) == (0, "1 sent, 0 still dead")
        assert run("alerts", "list", file, "--data", data).stdout == "0 dead letters\n"
        assert [taken.mail["Subject"] for taken in sink.taken] == ["hello"]


def test_alerts_can_be_tried_out(tmp_path: Path) -> None:
    with served_sink() as sink:
        file = written(tmp_path, with_alerts(sink.port))
        assert "sent to bob@example.org" in output(
            "alerts", "test", file, "--to", "bob@example.org"
        )
        assert sink.taken[0].recipients == ["bob@example.org"]
        sink.answers = ["554 no"]
        tried = run("alerts", "test", file)
        assert (tried.returncode, tried.stdout.strip().endswith("554 no")) == (1, True)
    assert output("alerts", "test", written(tmp_path, GOOD)) == "no endpoint has an alert\n"


def until_logged(hub: Hub, event: str) -> None:
    deadline = threading.Event()
    for _ in range(int(DEADLINE_SECONDS / 0.02)):
        if event in hub.stderr():
            return
        deadline.wait(0.02)
    pytest.fail(f"{event} was never logged")


# --- serve


def test_serve_says_what_it_cannot_use(hub_factory: HubFactory, tmp_path: Path) -> None:
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


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    impossible = file / "data"  # root may write into any folder, but not into a file
    commands = [(*words, file) for words in (["serve"], ["verify"], ["alerts", "list"])]
    for done in run_all(*((*words, "--data", impossible) for words in commands)):
        assert str(impossible) in refused(2, done)


def test_a_projection_that_cannot_be_made_is_named(tmp_path: Path) -> None:
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
