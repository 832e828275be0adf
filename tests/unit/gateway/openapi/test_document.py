"""The document is valid OpenAPI 3.1, whatever entries are called."""

import jsonschema_rs
import pytest
import schemathesis

from eventhub.config import LogoutEndpoint, OidcEndpoint, SqlEndpoint
from eventhub.gateway.file_answer import SUFFIXES
from eventhub.gateway.openapi import messages, pages, queries
from eventhub.gateway.openapi.document import document_of, key_of
from eventhub.gateway.openapi.messages import Described
from eventhub.gateway.openapi.values import Json
from tests.unit.alerts.builders import make_endpoint

SCHEMES: dict[str, Json] = {"cookie": {"type": "apiKey", "in": "cookie", "name": "eventhub"}}


SSO = OidcEndpoint(name="sso", pattern="/sso", client_id="hub", issuer="https://id.example")


def whole() -> Json:
    endpoint = make_endpoint()
    columns = endpoint.channel.columns.all
    described = Described("chat", endpoint, columns, columns, [{}, {"cookie": []}], ())
    return document_of(
        [
            messages.fragment_of(described),
            queries.fragment_of("a.1", SqlEndpoint(name="a b", pattern="/sql"), [], ()),
            pages.login_fragment("out", LogoutEndpoint(name="out", pattern="/logout")),
            pages.oidc_fragment("sso", SSO),
            pages.hub_fragment(is_operator=True, has_copies=True),
        ],
        SCHEMES,
    )


def test_the_document_is_valid() -> None:
    document = whole()
    schemathesis.openapi.from_dict(document).validate()
    names = [
        operation["operationId"]
        for path in document["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    assert len(set(names)) == len(names)
    del document["info"]
    with pytest.raises(jsonschema_rs.ValidationError):
        schemathesis.openapi.from_dict(document).validate()


def test_no_reference_leads_nowhere() -> None:
    document = whole()
    found: set[str] = set()

    def collect(value: object) -> None:
        if isinstance(value, dict):
            found.update(each for key, each in value.items() if key == "$ref")
            for each in value.values():
                collect(each)
        elif isinstance(value, list):
            for each in value:
                collect(each)

    collect(document)
    for reference in found:
        _, components, kind, name = reference.split("/")
        assert name in document[components][kind], reference


def test_every_path_of_an_endpoint_is_described() -> None:
    files = {f"/chat.{suffix}" for suffix in SUFFIXES} | {f"/sql.{suffix}" for suffix in SUFFIXES}
    own = {
        "/healthz",
        "/readyz",
        "/metrics",
        "/-/connections",
        "/-/vitals",
        "/-/configuration",
        "/-/configuration/rehearsal",
        "/-/alerts",
        "/-/alerts/retry",
        "/-/alerts/preview",
        "/-/alerts/backtest",
        "/-/snapshot.duckdb",
        "/openapi.json",
        "/logout",
        "/sso",
    }
    assert set(whole()["paths"]) == {"/chat", "/chat/{id}", "/sql", *files, *own}


def test_names_that_do_not_fit_into_a_reference_are_numbered() -> None:
    assert key_of("chat-1", 7) == "chat-1"
    assert key_of("a b", 7) == "a_b.7"
    assert key_of("é/b", 8) == "__b.8"
