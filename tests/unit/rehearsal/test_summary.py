"""A summary puts equal differences together, and keeps no more than it may."""

from eventhub.rehearsal.rehearsing import Difference
from eventhub.rehearsal.summary import EXAMPLES, Summary


def difference(kind: str = "converted", what: str = "n", after: object = 1) -> Difference:
    """Return a difference."""
    return Difference(
        kind=kind,  # type: ignore[arg-type]
        endpoint="notes",
        table="notes",
        sequence=1,
        time="",
        id="a",
        method="POST",
        what=what,
        before=None,
        after=after,
    )


def test_equal_differences_are_counted_with_some_examples() -> None:
    summary = Summary()
    for _ in range(EXAMPLES + 2):
        summary.add(difference())
    summary.add(difference("seen", "the row", True))
    summary.add(difference("seen", "the row", False))
    groups = summary.groups(["seen", "converted"])
    assert [(each.what, each.count, len(each.examples)) for each in groups] == [
        ("the row (new)", 1, 1),
        ("the row (no longer)", 1, 1),
        ("n", EXAMPLES + 2, EXAMPLES),
    ]
    assert summary.count == EXAMPLES + 4


def test_groups_above_the_most_are_only_counted() -> None:
    summary = Summary(most=2)
    for what in ("a", "b", "c", "a", "d"):
        summary.add(difference(what=what))
    assert [(each.what, each.count) for each in summary.groups(["converted"])] == [
        ("a", 2),
        ("b", 1),
    ]
    assert (summary.count, summary.more) == (5, 2)
