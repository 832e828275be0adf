"""An alert names an existing mail service."""

import pytest

from eventhub.expressions import Placed
from tests.unit.config.folder import Folder, endpoint, messages


def test_unknown_mail_service_of_an_alert_is_refused(folder: Folder) -> None:
    email = "email: {office: {type: stub}}\n"
    (problem,) = folder.problems(email + endpoint("alert: {service: offce}"))
    assert (
        problem == "hub.yaml:7: url.chat.kwargs.alert.service: no service 'offce' under email;"
        " known services: office (did you mean 'office'?)"
    )
    assert folder.load(email + endpoint("alert: {service: office}")).warnings == ()
    (warning,) = folder.warnings(endpoint("alert: {to: a@b}"))
    assert warning.endswith("no service is defined under email; mails are only logged")


def test_limit_of_zero_mails_is_refused(folder: Folder) -> None:
    (problem,) = folder.problems(endpoint("alert: {max_per_hour: 0}"))
    assert problem == (
        "hub.yaml:6: url.chat.kwargs.alert.max_per_hour:"
        " expected a whole number from 1 to 1000000, not 0"
    )


@pytest.mark.parametrize("methods", ["'put, delete'", "[PUT, Delete]", "PUT DELETE"])
def test_methods_may_be_text_or_a_list_in_any_case(folder: Folder, methods: str) -> None:
    (served,) = messages(folder.load(endpoint(f"alert: {{methods: {methods}}}")))
    assert served.alert is not None
    assert served.alert.methods == ["PUT", "DELETE"]


def test_key_of_an_alert_of_gramex_is_a_warning_and_a_blank_key_is_absent(folder: Folder) -> None:
    text = "email: {a: {type: stub}}\n" + endpoint("alert: {each: row, subject: , to: a@b.example}")
    (served,) = messages(folder.load(text))
    assert served.alert is not None
    assert (served.alert.subject, served.alert.to) == (None, "a@b.example")
    (warning,) = folder.warnings(text)
    assert warning == "hub.yaml:7: url.chat.kwargs.alert: each has no effect in EventHub"


GRAMEX = {
    "a section": "schedule:\n{}",
    "a handler": "{}  form: {pattern: /form, handler: FormHandler}\n",
    "an import": "import: $GRAMEXAPPS/ui/gramex.yaml\n{}",
}


@pytest.mark.parametrize("part", GRAMEX)
def test_only_in_a_file_of_gramex_alerts_are_suppressible_by_default(
    folder: Folder, part: str
) -> None:
    text = endpoint("alert: {to: a@b.example}")
    (served,) = messages(folder.load(text))
    assert served.alert is not None
    assert not served.alert.suppressible
    (served,) = messages(folder.load(GRAMEX[part].replace("{}", text, 1)))
    assert served.alert is not None
    assert served.alert.suppressible


def test_a_file_of_gramex_is_warned_of_alerts_that_clients_can_suppress(folder: Folder) -> None:
    def found(alert: str) -> list[str]:
        text = "schedule: \nemail: {a: {type: stub}}\n" + endpoint(f"alert: {alert}")
        return [line for line in folder.warnings(text) if "_alert" in line]

    assert found("{to: a@b.example}") == [
        "hub.yaml:8: url.chat.kwargs.alert: `_alert: false` suppresses this alert, because the"
        " file has a part of Gramex (hub.yaml:1); write suppressible: false to prevent that, or"
        " suppressible: true to keep it"
    ]
    assert found("{to: a@b.example, suppressible: true}") == []
    (served,) = messages(folder.load("schedule: {}\n" + endpoint("alert: {suppressible: false}")))
    assert served.alert is not None
    assert not served.alert.suppressible


def test_a_condition_knows_its_line(folder: Folder) -> None:
    (served,) = messages(folder.load(endpoint("alert:\n  to: a@b.example\n  condition: 1 / 0")))
    assert served.alert is not None
    assert isinstance(served.alert.condition, Placed)
    assert served.alert.condition.place == f"{folder.path}/hub.yaml:8"
