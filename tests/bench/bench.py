"""Bench: what the hub does, what it costs, and how near that is to the limits of the machine.

    make bench                                   everything, as a table
    .venv/bin/python tests/bench/bench.py NAME...   only these
    ... --json            as JSON
    ... --docs            as a table, which docs/performance.md takes over
    ... --compare OLD.json   and say which ratios fell since a run that was saved with --json
    ... --runs 3          each three times, which makes a comparison finer
    ... --scale 0.02      with so much of everything, to see that it runs
    ... fair --only '1 MB'   of fair, strangers or cluster, the cases with this in their name
    ... growth            how the cost grows, as plots in docs/images

The limits are measured in the same run, for a virtual machine is not the same from day to day.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[0] = str(ROOT)  # this folder's names are not top-level ones

from eventhub import logs  # noqa: E402 - the path is set
from tests.bench import (  # noqa: E402 - the path is set
    analysts,
    browsers,
    bulk,
    compare,
    console,
    fair,
    fanout,
    idle_gateway,
    many_tables,
    mirroring,
    parts,
    projecting,
    reading,
    replicas,
    small,
    starting,
    strangers,
    streams,
    writing,
)
from tests.bench.figures import HEAD, Figure, summary, with_table  # noqa: E402
from tests.bench.machine import described  # noqa: E402
from tests.bench.servers import scratch  # noqa: E402

MEASUREMENTS: dict[str, Callable[..., Iterator[Figure]]] = {
    "deliveries": fanout.deliveries,
    "writes": writing.writes,
    "appends": writing.appends,
    "bulk": bulk.bulk,
    "small": small.small,
    "latency": fanout.latency,
    "replay": reading.replay,
    "topics": fanout.topics,
    "wire": browsers.wire,
    "idle": reading.idle,
    "slow": reading.slow,
    "projector": projecting.projector,
    "million": projecting.million,
    "past": projecting.past,
    "starting": starting.starting,
    "fair": fair.fair,
    "strangers": strangers.strangers,
    "mirror": mirroring.mirror,
    "analysts": analysts.analysts,
    "console": console.console,
    "tables": many_tables.tables,
    "gateway": idle_gateway.idle_gateway,
    "cluster": replicas.replicas,
    "streams": streams.streams,
    "parts": parts.parts,
}
WITH_CASES = {"fair", "strangers", "cluster"}
"""Measurements of which some cases can be chosen."""
PAGE = ROOT / "docs" / "performance.md"


def main() -> None:
    """Measure what the arguments name."""
    arguments = _arguments()
    if arguments.names == ["growth"]:
        from tests.bench import growth  # needs matplotlib, which nothing else does

        growth.draw(arguments.scale, ROOT / "docs" / "images")
        return
    logs.configure("warning", "auto")
    with scratch() as folder:
        machine = {**described(folder), "scale": arguments.scale}
    report = _say_nothing if arguments.json else _print_row
    old = json.loads(arguments.compare.read_text())["figures"] if arguments.compare else None
    names = [*(arguments.names or MEASUREMENTS)] * arguments.runs
    chosen = {"only": arguments.only} if arguments.only else {}
    figures = list(_measured(names, arguments.scale, chosen, report))
    above = summary(machine, [each.is_reached for each in figures])
    if arguments.json:
        print(json.dumps({**machine, "figures": [each.as_json() for each in figures]}, indent=2))
    else:
        print(f"\n{above}")
    if arguments.docs:
        table = "\n".join([HEAD, *(each.row() for each in figures)])
        PAGE.write_text(with_table(PAGE.read_text(), f"{above}\n\n{table}\n"))
    if old is not None:
        compared, unmatched = compare.changes(old, [each.as_json() for each in figures])
        print(compare.report(compared, unmatched))
        sys.exit(any(each.verdict == "fell" for each in compared))


def _measured(
    names: Iterable[str], scale: float, chosen: dict[str, str], report: Callable[[str], None]
) -> Iterator[Figure]:
    """Measure one after the other, telling each row of the table as soon as it is known."""
    report(HEAD)
    for name in names:
        for figure in MEASUREMENTS[name](scale, **chosen):
            report(figure.row())
            yield figure


def _print_row(row: str) -> None:
    print(row, flush=True)


def _say_nothing(_: str) -> None:
    """JSON is printed as a whole."""


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description="Measure EventHub and its limits.")
    known = ", ".join([*MEASUREMENTS, "or growth alone"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{known} [all but growth]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--docs", action="store_true", help="write the table to the documentation")
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="say which ratios fell")
    parser.add_argument("--runs", type=int, default=1, help="how often each is measured [1]")
    parser.add_argument("--scale", type=float, default=1.0, help="share of every size [1]")
    parser.add_argument("--only", metavar="TEXT", help="cases of these three with this name")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - MEASUREMENTS.keys()
    if unknown and arguments.names != ["growth"]:
        parser.error(f"cannot measure {', '.join(sorted(unknown))}: there are {known}")
    if arguments.only and not (arguments.names and set(arguments.names) <= WITH_CASES):
        parser.error(f"--only is for {', '.join(sorted(WITH_CASES))}")
    if arguments.docs and (arguments.names or arguments.scale != 1 or arguments.runs != 1):
        parser.error("--docs takes everything, once, at full size")
    if arguments.compare and arguments.json:
        parser.error("--compare prints no JSON")
    return arguments


if __name__ == "__main__":
    main()
