"""`python -m eventhub_client types URL` prints the types of what its caller may read and write."""

import os
import subprocess
import sys
from typing import Any, get_type_hints

import pytest

from eventhub_client.__main__ import main
from tests.e2e.hub import Hub
from tests.ports import free_port
from tests.tokens import token_of

pytestmark = pytest.mark.xdist_group("eventhub_client")


def test_types_of_an_endpoint_are_a_module(server: Hub) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "eventhub_client", "types", f"{server.url}/private?n=1"],
        env={**os.environ, "EVENTHUB_TOKEN": token_of("ann")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (printed.returncode, printed.stderr) == (0, "")
    names: dict[str, Any] = {}
    exec(printed.stdout, names)
    hints = get_type_hints(names["Row"])
    assert hints["topic"] == str | None
    assert {"id", "n", "body"} <= names["Row"].__required_keys__
    assert names["Put"].__required_keys__ == {"id"}


def test_what_has_no_types_is_one_line_and_a_status(
    server: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    away = f"http://127.0.0.1:{free_port()}/notes"
    cases = {"/private": "log in", "/nope": "unknown_path", "/healthz": "", away: "refused"}
    for path, says in cases.items():
        assert main(["types", path if path == away else f"{server.url}{path}"]) == 1
        printed = capsys.readouterr()
        [line] = printed.err.splitlines()
        assert (says in line, printed.out) == (True, "")


@pytest.mark.parametrize("words", [[], ["types"], ["types", "--help"], ["type", "http://hub"]])
def test_a_misuse_prints_how_it_is_used(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert "usage: python -m eventhub_client types URL" in capsys.readouterr().err
