"""A ratio fell if it is worse than those of older runs by more than runs differ anyway."""

from typing import Any

import pytest

from tests.bench.compare import changes, report
from tests.bench.figures import Figure, Limit


def figures(*ratios: float, **more: Any) -> list[dict[str, Any]]:
    """Return one figure in several runs, on machines of different speed."""
    found = []
    for speed, ratio in enumerate(ratios, 1):
        limit = Limit(name="limit", value=100.0 * speed)
        figure = Figure(what="x", value=ratio * limit.value, unit="", limit=limit, **more)
        found.append(figure.as_json())
    return found


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ([0.6], [0.5], "same"),
        ([0.6], [0.4], "fell"),
        ([0.4], [0.6], "rose"),
        ([0.5, 0.6, 0.7], [0.3, 0.4, 0.44], "fell"),
        ([0.5, 0.6, 0.7], [0.3, 0.4, 0.48], "same"),
        ([0.5, 0.6, 0.7], [0.44], "same"),
        ([0.3, 0.4, 0.44], [0.5, 0.6, 0.7], "rose"),
    ],
)
def test_the_best_new_run_must_be_worse_than_the_worst_old_one(
    old: list[float], new: list[float], verdict: str
) -> None:
    [change], unmatched = changes(figures(*old), figures(*new))
    assert (change.verdict, unmatched) == (verdict, [])


def test_of_a_ceiling_more_is_worse() -> None:
    [change], _ = changes(figures(2.0, is_ceiling=True), figures(3.0, is_ceiling=True))
    assert change.verdict == "fell"
    [change], _ = changes(figures(3.0, is_ceiling=True), figures(2.0, is_ceiling=True))
    assert change.verdict == "rose"


def test_a_value_in_times_is_a_ratio_and_other_values_without_a_limit_are_not_compared() -> None:
    plain = Figure(what="seconds", value=9.0, unit="s").as_json()
    times = Figure(what="cost", value=1.0, unit="times", is_ceiling=True)
    dearer = Figure(what="cost", value=2.0, unit="times", is_ceiling=True)
    [change], unmatched = changes([plain, times.as_json()], [dearer.as_json()])
    assert (change.what, change.verdict, unmatched) == ("cost", "fell", [])


def test_a_report_begins_with_what_fell_and_names_what_is_missing() -> None:
    old = [*figures(0.6), Figure(what="gone", value=1.0, unit="times").as_json()]
    text = report(*changes(old, figures(0.3)))
    assert text.splitlines() == [
        "fell: x: 0.6 to 0.6 → 0.3 to 0.3 (noise 35%)",
        "in one run only: gone",
        "1 of 1 ratios fell by more than noise",
    ]
