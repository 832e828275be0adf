"""What the hub describes at `/openapi.json` is how it answers, whatever is sent.

Schemathesis makes requests from the document: some that it allows, some that it does not. Of each
answer the status, the type and the content are as described, and no failure of the hub.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.hub import Hub, running_hub
from tests.examples import examples

CONFIG = """
server: {max_message: 20000}
url:
  rows:
    pattern: /rows
    handler: MessageHandler
    kwargs:
      columns:
        body: TEXT
        n: {type: INTEGER, default: 3}
        price: DECIMAL(12,2)
        share: REAL
        is_done: {type: BOOLEAN, nullable: false, default: false}
        day: DATE
        at: TIMESTAMP
        since: TIMESTAMPTZ
        tags: JSON
  own rows:
    pattern: /own
    handler: MessageHandler
    kwargs:
      columns: {owner: TEXT, body: TEXT}
      open: args.update(owner=['me'])
      unknown: refuse
  sql: {pattern: /sql, handler: SQLHandler, kwargs: {tables: [rows]}}
  login: {pattern: /login, handler: SimpleAuth, kwargs: {credentials: {ann: secret}}}
  logout: {pattern: /logout, handler: LogoutHandler}
"""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
PHASES = [Phase.explicit, Phase.generate, Phase.shrink]
ANSWER_SECONDS = 30.0


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One hub for all tests of this file."""
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_answer_is_as_described(hub: Hub, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{hub.url}/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        with suppress(Unsatisfiable):  # nothing can be wrong in a request without parameters
            _try(found.ok().as_strategy(generation_mode=mode))
            tried += 1
    assert tried > 30
    assert "Traceback" not in hub.stderr()


def _try(cases: st.SearchStrategy[schemathesis.Case[Any]]) -> None:
    """Send some requests that are made from the description of an operation."""

    @settings(max_examples=examples(5), suppress_health_check=list(HealthCheck), phases=PHASES)
    @given(cases)
    def ask(case: schemathesis.Case[Any]) -> None:
        case.query.pop("_wait", None)  # it does what it says
        answer = case.call(timeout=ANSWER_SECONDS)
        if answer.status_code == 503 and answer.json()["_error"]["code"] == "busy":
            return  # whoever is refused very often has to wait, which `make fuzz` is
        case.validate_response(answer, checks=CHECKS)

    ask()
