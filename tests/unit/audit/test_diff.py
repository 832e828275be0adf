"""Two states of a row differ by being there or not, or by the columns that they disagree on."""

from typing import Any

import pytest

from eventhub.audit.diff import Pair, RowChange, row_change

EARLIER = {"id": "a", "n": 1, "text": "x"}
LATER = {"id": "a", "n": 2, "text": "x"}


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (None, LATER, RowChange(id="a", change="added", row=LATER)),
        (EARLIER, None, RowChange(id="a", change="removed", row=EARLIER)),
        (EARLIER, LATER, RowChange(id="a", change="changed", row=LATER, was={"n": 1})),
        (EARLIER, dict(EARLIER), None),
        (None, None, None),
    ],
)
def test_a_row_is_added_removed_changed_or_not_mentioned(
    before: dict[str, Any] | None, after: dict[str, Any] | None, change: RowChange | None
) -> None:
    assert row_change(Pair(id="a", before=before, after=after)) == change


def test_a_value_that_became_none_differs() -> None:
    change = row_change(Pair(id="a", before=EARLIER, after={**EARLIER, "text": None}))
    assert change is not None
    assert (change.change, change.was) == ("changed", {"text": "x"})
