"""Values: strategies for what the columns of a row hold."""

from typing import Any

from hypothesis import strategies as st

from eventhub.columns import Column, Kind

TEXT = st.text(max_size=12) | st.sampled_from(
    ["\0", '"\\', "\u2028\u2029", "\U0001f600e\u0301", ""]
)
JSON = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: TEXT,
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1]),
    Kind.REAL: st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e22, -0.0, 0.1, 5e-324, 1e16, 100.0, 1e308, -1.7976931348623157e308]),
    Kind.DECIMAL: st.integers(-(10**38) + 1, 10**38 - 1).map(lambda number: f"{number}e-10")
    | st.sampled_from([0.1, -5, "1.10", "9" * 28 + "." + "9" * 10]),
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: st.dates().map(str) | st.sampled_from(["0001-01-01", "9999-12-31"]),
    Kind.TIMESTAMP: st.sampled_from(["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"])
    | st.datetimes().map(lambda moment: moment.isoformat())
    | st.datetimes().map(lambda moment: moment.replace(microsecond=120000).isoformat())
    | st.datetimes().map(lambda moment: moment.replace(microsecond=0).isoformat()),
    Kind.TIMESTAMPTZ: st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
    | st.datetimes().map(lambda moment: moment.isoformat())
    | st.datetimes().map(lambda moment: moment.replace(microsecond=120000).isoformat() + "Z"),
    Kind.JSON: JSON.filter(lambda value: value != ""),
}


def values(column: Column) -> st.SearchStrategy[Any]:
    """Values as `Columns` converts them: canonical."""
    return st.none() | VALUES[column.kind].map(column.convert)
