"""Every entry of `url:` is served, skipped with a warning, or refused."""

from typing import get_args

import pytest

from eventhub.config.handlers import HANDLERS, Endpoint
from tests.unit.config.folder import Folder


def test_keys_and_handlers_of_gramex_are_skipped_with_a_warning_each(folder: Folder) -> None:
    warnings = folder.warnings(
        """
        app: {listen: {port: 80}}
        log: {version: 1, handlers: {}}
        schedule: {}
        url:
          form: {pattern: /form, handler: FormHandler, any: 1, kwargs: {url: x}}
          chat:
            pattern: /chat
            handler: gramex.handlers.MessageHandler
            priority: 10
            kwargs:
              columns: {a: {type: TEXT, primary_key: true}}
              xsrf_cookies: false
        """
    )
    assert [line.rpartition(": ")[0] for line in warnings] == [
        "hub.yaml:1: app",
        "hub.yaml:2: log",
        "hub.yaml:3: schedule",
        "hub.yaml:5: url.form",
        "hub.yaml:9: url.chat",
        "hub.yaml:12: url.chat.kwargs",
        "hub.yaml:11: url.chat.kwargs.columns.a",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("url: {a: {handler: MessageHandler}}", "hub.yaml:1: url.a: pattern is missing"),
        ("url: {a: {pattern: /a}}", "hub.yaml:1: url.a: handler is missing"),
    ],
)
def test_entry_without_a_handler_or_pattern_is_refused(
    folder: Folder, text: str, problem: str
) -> None:
    (reported,) = folder.problems(text)
    assert reported.startswith(problem)


def test_every_handler_has_a_struct_with_its_name() -> None:
    tags = {kind.__struct_config__.tag for kind in get_args(Endpoint)}
    assert tags == set(HANDLERS)
