"""Catalogues, schemas and tables are listed to whom the handlers admit."""

import pyarrow as pa
import pytest
from adbc_driver_manager import ProgrammingError

from tests.e2e.flight import connect, refused, token
from tests.e2e.hub import Hub


def test_catalogues_schemas_and_tables_are_listed_with_their_columns(hub: Hub) -> None:
    with connect(hub) as connection:
        (catalogue,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        assert catalogue["catalog_name"] == "ask"
        (schema,) = catalogue["catalog_db_schemas"]
        assert schema["db_schema_name"] == "main"
        tables = {table["table_name"]: table for table in schema["db_schema_tables"]}
        assert list(tables) == ["notes", "notes_history"]
        columns = [column["column_name"] for column in tables["notes"]["table_columns"]]
        assert columns[:2] == ["body", "n"]
        found = connection.adbc_get_table_schema("notes")
        assert found.field("price").type == pa.decimal128(10, 2)
        assert found.names == columns
        for pattern, count in (("notes%", 2), ("note_", 1), (r"notes\_history", 1), ("x", 0)):
            given = {"table_name_filter": pattern, "depth": "tables"}
            (one,) = connection.adbc_get_objects(**given).read_all().to_pylist()
            listed = [schema["db_schema_tables"] for schema in one["catalog_db_schemas"]]
            assert len([table for group in listed for table in group]) == count, pattern
        assert connection.adbc_get_table_types() == ["TABLE"]
        assert connection.adbc_get_info()["vendor_name"] == "EventHub"
        with pytest.raises(ProgrammingError, match="No table found"):
            connection.adbc_get_table_schema("secret")


def test_only_handlers_that_admit_the_client_are_listed(hub: Hub) -> None:
    for options, expected in ((token("guest"), ["ask"]), (token("analyst"), ["ask", "team"])):
        with connect(hub, None, **options) as connection:
            listed = connection.adbc_get_objects(depth="catalogs").read_all()
            assert listed["catalog_name"].to_pylist() == expected
            assert "name one in the header `handler`" in refused(connection, "SELECT 1")
    with connect(hub, "nope") as connection:
        assert "there is no SQLHandler 'nope'" in refused(connection, "SELECT 1")
