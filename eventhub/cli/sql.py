"""SQL: a query of the tables, or a prompt for queries."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from eventhub.cli.loading import DATA, FILE, load_config
from eventhub.cli.progress import progress_bar
from eventhub.cli.running import run
from eventhub.config import Config
from eventhub.errors import EventHubError, Misconfigured, Rejected
from eventhub.terminal import printable

if TYPE_CHECKING:
    from eventhub.queries import Answer, Queries

FORMATS: Final = ("table", "json", "ndjson", "csv", "arrow", "parquet")
SUFFIXES: Final = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
    ".arrow": "arrow",
    ".parquet": "parquet",
}
"""Suffix of `--output` → format."""
SHOWN_ROWS: Final = 200
"""Of a table; other formats have all rows."""
LEAST_WIDTH: Final = 4
"""Of a column of a table, however many there are."""
HISTORY: Final = "sql_history"
"""File in the data folder: what was typed at the prompt."""
HISTORY_LINES: Final = 1000
PIECE_BYTES: Final = 1 << 20


@click.command("sql")
@FILE
@click.argument("statement", required=False)
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), help="[by the suffix of --output, or table]"
)
@click.option("--output", type=click.Path(path_type=Path), help="The file to write.")
@click.option(
    "--param", multiple=True, metavar="NAME=VALUE", help="The value of $NAME; repeatable."
)
@DATA
def query(
    file: Path,
    statement: str | None,
    format_: str | None,
    output: Path | None,
    param: tuple[str, ...],
    data: Path | None,
) -> None:
    """Query the tables of FILE with SQL.

    Without STATEMENT, it is read from standard input; a terminal prompts for several. A running
    hub with a SQLHandler answers itself. Otherwise all tables are copied first.
    """
    config = load_config(file, data=data)
    format_ = format_ or SUFFIXES.get(output.suffix if output else "", "table")
    if format_ in ("arrow", "parquet") and output is None and sys.stdout.isatty():
        raise Misconfigured(f"{format_} is not for a terminal: give --output FILE")
    parameters = dict(map(_pair, param))
    if statement is None and not sys.stdin.isatty():
        statement = sys.stdin.read()
    if statement is None:
        run(_prompt(config))
    else:
        run(_query(config, statement, parameters, format_, output))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise Misconfigured(f"--param {text!r}: expected NAME=VALUE")
    return name, value


async def _query(
    config: Config,
    statement: str,
    parameters: Mapping[str, str],
    format_: str,
    output: Path | None,
) -> None:
    from eventhub.recording import recorded
    from eventhub.sql import open_queries

    async with (
        recorded(config, "queried", "command", sql=statement, parameters=dict(parameters)) as found,
        open_queries(config, progress_bar) as queries,
    ):
        found["rows"] = await _show(queries, statement, parameters, format_, output)


async def _show(
    queries: "Queries",
    statement: str,
    parameters: Mapping[str, str],
    format_: str,
    output: Path | None,
) -> int:
    """Ask, and print the answer or write it to a file; return the number of its rows."""
    from eventhub.queries import Question

    is_table = format_ == "table"
    question = Question(
        sql=statement,
        parameters=parameters,
        format="ndjson" if is_table else format_,  # type: ignore[arg-type] # of the choice
        rows=SHOWN_ROWS if is_table and output is None else None,
    )
    answer = await queries.ask(question, "command")
    with answer.file:
        if is_table:
            text = "".join(
                f"{line}\n" for line in _table(answer, shutil.get_terminal_size().columns)
            )
            _write(output, text.encode())
        else:
            _copy(answer, output)
    if answer.truncated:
        is_short = is_table and output is None and answer.rows == SHOWN_ROWS
        hint = "--format csv has more" if is_short else "the limits of the SQLHandler cut the rest"
        click.echo(f"eventhub: there are more rows than these {answer.rows}; {hint}", err=True)
    return answer.rows


def _write(output: Path | None, data: bytes) -> None:
    if output is None:
        click.echo(data.decode(), nl=False)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise Misconfigured(f"{output}: {error}") from error


def _copy(answer: "Answer", output: Path | None) -> None:
    """Copy the answer; to a terminal without what could control it."""
    try:
        with sys.stdout.buffer if output is None else output.open("wb") as target:
            if output is None and sys.stdout.isatty():
                for line in answer.file:
                    target.write(printable(line.decode().rstrip("\r\n")).encode() + b"\n")
            else:
                shutil.copyfileobj(answer.file, target, PIECE_BYTES)
    except BrokenPipeError:
        sys.stderr.close()  # as `| head` wants it: no traceback
    except OSError as error:
        raise Misconfigured(f"{output}: {error}") from error


# --- Tables for people ---------------------------------------------------------------------------


def _table(answer: "Answer", width: int) -> Iterator[str]:
    """Yield the lines of a table that fits into a width."""
    names = [name for name, _ in answer.columns]
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    rows = [[_cell(row[name]) for name in names] for row in map(decoder.decode, answer.file)]
    heads = [printable(name) for name in names]
    wanted = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    widths = _fitting(wanted, width - 2 * (len(names) - 1))
    yield "  ".join(map(_fit, heads, widths)).rstrip()
    yield "  ".join("─" * each for each in widths)
    for row in rows:
        yield "  ".join(map(_fit, row, widths)).rstrip()


def _cell(raw: msgspec.Raw) -> str:
    text = bytes(raw)
    if text == b"null":
        return "·"
    return printable(msgspec.json.decode(text) if text.startswith(b'"') else text.decode())


def _fitting(wanted: list[int], room: int) -> list[int]:
    """Narrow the widest columns until all fit, if they can."""
    widths = [max(each, 1) for each in wanted]
    while sum(widths) > room and max(widths) > LEAST_WIDTH:
        widest = max(range(len(widths)), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"


# --- The prompt ----------------------------------------------------------------------------------


async def _prompt(config: Config) -> None:
    """Read statements that end with `;`, until the end of input or `exit`."""
    import readline

    from eventhub.recording import recorded
    from eventhub.sql import open_queries

    history = config.data / HISTORY
    readline.set_history_length(HISTORY_LINES)
    if history.is_file():
        readline.read_history_file(history)
    async with open_queries(config, progress_bar) as queries:
        click.echo("One SELECT, ended by ; and `exit` to leave.", err=True)
        for statement in _statements():
            try:
                async with recorded(config, "queried", "command", sql=statement) as found:
                    found["rows"] = await _show(queries, statement, {}, "table", None)
            except EventHubError as error:
                click.echo(printable(error.message) if isinstance(error, Rejected) else str(error))
            readline.write_history_file(history)


def _statements() -> Iterator[str]:
    lines: list[str] = []
    while True:
        try:
            line = input("sql> " if not lines else "...> ")
        except EOFError:
            return
        if not lines and line.strip().rstrip(";").lower() in ("exit", "quit", r"\q"):
            return
        lines.append(line)
        if line.rstrip().endswith(";"):
            yield "\n".join(lines)
            lines = []
        elif not "".join(lines).strip():
            lines = []
