"""Projecting measured: history and fold, a rebuild, a start with a million rows, and the past."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.child import Child
from tests.bench.dialects import MESSAGE_BYTES
from tests.bench.figures import Figure, Limit, median_of
from tests.bench.servers import hub_of, scratch

EVENTS = 1_000_000
ROWS = 200_000
READS = 30
SUSTAINED = 500_000
FILLERS = 1_000
REPETITIONS = 3
REBUILD_SECONDS = 300.0


def projector(scale: float) -> Iterator[Figure]:
    """Events a second into history and current table, beside DuckDB's bulk append."""
    result = _tables("project", int(SUSTAINED * scale))
    limit = _tables("append", int(SUSTAINED * scale))
    yield Figure(
        what="projector, sustained, history and fold",
        value=result["count"] / result["seconds"],
        unit="events a second",
        mark=150_000,
        limit=Limit(name="DuckDB's bulk append", value=limit["count"] / limit["seconds"]),
        more=f"{result['count'] / result['cpu']:,.0f} per CPU second;"
        f" 60 % PUT, 35 % POST, 5 % DELETE of {result['count']:,}",
    )


def million(scale: float) -> Iterator[Figure]:
    """A full rebuild of a million events, then starts with a million rows."""
    events = int(EVENTS * scale)
    with scratch() as folder:
        filled = fill(folder, events)
        took = rebuild(folder)
        limit = _tables("append", events)
        yield Figure(
            what=f"full rebuild of {EVENTS:,} events",
            value=took,
            unit="s",
            mark=20.0,
            is_ceiling=True,
            limit=Limit(name="DuckDB's bulk append, seconds", value=limit["seconds"]),
            more=f"{events / took:,.0f} events a second; the log was filled with"
            f" {filled:,.0f} a second by {FILLERS:,} appenders",
        )
        stopped, killed, at_once = _starts(folder)
        yield Figure(
            what=f"start to ready with {EVENTS:,} rows in log and projection",
            value=stopped,
            unit="s",
            mark=3.0,
            is_ceiling=True,
            more=f"after a stop; {at_once:.1f} s, and {killed:.1f} s after a kill, if all were"
            " written in the last ten minutes, for the server reads their write ids again",
        )


def past(scale: float) -> Iterator[Figure]:
    """A past state, and one row's history, in CPU milliseconds."""
    events, rows = int(EVENTS * scale), max(1, int(ROWS * scale))
    with scratch() as folder, Child("past_work", folder=str(folder)) as child:
        result = child.ask(events=events, rows=rows, size=MESSAGE_BYTES, repeat=READS)
    for name, what, mark in (
        ("state", "the first 100 rows of a past state", 150.0),
        ("history", "the history of one row", 20.0),
    ):
        found = result[name]
        yield Figure(
            what=f"{what}, {EVENTS:,} events and {ROWS:,} rows",
            value=found["cpu"],
            unit="ms of CPU",
            mark=mark,
            is_ceiling=True,
            more=f"{found['wall']:.1f} ms from the question to the answer, of {found['found']:.0f}",
        )


def fill(folder: Path, events: int, size: int = MESSAGE_BYTES) -> float:
    """Fill the log of a folder with new rows; return how many a second."""
    with Child("log_work", work="fill", folder=str(folder)) as child:
        result = child.ask(appenders=min(FILLERS, events), events=events, size=size)
    return float(result["count"] / result["seconds"])


def rebuild(folder: Path) -> float:
    """Return the seconds of `eventhub rebuild` from its start to its end."""
    command = [sys.executable, "-m", "eventhub", "rebuild", str(folder / "eventhub.yaml")]
    began = time.perf_counter()
    subprocess.run(
        [*command, "--data", str(folder / "data")],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        timeout=REBUILD_SECONDS,
    )
    return time.perf_counter() - began


def _starts(folder: Path) -> tuple[float, float, float]:
    """Return the seconds of a start after a stop (median), after a kill, and soon after writing."""
    hub = hub_of(folder)

    def started() -> float:
        began = time.perf_counter()
        hub.start()
        return time.perf_counter() - began

    def start_and_stop() -> float:
        seconds = started()
        hub.stop()
        return seconds

    def aged() -> float:
        age(folder)
        return start_and_stop()

    try:
        at_once = start_and_stop()
        stopped = median_of(REPETITIONS, aged)
        hub.start()
        hub.kill()
        return stopped, started(), at_once
    finally:
        hub.kill()


def age(folder: Path) -> None:
    """Make the log of a folder as old as one whose writes the server does not remember."""
    with Child("log_work", work="age", folder=str(folder)) as child:
        child.ask()


def _tables(work: str, events: int) -> dict[str, float]:
    with scratch() as folder, Child("table_work", work=work, folder=str(folder)) as child:
        result: dict[str, float] = child.ask(events=events, size=MESSAGE_BYTES)
    return result
