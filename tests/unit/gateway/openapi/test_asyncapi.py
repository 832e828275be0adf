"""The AsyncAPI document is whole, whatever entries are called and whoever asks."""

from typing import Any

import jsonschema_rs
import pytest

from eventhub.gateway.openapi.asyncapi import SOCKET, document_of
from eventhub.gateway.openapi.messages import Described
from eventhub.gateway.openapi.values import Json
from tests.unit.alerts.builders import make_endpoint

SCHEMES: dict[str, Json] = {"cookie": {"type": "apiKey", "in": "cookie", "name": "eventhub"}}


def described(key: str = "chat", *, security: list[Json] | None = None) -> Described:
    endpoint = make_endpoint()
    columns = endpoint.channel.columns.all
    return Described(key, endpoint, columns, columns, [{}] if security is None else security, ())


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*(references(each) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(references(each) for each in value))
    return set()


def test_no_reference_leads_nowhere_and_every_payload_is_a_schema() -> None:
    document = document_of([described(), described("a_.7")], SCHEMES, "/-/socket")
    for reference in references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    for message in document["components"]["messages"].values():
        jsonschema_rs.meta.validate(message["payload"])
    assert set(document["channels"]) == {"chat", "a_.7", SOCKET}
    of_socket = document["channels"][SOCKET]["messages"]
    assert {"chat.Rows", "a_.7.Rows", "chat.Message", "Subscribe", "End"} <= set(of_socket)
    assert "Subscribe" not in document["channels"]["chat"]["messages"]


@pytest.mark.parametrize(
    ("security", "needed"), [([{}, {"cookie": []}], False), ([{"cookie": []}], True)]
)
def test_a_login_is_named_where_there_must_be_one(security: list[Json], needed: bool) -> None:
    document = document_of([described(security=security)], SCHEMES, "")
    assert ("security" in document["operations"]["chat.send"]) is needed
    assert document["components"]["securitySchemes"]["cookie"]["type"] == "httpApiKey"
    assert SOCKET not in document["channels"]
