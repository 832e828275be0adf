"""What `broker:` says fits together, and its files are beside the file that names them."""

import pytest

from tests.unit.config.folder import Folder

FILE = "broker: {%s}\nurl: {a: {pattern: /a, handler: MessageHandler}}\n"


def test_files_are_beside_the_configuration(folder: Folder) -> None:
    given = "url: 'tls://a', ca_file: ca.pem, cert_file: /etc/hub.pem, key_file: keys/hub.key"
    broker = folder.load(FILE % given).broker
    assert broker.ca_file == str(folder.path / "ca.pem")
    assert broker.cert_file == "/etc/hub.pem"
    assert broker.key_file == str(folder.path / "keys" / "hub.key")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("url: 'nats://a', ca_file: ca.pem", "begin the URL with tls://"),
        ("url: 'a:4222', ca_file: ca.pem", "begin the URL with tls://"),
        ("url: ['tls://a', 'nats://b'], ca_file: ca.pem", "begin the URL with tls://"),
        ("ca_file: ca.pem", "url is missing"),
        ("url: 'tls://a', cert_file: a.pem", "cert_file and key_file need each other"),
        ("url: 'tls://a', key_file: a.key", "cert_file and key_file need each other"),
        ("url: 'http://a'", "is not the URL of a NATS server"),
    ],
)
def test_what_does_not_fit_together_is_a_problem(folder: Folder, given: str, words: str) -> None:
    [problem] = folder.problems(FILE % given)
    assert words in problem
