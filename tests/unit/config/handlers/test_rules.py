"""Rules know where they are written, so that the traceback of one that fails can say it."""

import pytest

from eventhub.expressions import Placed
from tests.unit.config.folder import Folder, endpoint, messages


@pytest.mark.parametrize(
    ("rule", "line"), [("1 / 0", 7), ("|\n    1 / 0", 8), (">\n    1 /\n\n     0", 7)]
)
def test_a_rule_knows_the_line_that_it_begins_in(folder: Folder, rule: str, line: int) -> None:
    (served,) = messages(folder.load(endpoint(f"rules:\n  create: {rule}")))
    assert served.rules is not None
    assert isinstance(served.rules.create, Placed)
    assert served.rules.create.place == f"{folder.path}/hub.yaml:{line}"


def test_a_rule_of_a_column_knows_its_line(folder: Folder) -> None:
    text = endpoint("columns: {pay: REAL}\nrules:\n  columns:\n    pay:\n      read: 1 / 0")
    (served,) = messages(folder.load(text))
    assert served.rules is not None
    rule = served.rules.columns["pay"].read
    assert isinstance(rule, Placed)
    assert rule.place == f"{folder.path}/hub.yaml:10"
