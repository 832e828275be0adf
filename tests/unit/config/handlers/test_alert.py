"""An alert names an existing mail service."""

from tests.unit.config.folder import Folder, endpoint


def test_unknown_mail_service_of_an_alert_is_refused(folder: Folder) -> None:
    email = "email: {office: {type: stub}}\n"
    (problem,) = folder.problems(email + endpoint("alert: {service: offce}"))
    assert (
        problem == "hub.yaml:7: url.chat.kwargs.alert: no service 'offce' under email;"
        " known services: office"
    )
    assert folder.load(email + endpoint("alert: {service: office}")).warnings == ()
    (warning,) = folder.warnings(endpoint("alert: {to: a@b}"))
    assert warning.endswith("no service is defined under email; mails are only logged")


def test_limit_of_zero_mails_is_refused(folder: Folder) -> None:
    (problem,) = folder.problems(endpoint("alert: {max_per_hour: 0}"))
    assert problem == (
        "hub.yaml:6: url.chat.kwargs.alert.max_per_hour:"
        " expected a whole number of at least 1, not 0"
    )
