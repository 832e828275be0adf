"""Info: what the server and its SQL can do, for drivers (`CommandGetSqlInfo`)."""

from collections.abc import Collection
from typing import Final

import duckdb
import pyarrow as pa

_KINDS: Final = [
    ("string_value", pa.string()),
    ("bool_value", pa.bool_()),
    ("bigint_value", pa.int64()),
    ("int32_bitmask", pa.int32()),
    ("string_list", pa.list_(pa.string())),
    ("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
]
SCHEMA: Final = pa.schema(
    [
        pa.field("info_name", pa.uint32(), nullable=False),
        pa.field("value", pa.dense_union([pa.field(*kind) for kind in _KINDS]), nullable=False),
    ]
)
_TEXT, _FLAG, _NUMBER, _BITS, _LIST = range(5)
"""The member of the union that holds a value."""
INFOS: Final[dict[int, tuple[int, object]]] = {
    0: (_TEXT, "EventHub"),
    1: (_TEXT, f"DuckDB {duckdb.__version__}"),  # whose dialect it is
    2: (_TEXT, pa.__version__),
    3: (_FLAG, True),  # read only
    4: (_FLAG, True),  # SQL
    5: (_FLAG, False),  # Substrait
    8: (_BITS, 0),  # transactions
    9: (_FLAG, False),  # the action CancelQuery: a cancelled call is cancelled
    10: (_FLAG, False),  # bulk ingestion
    100: (_BITS, 0),  # prepared statements have no end
    101: (_BITS, 0),
    500: (_FLAG, False),  # CREATE of catalogues, schemas, tables
    501: (_FLAG, False),
    502: (_FLAG, False),
    503: (_BITS, 1),  # names: any case
    504: (_TEXT, '"'),
    505: (_BITS, 1),
    506: (_FLAG, True),  # all tables are selectable
    507: (_BITS, 3),  # nulls are sorted at the end
    508: (_LIST, []),
    509: (_LIST, []),
    510: (_LIST, []),
    511: (_LIST, []),
    512: (_LIST, []),
    513: (_TEXT, "\\"),
    514: (_TEXT, ""),
    515: (_FLAG, True),  # aliases of columns
    516: (_FLAG, True),
    518: (_FLAG, True),  # aliases of tables
    519: (_FLAG, False),
    520: (_FLAG, True),  # expressions in ORDER BY
    521: (_FLAG, True),
    522: (_BITS, 3),  # GROUP BY
    523: (_FLAG, True),  # LIKE … ESCAPE
    524: (_FLAG, True),
    525: (_BITS, 1),  # grammar
    526: (_BITS, 1),  # SQL-92
    527: (_FLAG, False),
    528: (_BITS, 2),  # outer joins
    529: (_TEXT, "schema"),
    530: (_TEXT, ""),
    531: (_TEXT, "catalog"),
    532: (_FLAG, True),  # catalog.schema.table
    533: (_BITS, 0),
    534: (_BITS, 0),
    535: (_BITS, 0),
    536: (_FLAG, False),  # SELECT … FOR UPDATE
    537: (_FLAG, False),  # stored procedures
    538: (_BITS, 15),  # subqueries
    539: (_FLAG, True),
    540: (_BITS, 3),  # UNION, UNION ALL
    **{number: (_NUMBER, 0) for number in range(541, 562) if number != 556},  # no limits
    556: (_FLAG, False),
    562: (_NUMBER, 3),  # isolation: repeatable read
    563: (_FLAG, False),
    564: (_BITS, 8),
    565: (_FLAG, False),
    566: (_FLAG, False),
    567: (_BITS, 2),  # results: forward only
    568: (_BITS, 0),
    569: (_BITS, 2),
    570: (_BITS, 0),
    571: (_BITS, 0),
    572: (_FLAG, False),
    573: (_FLAG, False),
    574: (_FLAG, True),  # named parameters
    575: (_FLAG, False),
    576: (_FLAG, False),
}
"""The values, by the numbers of the enumeration `SqlInfo`."""


def table(wanted: Collection[int]) -> pa.Table:
    """Return the values of some numbers, or all; unknown numbers are left out."""
    numbers = [number for number in INFOS if not wanted or number in wanted]
    members: list[list[object]] = [[] for _ in _KINDS]
    kinds, offsets = [], []
    for number in numbers:
        kind, value = INFOS[number]
        kinds.append(kind)
        offsets.append(len(members[kind]))
        members[kind].append(value)
    values = pa.UnionArray.from_dense(
        pa.array(kinds, pa.int8()),
        pa.array(offsets, pa.int32()),
        [pa.array(held, kind) for held, (_, kind) in zip(members, _KINDS, strict=True)],
        [name for name, _ in _KINDS],
    )
    return pa.Table.from_arrays([pa.array(numbers, pa.uint32()), values], schema=SCHEMA)
