"""What the hub cannot listen on is a problem of its file."""

import pytest

from tests.unit.config.folder import Folder


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("/run/hub.sock", "to listen on a Unix socket, write unix:/run/hub.sock"),
        (
            "unix:hub.sock",
            "the path of a Unix socket begins with /, as in unix:$YAMLPATH/hub.sock",
        ),
        ("unix:/" + 107 * "a", "the path of a Unix socket has at most 107 bytes"),
    ],
)
def test_path_that_cannot_be_a_unix_socket_is_reported(
    folder: Folder, host: str, problem: str
) -> None:
    (found,) = folder.problems(f"server: {{host: '{host}'}}")
    assert found == f"hub.yaml:1: server.host: {problem}"
    assert folder.load("server: {host: 'unix:/run/hub.sock'}").server.host == "unix:/run/hub.sock"


ASKED = """
url:
  chat: {pattern: /chat, handler: MessageHandler}
  sql: {pattern: /sql, handler: SQLHandler, kwargs: {tables: all}}
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server: {flight_port: 8815}\n", "this file has none"),
        ("server: {flight_port: 8080}\n" + ASKED, "it is server.port already"),
        ("server: {flight_port: 70000}\n" + ASKED, "from 0 to 65535"),
        ("server: {flight_port: 1, host: 'unix:/run/hub.sock'}\n" + ASKED, "is a Unix socket"),
    ],
)
def test_a_flight_port_that_cannot_be_served_is_a_problem(
    folder: Folder, text: str, words: str
) -> None:
    (problem,) = folder.problems(text)
    assert words in problem
    assert problem.split(": ")[1] == "server.flight_port"


def test_a_flight_port_needs_a_handler_of_sql_and_a_port_of_its_own(folder: Folder) -> None:
    assert folder.load("server: {port: 0, flight_port: 0}\n" + ASKED).server.flight_port == 0
    assert folder.load("server: {flight_port: 8815}\n" + ASKED).server.flight_port == 8815
    assert folder.load("server: {flight_port: null}\n").server.flight_port is None
