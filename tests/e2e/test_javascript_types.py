"""`eventhub-types` prints what a client may read and write as TypeScript."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hub import Hub, running_hub
from tests.tokens import SECRET, token_of

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "clients" / "javascript" / "types.js"
CONFIG = f"""
auth: {{jwt: {{secret: {SECRET}}}}}
url:
  notes:
    pattern: /notes
    handler: MessageHandler
    kwargs:
      columns: {{body: {{type: TEXT, nullable: false}}, n: INTEGER, "odd name": JSON, pay: REAL}}
      rules: {{columns: {{pay: {{read: "handler.current_user.role == 'hr'"}}}}}}
  private:
    {{pattern: /private, handler: MessageHandler, kwargs: {{columns: {{a: TEXT}}, auth: true}}}}
"""

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), CONFIG) as hub:
        yield hub


def types(*args: str, token: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["node", TOOL, *args],
        env={**os.environ, "EVENTHUB_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def interface(text: str, name: str) -> list[str]:
    """Return the members of an interface, without their comments."""
    found = re.search(rf"^export interface {name} {{\n(.*?)^}}$", text, re.MULTILINE | re.DOTALL)
    assert found, text
    return [line.strip() for line in found[1].splitlines() if not line.strip().startswith("/**")]


def test_rows_and_messages_have_the_columns_that_the_caller_may_use(hub: Hub) -> None:
    printed = types(f"{hub.url}/notes?body=x")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert interface(printed.stdout, "Row") == [
        "readonly body: string | null",
        "readonly n: number | string | null",
        'readonly "odd name": unknown',
        "readonly id: string",
        "readonly user: string | null",
        "readonly timestamp: string | null",
    ]
    assert "body: string | number | boolean" in interface(printed.stdout, "Post")
    assert "id: string" in interface(printed.stdout, "Put")
    of_hr = types(f"{hub.url}/notes", token=token_of("ann", role="hr"))
    assert "readonly pay: number | null" in interface(of_hr.stdout, "Row")


@pytest.mark.parametrize(
    ("path", "says"),
    [("/private", "log in"), ("/nope", "no endpoint"), ("/healthz", "answers 200")],
)
def test_what_cannot_be_described_is_one_line_and_a_status(hub: Hub, path: str, says: str) -> None:
    printed = types(f"{hub.url}{path}")
    assert (printed.returncode, printed.stdout) == (1, "")
    [line] = printed.stderr.splitlines()
    assert says in line


def test_a_hub_that_is_not_there_and_a_missing_url_say_so() -> None:
    away = types("http://127.0.0.1:1/notes")
    assert (away.returncode, away.stderr.count("\n")) == (1, 1)
    assert types().returncode == 2
