"""Figures: what was measured, beside its mark and the limit of the same run; a table, and JSON."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

BEGIN, END = "<!-- bench -->\n", "<!-- end of bench -->\n"
"""Between these a page holds the table."""
HEAD = (
    "| what | value | mark | reached | limit in this run | value / limit | beside it |\n"
    "| --- | ---: | ---: | --- | --- | ---: | --- |"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What the machine, or the least program for the job, does in the same run."""

    name: str
    value: float


class Rate(NamedTuple):
    """The median of some repetitions, and what else the last of them told."""

    value: float
    more: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of the table."""

    what: str
    value: float
    unit: str
    """After the number; empty for a plain one."""
    mark: float | None = None
    is_ceiling: bool = False
    """The mark is the most that it may be: of seconds and bytes."""
    of_limit: bool = False
    """The mark is a multiple of the limit."""
    limit: Limit | None = None
    more: str = ""

    @property
    def is_reached(self) -> bool | None:
        """Tell whether the value is on the right side of the mark; None without a mark."""
        target = self._target
        if target is None:
            return None
        return self.value <= target if self.is_ceiling else self.value >= target

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of the limit."""
        return self.value / self.limit.value if self.limit and self.limit.value else None

    @property
    def _target(self) -> float | None:
        if self.mark is None or not self.of_limit:
            return self.mark
        return None if self.limit is None else self.mark * self.limit.value

    def row(self) -> str:
        """Return the row of the table."""
        cells = (
            self.what,
            f"{number(self.value)} {self.unit}".strip(),
            self._mark(),
            {True: "yes", False: "no", None: ""}[self.is_reached],
            f"{self.limit.name}: {number(self.limit.value)}" if self.limit else "",
            "" if self.ratio is None else number(self.ratio),
            self.more,
        )
        return f"| {' | '.join(cells)} |"

    def as_json(self) -> dict[str, Any]:
        """Return the figure as JSON has it."""
        return asdict(self) | {"reached": self.is_reached, "ratio": self.ratio}

    def _mark(self) -> str:
        if self.mark is None:
            return ""
        return f"{number(self.mark)} times the limit" if self.of_limit else number(self.mark)


def number(value: float) -> str:
    """Return a number with about three digits that mean something."""
    if abs(value) >= 1000:
        digits = 10 ** max(0, len(str(int(abs(value)))) - 3)
        return f"{round(value / digits) * digits:,}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def cores(name: str, cpu: float, seconds: float) -> str:
    """Return how much of a core something has used."""
    return f"{name} {cpu / seconds:.0%} of a core"


def median_of(repetitions: int, measure: Callable[[], float]) -> float:
    """Return the median of some measurements."""
    return statistics.median(measure() for _ in range(repetitions))


def summary(machine: dict[str, Any], marks: Iterable[bool | None]) -> str:
    """Return the lines above a table."""
    reached = [mark for mark in marks if mark is not None]
    facts = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in machine.items())
    return f"{facts}.\n\n{sum(reached)} of {len(reached)} marks reached."


def with_table(page: str, table: str) -> str:
    """Return a page with what stands between its markers replaced.

    Raises:
        ValueError: it has no such markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the page has no {BEGIN.strip()} ... {END.strip()}")
    return f"{before}{begin}\n{table}\n{end}{after}"
