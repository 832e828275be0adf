"""The schemas are those of the code's own tables: error codes, controls, receipts."""

import jsonschema_rs

from eventhub.columns import Column, Columns, Kind
from eventhub.errors import CODES, Conflict, Rejected
from eventhub.gateway.openapi import schemas
from eventhub.ingest.command import CONTROLS
from eventhub.ingest.receipts import Receipt

COLUMNS = Columns([Column("body"), Column("n", Kind.INTEGER)])


def test_every_code_is_described_under_its_status() -> None:
    found: dict[str, int] = {}
    for name, response in schemas.error_responses().items():
        [schema] = [each["schema"] for each in response["content"].values()]
        codes = schema["allOf"][1]["properties"]["_error"]["properties"]["code"]["enum"]
        found |= dict.fromkeys(codes, int(name.removeprefix("Error")))
        for code in codes:
            assert CODES[code].meaning in response["description"]
    assert found == {name: code.http for name, code in CODES.items() if code.http != 200}


def test_a_status_that_can_be_tried_again_says_when() -> None:
    responses = schemas.error_responses()
    assert "Retry-After" in responses["Error503"]["headers"]
    assert "headers" not in responses["Error400"]


def test_the_controls_of_a_message_are_those_that_are_read() -> None:
    assert set(schemas.CONTROLS) == set(CONTROLS)


def test_errors_and_receipts_are_as_described() -> None:
    error = jsonschema_rs.validator_for(schemas.ERROR)
    assert error.is_valid({"_error": Rejected("bad_id", "no", column="id").as_dict(ref=[1])})
    assert error.is_valid({"_error": Conflict("exists", "there is one").as_dict()})
    assert not error.is_valid({"_error": {"code": "other", "message": "", "retry": True}})
    receipt = jsonschema_rs.validator_for(schemas.RECEIPT)
    assert receipt.is_valid(Receipt("a", 1, duplicate=False).as_dict())
    whole = Receipt("a", 1, duplicate=True, ignored=("x",), created=True).as_dict()
    assert receipt.is_valid({**whole, "ignored": ["x"]})
    assert not receipt.is_valid({**whole, "other": 1})


def test_only_a_strict_endpoint_refuses_other_keys() -> None:
    message = {"body": "x", "_key": "k", "other": 1}
    loose = schemas.message_schema(COLUMNS, is_strict=False)
    assert jsonschema_rs.is_valid(loose, message)
    strict = schemas.message_schema(COLUMNS, is_strict=True)
    assert not jsonschema_rs.is_valid(strict, message)
    assert jsonschema_rs.is_valid(strict, {"body": "x", "_method": "PUT", "n": 1})
    assert "user" not in strict["properties"]


def test_a_row_has_its_columns_and_no_others() -> None:
    row = schemas.row_schema(COLUMNS)
    assert list(row["properties"]) == ["body", "n", "id", "user", "timestamp"]
    assert not jsonschema_rs.is_valid(row, {"other": 1})
    assert schemas.form_schema(COLUMNS)["properties"]["n"] == {"type": "string"}


def test_frames_hold_the_rows_before_and_after() -> None:
    frames = schemas.frames_schema(COLUMNS)
    event = {"_method": "PUT", "_seq": 2, "id": "a", "row": {"n": 1}, "was": {"n": None}}
    assert jsonschema_rs.is_valid(frames, [event, {"_method": "POST", "_seq": 3, "id": "b"}])
    assert not jsonschema_rs.is_valid(frames, [{**event, "row": {"other": 1}}])
