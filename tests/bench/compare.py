"""Compare: which figures have become worse than in an older run, by more than runs differ anyway.

Compared is the ratio of a value to the limit of its own run, because values alone depend on the
machine and its day. A figure without a limit counts if its unit is `times`: it is a ratio already.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

FEW_RUNS_NOISE: Final = 0.35
"""How much single runs of one program differ: docs/performance.md has the ranges of three days."""
NOISE: Final = 0.1
"""The same, beyond the range of `ENOUGH` runs."""
ENOUGH: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One figure in an older and a newer run, or several of each."""

    what: str
    old: Sequence[float]
    """Ratios, at least one."""
    new: Sequence[float]
    is_ceiling: bool
    """Less is better."""

    @property
    def noise(self) -> float:
        """The share by which the ratios may differ without a reason."""
        return NOISE if min(len(self.old), len(self.new)) >= ENOUGH else FEW_RUNS_NOISE

    @property
    def verdict(self) -> str:
        """`fell` if the best new run is worse than the worst old one, `rose`, or `same`."""
        worse, better = (self.new, self.old) if self.is_ceiling else (self.old, self.new)
        # `worse` must be clearly above `better` to have fallen, whichever direction is good.
        if min(worse) > max(better) * (1 + self.noise):
            return "fell"
        return "rose" if min(better) > max(worse) * (1 + self.noise) else "same"

    def line(self) -> str:
        """Return a line of the report."""
        spans = [f"{min(each):.3g} to {max(each):.3g}" for each in (self.old, self.new)]
        return f"{self.verdict}: {self.what}: {spans[0]} → {spans[1]} (noise {self.noise:.0%})"


def changes(
    old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]
) -> tuple[list[Change], list[str]]:
    """Compare figures as JSON has them; a figure occurs as often as it was measured.

    Returns:
        The changes of the figures that both have, and the names of those that only one has.
    """
    before, after = _ratios(old), _ratios(new)
    both = [
        Change(what=what, old=before[what][0], new=ratios, is_ceiling=is_ceiling)
        for what, (ratios, is_ceiling) in after.items()
        if what in before
    ]
    return both, sorted(before.keys() ^ after.keys())


def report(compared: Sequence[Change], unmatched: Sequence[str]) -> str:
    """Return what fell first, then the rest."""
    order = {"fell": 0, "rose": 1, "same": 2}
    lines = [each.line() for each in sorted(compared, key=lambda each: order[each.verdict])]
    lines += [f"in one run only: {what}" for what in unmatched]
    count = sum(each.verdict == "fell" for each in compared)
    return "\n".join([*lines, f"{count} of {len(compared)} ratios fell by more than noise"])


def _ratios(figures: Iterable[Mapping[str, Any]]) -> dict[str, tuple[list[float], bool]]:
    found: dict[str, tuple[list[float], bool]] = defaultdict(lambda: ([], False))
    for figure in figures:
        ratio = figure["value"] if figure["unit"] == "times" else figure["ratio"]
        if ratio is not None:
            ratios, _ = found[figure["what"]]
            found[figure["what"]] = ([*ratios, ratio], figure["is_ceiling"])
    return dict(found)
