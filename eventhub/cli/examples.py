"""Examples: what the help of each command shows of its use."""

from collections.abc import Iterator
from typing import Final

import click

_FILE: Final = "eventhub.yaml"
_URL: Final = "http://127.0.0.1:8080/messages"
EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "eventhub": ("eventhub demo", f"eventhub serve {_FILE}", f"eventhub post {_URL} body=Hello"),
    "eventhub demo": ("eventhub demo", "eventhub demo ~/chat --port 0 --open"),
    "eventhub init": ("eventhub init", "eventhub init my-hub"),
    "eventhub serve": (
        f"eventhub serve {_FILE}",
        f"eventhub serve {_FILE} --host 0.0.0.0 --port 80 --data /var/lib/eventhub",
        f"eventhub serve {_FILE} --host unix:/run/eventhub/hub.sock",
        f"eventhub serve {_FILE} --role gateway --role alerts",
    ),
    "eventhub check": (f"eventhub check {_FILE}", f"eventhub check {_FILE} --strict --json"),
    "eventhub config": (
        f"eventhub config {_FILE}",
        "eventhub config --schema > eventhub.schema.json",
    ),
    "eventhub rehearse": (
        f"eventhub rehearse {_FILE} new.yaml",
        f"eventhub rehearse {_FILE} new.yaml --events 100000 --json",
    ),
    "eventhub backup": (f"eventhub backup {_FILE} hub.zip",),
    "eventhub restore": (
        f"eventhub restore {_FILE} hub.zip",
        f"eventhub restore {_FILE} hub.zip --keep-positions",
    ),
    "eventhub move": (
        f"eventhub move {_FILE} cluster.yaml",
        f"eventhub move {_FILE} cluster.yaml --data /var/lib/eventhub",
    ),
    "eventhub rebuild": (f"eventhub rebuild {_FILE}", f"eventhub rebuild {_FILE} --mirror"),
    "eventhub verify": (
        f"eventhub verify {_FILE}",
        f"eventhub verify {_FILE} --data /var/lib/eventhub --json",
    ),
    "eventhub history": (f"eventhub history {_FILE} messages m1",),
    "eventhub diff": (
        f"eventhub diff {_FILE} messages 120 140",
        f"eventhub diff {_FILE} messages 2026-01-01T12:00:00Z now --json",
    ),
    "eventhub revert": (f"eventhub revert {_FILE} messages m1 12 --if-seq 17",),
    "eventhub export": (
        f"eventhub export {_FILE} messages --to messages.parquet",
        f"eventhub export {_FILE} messages --where 'topic=Help&votes>=3' --to help.csv",
        f"eventhub export {_FILE} messages --events --to archive/messages",
    ),
    "eventhub snapshot": (f"eventhub snapshot {_FILE} tables.duckdb",),
    "eventhub import": (
        f"eventhub import {_FILE} messages old.csv --map body=text --dry-run",
        f"eventhub import {_FILE} messages postgresql://localhost/app --from notes",
    ),
    "eventhub sql": (
        "eventhub sql eventhub.yaml 'SELECT topic, count(*) FROM messages GROUP BY ALL'",
        "eventhub sql eventhub.yaml 'SELECT * FROM messages WHERE id = $id' --param id=m1",
    ),
    "eventhub nats-permissions": (
        f"eventhub nats-permissions {_FILE} > eventhub-users.conf",
        f"eventhub nats-permissions {_FILE} --json",
    ),
    "eventhub alerts": (f"eventhub alerts list {_FILE}",),
    "eventhub alerts list": (f"eventhub alerts list {_FILE}",),
    "eventhub alerts retry": (f"eventhub alerts retry {_FILE}",),
    "eventhub alerts test": (f"eventhub alerts test {_FILE} --to ann@example.org",),
    "eventhub alerts backtest": (
        f"eventhub alerts backtest {_FILE}",
        "eventhub alerts backtest edited.yaml --last 7d --endpoint chat",
    ),
    "eventhub password": ("eventhub password",),
    "eventhub sessions": (f"eventhub sessions {_FILE} list",),
    f"eventhub sessions {_FILE} list": (f"eventhub sessions {_FILE} list --user ann",),
    f"eventhub sessions {_FILE} end": (
        f"eventhub sessions {_FILE} end 2f7c1a90b3d84e65a1c0",
        f"eventhub sessions {_FILE} end --user ann",
    ),
    "eventhub token": (f"eventhub token {_FILE} list",),
    f"eventhub token {_FILE} create": (
        f"eventhub token {_FILE} create --user importer --scopes write --expires 90d",
        f"eventhub token {_FILE} create --user prometheus --scopes admin --note 'reads /metrics'",
    ),
    f"eventhub token {_FILE} list": (f"eventhub token {_FILE} list --json",),
    f"eventhub token {_FILE} revoke": (
        f"eventhub token {_FILE} revoke k3Xb7Qm2Za",
        f"eventhub token {_FILE} revoke --jti 8d1f6c --expires 30d",
    ),
    "eventhub post": (
        f"eventhub post {_URL} topic=Help body='Who can help?'",
        f'eventhub post {_URL} \'{{"body": "Hello", "votes": 3}}\' --key 2026-01-01/1',
    ),
    "eventhub put": (f"eventhub put {_URL} id=m1 body='Done'",),
    "eventhub delete": (f"eventhub delete {_URL} id=m1",),
    "eventhub tail": (
        f"eventhub tail '{_URL}?topic=Help'",
        f"eventhub tail {_URL} --log --since -10",
    ),
}
"""By the words of the command; those below one with a file have it among them."""


def add_examples(command: click.Command, words: str = "eventhub") -> None:
    """Add the examples of a command, and of all below it, to their help."""
    for name, each in commands(command, words):
        lines = "\n".join(f"  {example}" for example in EXAMPLES[name])
        each.epilog = f"\b\nExamples:\n{lines}"


def commands(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all below it, each with its words."""
    yield words, command
    if isinstance(command, click.Group):
        has_file = any(isinstance(each, click.Argument) for each in command.params)
        above = f"{words} {_FILE}" if has_file else words
        for name, each in command.commands.items():
            yield from commands(each, f"{above} {name}")
