"""Mail services are SMTP servers with a name; those that Gramex knows need no host."""

from tests.unit.config.folder import Folder


def test_mail_providers_of_gramex_are_smtp_servers(folder: Folder) -> None:
    config = folder.load("email: {o: {type: office365, email: a@b, password: c}}")
    service = config.email["o"]
    assert (service.type, service.host, service.tls) == ("smtp", "smtp.office365.com", True)


def test_smtp_service_without_a_host_is_refused(folder: Folder) -> None:
    (problem,) = folder.problems("email: {a: {type: smtp}}")
    assert problem == "hub.yaml:1: email.a: host is missing; type smtp needs one"
